"""Which paths may be written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cryomamba.errors import ConflictError, InvalidRequestError
from cryomamba.output_paths import MRC, names_folder, output_file, output_in, require_not_input, require_outputs


def test_the_extension_is_that_of_what_is_written() -> None:
    """Any case of the extension counts; another one, a compressed one, or nothing but an extension is refused."""
    assert output_file("a/Mask.MRC", MRC) == Path("a/Mask.MRC")
    for wrong in ("mask.nii.gz", "mask.mrc.gz", "mask", ".mrc", "mask.mrc.txt"):
        with pytest.raises(InvalidRequestError, match="extension"):
            output_file(wrong, MRC)


def test_a_name_that_ends_with_a_slash_is_a_folder(tmp_path: Path) -> None:
    """It is no file name, whatever its extension, except for a format that is a folder."""
    assert names_folder("new.mrc/")
    assert names_folder(tmp_path)
    assert not names_folder(str(tmp_path / "new.mrc"))
    assert output_in("new/", "mask.mrc", MRC) == Path("new/mask.mrc")
    with pytest.raises(InvalidRequestError, match="folder"):
        output_file("new.mrc/", MRC)
    assert output_file("new.ome.zarr/", (".ome.zarr", ".zarr")) == Path("new.ome.zarr")


@pytest.mark.parametrize("replace", [False, True])
def test_an_output_is_never_an_input(tmp_path: Path, replace: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not under another spelling, a symbolic link, a hard link or a linked folder, even if files may be replaced."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    tomogram = tmp_path / "data" / "t.mrc"
    tomogram.write_bytes(b"voxels")
    (tmp_path / "symbolic.mrc").symlink_to(tomogram)
    (tmp_path / "hard.mrc").hardlink_to(tomogram)
    (tmp_path / "linked").symlink_to(tmp_path / "data")
    spellings = ("data/t.mrc", "data/../data/./t.mrc", "symbolic.mrc", "hard.mrc", "linked/t.mrc", str(tomogram))
    for output in spellings:
        with pytest.raises(InvalidRequestError, match="input"):
            require_outputs([Path("other.mrc"), Path(output)], inputs=[tomogram], replace=replace)
        with pytest.raises(InvalidRequestError, match="input"):
            require_outputs([tomogram], inputs=[Path(output)], replace=replace)
    assert tomogram.read_bytes() == b"voxels"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "hard.mrc", "linked", "symbolic.mrc"]


def test_an_input_that_only_a_server_has_counts_too(tmp_path: Path) -> None:
    """A path of an input that does not exist here is no name for an output either."""
    with pytest.raises(InvalidRequestError, match="input"):
        require_not_input([tmp_path / "x" / ".." / "t.mrc"], [tmp_path / "t.mrc"])


def test_two_outputs_have_two_names(tmp_path: Path) -> None:
    """Also if they are spelt differently, or lead through a linked folder."""
    (tmp_path / "data").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "data")
    first = tmp_path / "data" / "a.mrc"
    require_outputs([first, tmp_path / "data" / "b.mrc"])
    for second in (first, tmp_path / "data" / ".." / "data" / "a.mrc", tmp_path / "linked" / "a.mrc"):
        with pytest.raises(InvalidRequestError, match="Two results"):
            require_outputs([first, second], replace=True)


def test_existing_files_are_replaced_only_on_demand(tmp_path: Path) -> None:
    """A file or a broken link of the name is a conflict; a pipe is never replaced."""
    path, link, pipe = tmp_path / "mask.mrc", tmp_path / "link.mrc", tmp_path / "pipe.mrc"
    require_outputs([path])
    path.touch()
    link.symlink_to("nowhere")
    os.mkfifo(pipe)
    for existing in (path, link):
        with pytest.raises(ConflictError):
            require_outputs([existing])
        require_outputs([existing], replace=True)
    with pytest.raises(InvalidRequestError, match="regular"):
        require_outputs([pipe], replace=True)


def own_zarr(folder: Path) -> Path:
    for name in ("zarr.json", "0/zarr.json", "0/c/0/0/1", "1/zarr.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    return folder


@pytest.mark.parametrize("foreign", ["notes.txt", "0/c/0/0/1.mrc", "2/raw.dat", "data/zarr.json", ".git/config"])
def test_a_folder_is_replaced_only_if_it_holds_a_result(tmp_path: Path, foreign: str) -> None:
    """With anything in it that this program does not write, it is refused by that file's name, and left as it is."""
    folder = own_zarr(tmp_path / "mask.ome.zarr")
    with pytest.raises(ConflictError):
        require_outputs([folder])
    require_outputs([folder], replace=True)
    (folder / foreign).parent.mkdir(parents=True, exist_ok=True)
    (folder / foreign).write_text("mine")
    with pytest.raises(InvalidRequestError, match=foreign.split("/")[0]):
        require_outputs([folder], replace=True)
    assert (folder / foreign).read_text() == "mine"


def test_other_folders_are_never_replaced(tmp_path: Path) -> None:
    """A folder under a file's name, a link to a result, and a folder that an input is in are refused."""
    (tmp_path / "mask.mrc").mkdir()
    own = own_zarr(tmp_path / "mask.ome.zarr")
    (tmp_path / "link.zarr").symlink_to(own)
    for path in (tmp_path / "mask.mrc", tmp_path / "link.zarr"):
        with pytest.raises(InvalidRequestError):
            require_outputs([path], replace=True)
    with pytest.raises(InvalidRequestError, match="in the folder"):
        require_outputs([own], inputs=[own / "0" / "zarr.json"], replace=True)


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A missing folder, a file in place of a folder, a file system without files, and a name that is too long."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "missing" / "m.mrc", tmp_path / "file" / "m.mrc", tmp_path / f"{'m' * 300}.mrc"):
        with pytest.raises(InvalidRequestError, match=path.name[:50]):
            require_outputs([path], replace=True)
    with pytest.raises(InvalidRequestError, match="/proc/1"):
        require_outputs([Path("/proc/1/m.mrc")], replace=True)
    with pytest.raises(InvalidRequestError, match="file"):
        require_outputs([tmp_path / "file" / "m.mrc"], folder=tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_long_name_that_the_file_system_takes_can_be_written(tmp_path: Path) -> None:
    """The temporary name under which a file is written is no longer than the longest name that is allowed."""
    path = tmp_path / f"{'m' * 251}.mrc"
    require_outputs([path])


def test_a_folder_is_made_once_nothing_else_is_wrong(tmp_path: Path) -> None:
    """Only the one that is named for it, and not if an output is refused."""
    folder = tmp_path / "new" / "masks"
    with pytest.raises(InvalidRequestError):
        require_outputs([folder / "a.mrc", folder / "a.mrc"], folder=folder)
    assert not folder.exists()
    require_outputs([folder / "a.mrc"], folder=folder)
    assert folder.is_dir()
    assert list(folder.iterdir()) == []
