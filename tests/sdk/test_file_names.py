"""Names of volume files."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryomamba.file_names import stem


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
