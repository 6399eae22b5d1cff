"""Names in STAR files: what must be quoted is quoted, and the package starfile reads it back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import starfile

from cryomamba.picks import Picks, TomogramInfo, write_star
from cryomamba.picks.star_values import star_value

NAMES = [
    "TS_01",
    "data_1",
    "DATA_x",
    "_underscore",
    "#hash",
    "tomo#2",
    ";semicolon",
    "loop_",
    "loop_x",
    "save_x",
    "stop_",
    "global_",
    "$reference",
    "[bracket",
    "two words",
    "  blanks  kept ",
    "",
    '"quoted"',
    '"begins',
    'a"b',
    'a" b',
    'a" "b',
    "back\\slash",
    "Å tomogram",
]


def read_back(folder: Path, name: str) -> list[str]:
    """Write three picks in a tomogram of that name, check the other columns, and return the names that were read."""
    picks = Picks(np.arange(9.0).reshape(3, 3), np.array([3.0, 2.0, 1.0]), np.array([1, 2, 3]))
    write_star(picks, folder / "p.star", TomogramInfo((2, 4, 6), (1.0, 1.0, 1.0), name))
    table = starfile.read(folder / "p.star")
    assert table["rlnCenteredCoordinateXAngst"].tolist() == [-1, 2, 5]
    assert table["rlnCenteredCoordinateZAngst"].tolist() == [-1, 2, 5]
    assert table["rlnAutopickFigureOfMerit"].tolist() == [3, 2, 1]
    assert table["rlnClassNumber"].tolist() == [1, 2, 3]
    names: list[str] = table["rlnTomoName"].tolist()
    return names


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_read_back_by_starfile(tmp_path: Path, name: str) -> None:
    """Names that begin like a keyword, a label, a comment or a quote, with blanks, or empty, come back unchanged."""
    assert read_back(tmp_path, name) == [name] * 3


@pytest.mark.parametrize("name", ["it's", "'begins", "'both' \"kinds\"", "it's two words"])
def test_single_quotes_shift_no_column(tmp_path: Path, name: str) -> None:
    """starfile reads every single quote as a double one; the rest of the name and all other columns are right."""
    assert read_back(tmp_path, name) == [name.replace("'", '"')] * 3


def test_a_value_stays_on_its_line(tmp_path: Path) -> None:
    """Control characters and line breaks become blanks, and undecodable bytes of a file name question marks."""
    assert read_back(tmp_path, "a\nb\tc\x1b") == ["a b c "] * 3
    assert read_back(tmp_path, "caf\udce9") == ["caf?"] * 3


def test_plain_names_stay_bare() -> None:
    """A name that needs no quotes has none, because RELION itself does not read them."""
    assert [star_value(name) for name in ("TS_01", "it's", 'a"b')] == ["TS_01", "it's", 'a"b']
