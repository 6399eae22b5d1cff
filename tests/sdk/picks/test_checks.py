"""Tables of picks with numbers that no pick can have, or that are no tables, are refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cryomamba.errors import InvalidRequestError
from cryomamba.picks import Picks, TomogramInfo, read_picks, write_picks
from cryomamba.picks.star_reader import read_star
from cryomamba.picks.tables import write_star

TOMOGRAM = TomogramInfo((40, 61, 80), (10.0, 12.0, 8.0), "t1")
CSV = "z,y,x,score,label\n"
STAR = "data_particles\n\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n_rlnClassNumber\n"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p.csv", f"{CSV}nan,2,3,1,1\n", "not finite"),
        ("p.csv", f"{CSV}1,2,3,1,1\n1,1e400,3,1,1\n", "of pick 2"),
        ("p.csv", f"{CSV}1,2,3,1,inf\n", "not a whole number"),
        ("p.csv", f"{CSV}1,2,3,1,99999999999999999999\n", "not a whole number"),
        ("p.csv", f"{CSV}{'1' * 200_000},2,3,1,1\n", "not a table of picks"),
        ("p.star", f"{STAR}1 nan 3 1\n", "not finite"),
        ("p.star", f"{STAR}1 2 inf 1\n", "not finite"),
        ("p.star", f"{STAR}1 2 3 nan\n", "not a whole number"),
        ("p.star", f"{STAR}1 2 3 1e300\n", "not a whole number"),
    ],
)
def test_numbers_that_no_pick_can_have_are_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    """Coordinates that are not finite and labels that do not fit into an integer are named, never wrapped."""
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidRequestError, match=message):
        read_picks(tmp_path / name, TOMOGRAM)


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_table_in_another_encoding_is_refused(tmp_path: Path, encoding: str) -> None:
    """A table that is not UTF-8 is refused with the advice how to save it."""
    (tmp_path / "p.csv").write_text(f"{CSV}1,2,3,1,1,°\n", encoding=encoding)
    with pytest.raises(InvalidRequestError, match="not text in UTF-8"):
        read_picks(tmp_path / "p.csv", TOMOGRAM)


@pytest.mark.filterwarnings("error")
def test_a_model_with_a_point_that_is_no_number_is_refused(tmp_path: Path) -> None:
    """A signalling NaN among the points of an IMOD model is refused and makes no warning."""
    write_picks(Picks(np.ones((1, 3)), np.ones(1), np.ones(1, np.int64)), tmp_path / "p.mod", TOMOGRAM)
    content = bytearray((tmp_path / "p.mod").read_bytes())
    at = content.index(b"CONT") + 4 + 16
    content[at : at + 4] = b"\x7f\xbf\xff\xff"
    (tmp_path / "p.mod").write_bytes(content)
    with pytest.raises(InvalidRequestError, match="not finite"):
        read_picks(tmp_path / "p.mod", TOMOGRAM)


@pytest.mark.parametrize("name", ["'x y'", "it's #1", "_\"a'", "data_'"])
def test_quotes_in_names_are_read_again(tmp_path: Path, name: str) -> None:
    """A name in quotes that has single and double quotes in it is the same after writing and reading."""
    picks = Picks(np.ones((1, 3)), np.ones(1), np.ones(1, np.int64))
    write_star(picks, tmp_path / "p.star", TomogramInfo((4, 4, 4), (1.0, 1.0, 1.0), name))
    assert read_star(tmp_path / "p.star")["particles"]["rlnTomoName"] == [name]
