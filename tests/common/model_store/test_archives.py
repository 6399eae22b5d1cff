"""Archives of models that others have made."""

from __future__ import annotations

import io
import stat
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.trained_models.packing import is_archive
from cryomamba_server.model_store.archives import unpack
from cryomamba_server.model_store.staging import ModelLimits, Staging

LIMITS = ModelLimits(files=50, nbytes=64 << 20, ratio=20)
MEGABYTE = 1 << 20
FREE = 1 << 40


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder by name."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def zipped(
    path: Path, members: Mapping[str, bytes] | Mapping[zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_DEFLATED
) -> Path:
    """Write a zip archive."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    """Write a tar archive, compressed if its name says so."""
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for member, content in members:
            member.size = len(content) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(content))
    return path


def tar_member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    """Return a member of a tar archive."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def refused(archive: Path, folder: Path, limits: ModelLimits = LIMITS) -> InvalidRequestError:
    """Return the error with which an archive is refused."""
    folder.mkdir(exist_ok=True)
    with pytest.raises(InvalidRequestError) as caught:
        unpack(archive, archive.name, Staging(folder, limits, FREE))
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz", ".tgz"])
def test_the_files_of_an_archive_are_unpacked(tmp_path: Path, ending: str) -> None:
    """Files and folders come out as they were packed; hidden files and those of macOS do not."""
    names = {"net/model.toml": b"a", "net/weights/w.onnx": b"\0" * 3000}
    left_out = {"net/.DS_Store": b"x", "__MACOSX/net/._model.toml": b"x"}
    path = tmp_path / f"net{ending}"
    if ending == ".zip":
        zipped(path, {**names, **left_out})
    else:
        tarred(path, [(tar_member(name), content) for name, content in {**names, **left_out}.items()])
    folder = tmp_path / "out"
    folder.mkdir()
    unpack(path, path.name, Staging(folder, LIMITS, FREE))
    assert files_of(folder) == names
    assert is_archive(path.name)


def test_a_tar_of_the_present_folder(tmp_path: Path) -> None:
    """What ``tar -C net .`` writes is unpacked."""
    path = tarred(tmp_path / "n.tar", [(tar_member(".", tarfile.DIRTYPE), b""), (tar_member("./model.toml"), b"a")])
    folder = tmp_path / "out"
    folder.mkdir()
    unpack(path, path.name, Staging(folder, LIMITS, FREE))
    assert files_of(folder) == {"model.toml": b"a"}


BAD_NAMES = (
    "../evil",
    "net/../../evil",
    "/etc/evil",
    "C:/evil",
    "net\\..\\evil",
    "net//evil",
    "a/./evil",
    "evil\n",
    "evil\x1b[2J",
    "evil\u202egnp.exe",
    "evil.",
    "evil ",
    "aux",
    "net/NUL.txt",
    "a/" * 20 + "evil",
    "x" * 300,
)


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("ending", [".zip", ".tar.gz"])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str, ending: str) -> None:
    """Names with '..', roots, drives, control characters, or that a system forbids are refused, and write nothing."""
    path = tmp_path / f"bad{ending}"
    if ending == ".zip":
        zipped(path, {name: b"x"})
    else:
        tarred(path, [(tar_member(name), b"x")])
    before = set(tmp_path.iterdir())
    error = refused(path, tmp_path / "out")
    assert "not allowed" in error.message
    assert not files_of(tmp_path / "out")
    assert set(tmp_path.iterdir()) - before == {tmp_path / "out"}


def test_a_name_that_ends_at_a_zero_byte_is_refused(tmp_path: Path) -> None:
    """The whole name in the archive counts, not what the reader makes of it."""
    path = zipped(tmp_path / "zero.zip", {"model_tomlXevil": b"x"})
    path.write_bytes(path.read_bytes().replace(b"model_tomlXevil", b"model_toml\0evil"))
    assert "not allowed" in refused(path, tmp_path / "out").message


def _zip_link(path: Path) -> Path:
    info = zipfile.ZipInfo("link")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return zipped(path, {info: b"/etc/passwd"})


LINKS: dict[str, Callable[[Path], Path]] = {
    "symbolic link in a zip": lambda folder: _zip_link(folder / "l.zip"),
    "symbolic link": lambda folder: tarred(folder / "l.tar", [(tar_member("l", tarfile.SYMTYPE, "/etc"), b"")]),
    "hard link": lambda folder: tarred(folder / "l.tar", [(tar_member("l", tarfile.LNKTYPE, "/etc/passwd"), b"")]),
    "pipe": lambda folder: tarred(folder / "l.tar", [(tar_member("l", tarfile.FIFOTYPE), b"")]),
    "device": lambda folder: tarred(folder / "l.tar", [(tar_member("l", tarfile.CHRTYPE), b"")]),
    "sparse file": lambda folder: tarred(folder / "l.tar", [(tar_member("l", tarfile.GNUTYPE_SPARSE), b"")]),
}


