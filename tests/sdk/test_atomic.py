"""A file appears under its name only when it is complete, and a write that fails leaves nothing behind."""

from __future__ import annotations

import contextlib
import errno
import stat
from pathlib import Path

import pytest
from tests.conftest import DiskOrder

from cryomamba.atomic import AtomicFile, atomic_path, remove_parts, write_atomically
from cryomamba.errors import ErrorCode, UnavailableError


def test_a_reader_sees_the_old_file_until_the_new_one_is_complete(tmp_path: Path) -> None:
    """Until the commit the old content is there under the name, then all of the new."""
    path = tmp_path / "x.txt"
    write_atomically(path, "old")
    with AtomicFile(path) as new, new.stream() as stream:
        stream.write("Å".encode())
        assert path.read_text() == "old"
    assert path.read_text(encoding="utf-8") == "Å"
    assert list(tmp_path.iterdir()) == [path]


def test_writers_of_the_same_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Each writes a part of its own; the last to commit wins, whole."""
    path = tmp_path / "x"
    with AtomicFile(path) as first, AtomicFile(path) as second:
        first.file.write(b"first")
        second.file.write(b"second")
        second.commit()
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """What was written so far is removed."""
    write_atomically(tmp_path / "x", b"old")
    with contextlib.suppress(RuntimeError), AtomicFile(tmp_path / "x") as new:
        new.file.write(b"new")
        raise RuntimeError
    with contextlib.suppress(RuntimeError), atomic_path(tmp_path / "x") as part:
        part.write_bytes(b"new")
        raise RuntimeError
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x", b"old")]


def test_a_file_is_not_overwritten_unless_allowed(tmp_path: Path) -> None:
    """Without `overwrite` an existing file is an error, stays, and nothing is left beside it."""
    write_atomically(tmp_path / "x", "old", overwrite=False)
    with pytest.raises(FileExistsError):
        write_atomically(tmp_path / "x", "new", overwrite=False)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("x", "old")]


def test_a_private_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    """It has mode 0600 from the first moment; any other file has what the umask leaves."""
    write_atomically(tmp_path / "secret", "x", private=True)
    (tmp_path / "plain").touch()
    write_atomically(tmp_path / "open", "x")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes["secret"] == 0o600
    assert modes["open"] == modes["plain"]
    with AtomicFile(tmp_path / "part", private=True):
        assert [stat.S_IMODE(part.stat().st_mode) for part in tmp_path.glob("*.part")] == [0o600]


def test_a_durable_write_survives_a_power_cut(tmp_path: Path, disk_order: DiskOrder) -> None:
    """The content is on disk before the rename, and the name after it; of folders the entries are."""
    write_atomically(tmp_path / "small", "x")
    with AtomicFile(tmp_path / "large") as new:
        new.file.write(b"x")
    with atomic_path(tmp_path / "copy") as part:
        part.write_bytes(b"x")
    with atomic_path(tmp_path / "folder") as part:
        part.mkdir()
    assert disk_order.check() == 4


def test_a_write_that_is_not_durable_never_waits_for_the_disk(tmp_path: Path, disk_order: DiskOrder) -> None:
    """No fsync is called at all."""
    write_atomically(tmp_path / "x", "x", durable=False)
    with atomic_path(tmp_path / "y", durable=False) as part:
        part.mkdir()
    assert all(kind == "rename" for kind, _, _ in disk_order.calls)


def test_a_folder_replaces_the_one_of_its_name(tmp_path: Path) -> None:
    """The new folder is there whole, and none of the old one."""
    for name in ("old", "new"):
        with atomic_path(tmp_path / "folder") as part:
            part.mkdir()
            (part / name).touch()
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == ["folder", "folder/new"]


def test_parts_of_an_interrupted_write_can_be_removed(tmp_path: Path) -> None:
    """The parts of one file go, files or folders; those of others stay."""
    for name in (".bus.json.1a.part", ".bus.json.2b.part", ".bus-json.2b.part", "bus.json"):
        (tmp_path / name).touch()
    (tmp_path / ".bus.json.3c.part").mkdir()
    remove_parts(tmp_path / "bus.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".bus-json.2b.part", "bus.json"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_an_error_that_may_pass(tmp_path: Path, code: int) -> None:
    """What the system or a library raises during the write becomes `insufficient_storage`, and nothing stays."""
    with pytest.raises(UnavailableError) as caught, AtomicFile(tmp_path / "x"):
        raise OSError(code, "no space")
    assert (caught.value.code, caught.value.retryable) == (ErrorCode.INSUFFICIENT_STORAGE, True)
    with pytest.raises(UnavailableError, match="disk is full"), atomic_path(tmp_path / "x"):
        raise OSError(code, "no space")
    with pytest.raises(PermissionError), atomic_path(tmp_path / "x"):
        raise PermissionError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_way_leaves_nothing_behind(tmp_path: Path) -> None:
    """Where a folder has the name of the file, the write fails and removes its part."""
    (tmp_path / "x" / "full").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        write_atomically(tmp_path / "x", "x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]
