"""Paths of results."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryomamba.errors import ConflictError, InvalidRequestError
from cryomamba_cli.result_paths import mask_path, require_absent


def test_a_mask_is_named_after_tomogram_and_engine(tmp_path: Path) -> None:
    """It goes to the current folder, or to a given folder under the usual name, or to a given path."""
    tomogram = tmp_path / "data" / "t1.rec.gz"
    assert mask_path(tomogram, None, "membrane") == Path("t1__membrane.mrc")
    assert mask_path(tomogram, tmp_path, "membrane") == tmp_path / "t1__membrane.mrc"
    assert mask_path(tomogram, Path("x.mrc"), "membrane") == Path("x.mrc")


@pytest.mark.parametrize("name", ["mask.nii.gz", "masks", "mask.tif"])
def test_a_mask_has_the_name_of_an_mrc_file(tmp_path: Path, name: str) -> None:
    """A folder that does not exist, or the extension of another format, is refused: MRC is what would be written."""
    with pytest.raises(InvalidRequestError):
        mask_path(tmp_path / "t1.mrc", tmp_path / name, "membrane")


def test_existing_files_are_not_overwritten(tmp_path: Path) -> None:
    """An existing file is a conflict unless forced; a folder, or a path in a missing folder, is refused in any case."""
    path = tmp_path / "mask.mrc"
    require_absent(path, force=False)
    path.touch()
    with pytest.raises(ConflictError):
        require_absent(path, force=False)
    require_absent(path, force=True)
    for wrong in (tmp_path, tmp_path / "missing" / "mask.mrc"):
        with pytest.raises(InvalidRequestError):
            require_absent(wrong, force=True)
