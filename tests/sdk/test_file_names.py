"""Names of volume files."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryomamba.file_names import split_result_name, stem


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
def test_a_stem_is_the_name_without_its_extensions(name: str, expected: str) -> None:
    """Extensions of volumes and of compression are removed, other dots are kept."""
    assert stem(Path(name)) == expected


@pytest.mark.parametrize(
    ("name", "tomogram", "feature"),
    [
        ("t1__membrane.mrc", "t1", "membrane"),
        ("loop___particles.csv", "loop_", "particles.csv"),
        ("tilt__01__membrane_v2.mrc.gz", "tilt__01", "membrane_v2"),
        ("t1.mrc", "t1", ""),
        ("__x.mrc", "__x", ""),
    ],
)
def test_a_result_is_named_after_its_tomogram_and_feature(name: str, tomogram: str, feature: str) -> None:
    """Underscores of the tomogram's name stay with it: the feature begins after the last two."""
    assert split_result_name(Path(name)) == (tomogram, feature)
