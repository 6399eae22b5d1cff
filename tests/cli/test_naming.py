"""Names of results."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryomamba.errors import ConflictError, InvalidRequestError
from cryomamba_cli.naming import mask_path, require_free, stem


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("t1.mrc", "t1"),
        ("t1.rec.gz", "t1"),
        ("T1.MRC.BZ2", "T1"),
        ("a.b.map", "a.b"),
        ("plain", "plain"),
        ("t1.st", "t1"),
        (".mrc", ".mrc"),
    ],
)
def test_a_stem_is_the_name_without_its_kind(name: str, expected: str) -> None:
    """Endings of volumes and packers go, other dots stay."""
    assert stem(Path(name)) == expected


def test_a_mask_is_named_after_tomogram_and_engine(tmp_path: Path) -> None:
    """Without a name it goes into the working folder, a folder gets the usual name, a name is taken as it is."""
    tomogram = tmp_path / "data" / "t1.rec.gz"
    assert mask_path(tomogram, None, "membrane") == Path("t1__membrane.mrc")
    assert mask_path(tomogram, tmp_path, "membrane") == tmp_path / "t1__membrane.mrc"
    assert mask_path(tomogram, Path("x.mrc"), "membrane") == Path("x.mrc")


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    """A file in the way is a conflict, unless forced; a folder or a missing folder never fits."""
    path = tmp_path / "mask.mrc"
    require_free(path, force=False)
    path.touch()
    with pytest.raises(ConflictError):
        require_free(path, force=False)
    require_free(path, force=True)
    for wrong in (tmp_path, tmp_path / "missing" / "mask.mrc"):
        with pytest.raises(InvalidRequestError):
            require_free(wrong, force=True)
