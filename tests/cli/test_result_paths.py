"""Names of results."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryomamba.errors import InvalidRequestError
from cryomamba_cli.output_format import mask_target


def test_a_mask_is_named_after_tomogram_and_engine(tmp_path: Path) -> None:
    """It goes to the current folder, or to a given folder under the usual name, or to a given path."""
    tomogram = tmp_path / "data" / "t1.rec.gz"
    assert mask_target(tomogram, None, "membrane") == Path("t1__membrane.mrc")
    assert mask_target(tomogram, str(tmp_path), "membrane") == tmp_path / "t1__membrane.mrc"
    assert mask_target(tomogram, "new/", "membrane") == Path("new/t1__membrane.mrc")
    assert mask_target(tomogram, "x.mrc", "membrane") == Path("x.mrc")


@pytest.mark.parametrize("name", ["masks", "mask.doc", "mask.mrc.gz", ".mrc", ".nii.gz"])
def test_a_mask_has_the_name_of_a_file_of_masks(tmp_path: Path, name: str) -> None:
    """A folder that does not exist, or the extension of another format, is refused."""
    with pytest.raises(InvalidRequestError):
        mask_target(tmp_path / "t1.mrc", str(tmp_path / name), "membrane")