@pytest.mark.parametrize("kind", LINKS)
def test_links_and_special_files_are_refused(tmp_path: Path, kind: str) -> None:
    """Nothing but regular files comes out of an archive."""
    path = LINKS[kind](tmp_path)
    refused(path, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    """Names that differ only in case, and a file that is also a folder, are refused on every system."""
    assert "twice" in refused(zipped(tmp_path / "a.zip", {"W": b"1", "w": b"2"}), tmp_path / "out").message
    assert "twice" in refused(zipped(tmp_path / "b.zip", {"w": b"1", "w/x": b"2"}), tmp_path / "out2").message
    assert "twice" in refused(zipped(tmp_path / "c.zip", {"w/x": b"1", "w": b"2"}), tmp_path / "out3").message


def test_a_bomb_is_refused_before_it_fills_the_disk(tmp_path: Path) -> None:
    """An archive that unpacks to far more than its size is refused by its announced and by its real size."""
    path = zipped(tmp_path / "bomb.zip", {"zeros": bytes(48 * MEGABYTE)})
    assert refused(path, tmp_path / "out").code is ErrorCode.TOO_LARGE
    assert not files_of(tmp_path / "out")
    packed = tarred(tmp_path / "bomb.tar.gz", [(tar_member("zeros"), bytes(48 * MEGABYTE))])
    assert refused(packed, tmp_path / "out2").code is ErrorCode.TOO_LARGE
    assert not files_of(tmp_path / "out2")


def test_a_bomb_that_states_a_small_size(tmp_path: Path) -> None:
    """A member whose stated size is a lie ends there, and its checksum does not fit."""
    path = zipped(tmp_path / "lie.zip", {"zeros": bytes(48 * MEGABYTE)})
    raw = path.read_bytes().replace(struct.pack("<L", 48 * MEGABYTE), struct.pack("<L", 100))
    path.write_bytes(raw)
    refused(path, tmp_path / "out")
    assert sum(map(len, files_of(tmp_path / "out").values())) <= 100


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    """The number of members is bounded, folders and hidden files included."""
    names = {f"f{n}": b"" for n in range(51)}
    assert "more than 50 files" in refused(zipped(tmp_path / "many.zip", names), tmp_path / "out").message
    members = [(tar_member(f"d{n}", tarfile.DIRTYPE), b"") for n in range(51)]
    assert "more than 50 files" in refused(tarred(tmp_path / "many.tar", members), tmp_path / "out2").message


def test_headers_do_not_fill_the_memory(tmp_path: Path) -> None:
    """Long lists of members and long headers are refused without being read into memory."""
    comment = b"c" * 60000
    infos: dict[zipfile.ZipInfo, bytes] = {}
    for n in range(400):
        info = zipfile.ZipInfo(f"f{n}")
        info.comment = comment
        infos[info] = b""
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 100 * MEGABYTE
    long_header = tmp_path / "pax.tar"
    long_header.write_bytes(header.tobuf(tarfile.USTAR_FORMAT) + bytes(100 * MEGABYTE))
    sparse = tmp_path / "sparse.tar"
    pax = tarfile.TarInfo("s")
    pax.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "s"}
    pax.size = 100 * MEGABYTE + 9
    sparse.write_bytes(pax.tobuf(tarfile.PAX_FORMAT) + b"99999999\n" + b"1\n" * (50 * MEGABYTE))
    many = zipped(tmp_path / "long.zip", infos)
    tracemalloc.start()
    try:
        for path in (many, long_header):
            assert refused(path, tmp_path / f"out{path.name}", ModelLimits()).code is ErrorCode.TOO_LARGE
        assert tracemalloc.get_traced_memory()[1] < 40 * MEGABYTE
    finally:
        tracemalloc.stop()
    assert refused(sparse, tmp_path / "sparse", ModelLimits()).code is ErrorCode.TOO_LARGE


def test_what_is_no_archive_is_told(tmp_path: Path) -> None:
    """Damaged, encrypted and oddly compressed archives end with a sentence."""
    for name in ("a.zip", "a.tar", "a.tar.gz"):
        path = tmp_path / name
        path.write_bytes(b"no archive" * 100)
        assert "cannot be read" in refused(path, tmp_path / "out").message
        path.write_bytes(b"")
        folder = tmp_path / f"empty-{name}"
        folder.mkdir()
        with pytest.raises(InvalidRequestError):
            unpack(path, name, Staging(folder, LIMITS, FREE))
    whole = tarred(tmp_path / "t.tar.gz", [(tar_member("a"), bytes(range(256)) * 4000)])
    whole.write_bytes(whole.read_bytes()[:-40])
    assert "cannot be read" in refused(whole, tmp_path / "cut").message
    odd = zipped(tmp_path / "odd.zip", {"a": b"x" * 5000}, zipfile.ZIP_LZMA)
    assert "unusual" in refused(odd, tmp_path / "odd").message
    locked = zipped(tmp_path / "locked.zip", {"a": b"x" * 5000})
    raw = bytearray(locked.read_bytes())
    raw[6] |= 1
    raw[raw.rindex(b"PK\x01\x02") + 8] |= 1
    locked.write_bytes(raw)
    assert "encrypted" in refused(locked, tmp_path / "locked").message
