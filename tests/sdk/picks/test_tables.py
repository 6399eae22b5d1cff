"""Tables of picks: what is written is read back by starfile and NumPy with the right places."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import starfile
from scipy.spatial.transform import Rotation

from cryomamba.errors import InvalidRequestError
from cryomamba.picks import Picks, TomogramInfo, empty_picks, read_csv, write_csv, write_picks

FRAME = TomogramInfo((40, 61, 80), (10.0, 12.0, 8.0), "TS 01")
PLACES = np.array([[0.0, 0.0, 0.0], [20.0, 30.5, 40.0], [39.25, 60.0, 79.5]])


def picks(kind: str = "particles") -> Picks:
    return Picks(PLACES, np.array([200.0, 150.5, 99.25]), np.array([1, 1, 2]), kind)  # type: ignore[arg-type]


def test_csv_has_voxels_and_angstrom(tmp_path: Path) -> None:
    """The columns are documented, Å are voxels times the voxel size, and the table reads back unchanged."""
    write_csv(picks(), tmp_path / "p.csv", FRAME)
    lines = (tmp_path / "p.csv").read_text().splitlines()
    assert lines[0] == "z,y,x,z_A,y_A,x_A,score,label"
    assert lines[2] == "20.000,30.500,40.000,200.000,366.000,320.000,150.50,1"
    again = read_csv(tmp_path / "p.csv")
    np.testing.assert_allclose(again.positions, PLACES)
    np.testing.assert_allclose(again.scores, picks().scores)
    assert again.labels.tolist() == [1, 1, 2]


def test_star_is_centred_as_relion_5_wants_it(tmp_path: Path) -> None:
    """Coordinates are Å from size / 2, X first; the centre of the tomogram is 0."""
    write_picks(picks(), tmp_path / "p.star", FRAME)
    table = starfile.read(tmp_path / "p.star")
    assert table["rlnTomoName"].tolist() == ["TS 01"] * 3
    middle = table.iloc[1]
    assert [middle[f"rlnCenteredCoordinate{axis}Angst"] for axis in "XYZ"] == [0, 0, 0]
    first = table.iloc[0]
    assert [first[f"rlnCenteredCoordinate{axis}Angst"] for axis in "XYZ"] == [-320, -366, -200]
    assert table["rlnAutopickFigureOfMerit"].tolist() == [200, 150.5, 99.25]
    assert table["rlnClassNumber"].tolist() == [1, 1, 2]


def test_picks_without_scores_have_no_column_of_scores(tmp_path: Path) -> None:
    """Without scores the STAR file has no figure of merit, the CSV empty cells, and the Dynamo table zeros."""
    unscored = replace(picks(), scores=np.full(3, np.nan))
    for ending in (".csv", ".star", ".tbl"):
        write_picks(unscored, tmp_path / f"p{ending}", FRAME)
    table = starfile.read(tmp_path / "p.star")
    assert "rlnAutopickFigureOfMerit" not in table
    assert table["rlnClassNumber"].tolist() == [1, 1, 2]
    assert (tmp_path / "p.csv").read_text().splitlines()[1].endswith(",,1")
    assert len(read_csv(tmp_path / "p.csv")) == 3
    assert np.loadtxt(tmp_path / "p.tbl")[:, 9].tolist() == [0, 0, 0]


def test_filaments_have_tubes_and_lengths(tmp_path: Path) -> None:
    """The tube is the filament's number, and the arc length begins at 0 for each filament."""
    write_picks(picks("filaments"), tmp_path / "f.star", FRAME)
    table = starfile.read(tmp_path / "f.star")
    assert table["rlnHelicalTubeID"].tolist() == [1, 1, 2]
    step = float(np.linalg.norm((PLACES[1] - PLACES[0]) * FRAME.voxel_size_A))
    np.testing.assert_allclose(table["rlnHelicalTrackLengthAngst"], [0, step, 0], atol=1e-3)
    assert "rlnClassNumber" not in table
    write_csv(picks("filaments"), tmp_path / "f.csv", FRAME)
    assert read_csv(tmp_path / "f.csv").kind == "filaments"
    assert picks("filaments").objects == 2


def test_dynamo_tables_have_35_columns(tmp_path: Path) -> None:
    """Tags count from 1, x, y, z stand in columns 24 to 26 and count from 1, the score in column 10."""
    write_picks(picks(), tmp_path / "p.tbl", FRAME)
    table = np.loadtxt(tmp_path / "p.tbl")
    assert table.shape == (3, 35)
    assert table[:, 0].tolist() == [1, 2, 3]
    np.testing.assert_allclose(table[:, 23:26], PLACES[:, ::-1] + 1, rtol=1e-5)
    np.testing.assert_allclose(table[:, 9], [200, 150.5, 99.25])


def test_membranes_have_normals_and_angles_that_agree(tmp_path: Path) -> None:
    """Read back by starfile and NumPy, both programs' angles turn z onto the normal; the CSV gives the picks again."""
    normals = np.array([[1.0, 0, 0], [0.6, 0, -0.8], [0, 1.0, 0]])
    membranes = replace(picks("membranes"), normals=normals)
    for ending in (".csv", ".star", ".tbl"):
        write_picks(membranes, tmp_path / f"m{ending}", FRAME)
    again = read_csv(tmp_path / "m.csv")
    assert again.kind == "membranes"
    assert again.normals is not None
    np.testing.assert_allclose(again.normals, normals, atol=1e-5)
    np.testing.assert_allclose(again.positions, PLACES)
    assert again.labels.tolist() == [1, 1, 2]
    star = starfile.read(tmp_path / "m.star")
    outer, inner = (
        Rotation.from_euler("ZYZ", star[[f"rln{of}{angle}" for angle in ("Rot", "Tilt", "Psi")]], degrees=True).inv()
        for of in ("TomoSubtomogram", "Angle")
    )
    np.testing.assert_allclose((outer * inner).as_matrix()[:, :, 2], normals[:, ::-1], atol=1e-4)
    np.testing.assert_allclose(star["rlnAngleTiltPrior"], star["rlnAngleTilt"])
    assert star["rlnTomoManifoldIndex"].tolist() == [1, 1, 2]
    table = np.loadtxt(tmp_path / "m.tbl")
    turned = Rotation.from_euler("zxz", table[:, 6:9], degrees=True).inv().as_matrix()
    np.testing.assert_allclose(turned[:, :, 2], normals[:, ::-1], atol=1e-4)
    assert table[:, 20].tolist() == [1, 1, 2]
    chosen = membranes.select(np.array([1])).normals
    assert chosen is not None
    assert chosen.tolist() == [[0.6, 0, -0.8]]


@pytest.mark.parametrize("ending", [".csv", ".star", ".tbl"])
def test_nothing_found_makes_a_table_without_rows(tmp_path: Path, ending: str) -> None:
    """An empty list can be written in every format."""
    write_picks(empty_picks(), tmp_path / f"p{ending}", FRAME)
    assert (tmp_path / f"p{ending}").exists()
    if ending == ".csv":
        assert not len(read_csv(tmp_path / "p.csv"))


def test_an_invalid_table_is_refused_with_a_clear_message(tmp_path: Path) -> None:
    """The message names a missing column or the line of an invalid cell."""
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    with pytest.raises(InvalidRequestError, match="lacks the column z"):
        read_csv(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("z,y,x\n1,2,three\n")
    with pytest.raises(InvalidRequestError, match="Line 2"):
        read_csv(tmp_path / "b.csv")
    with pytest.raises(InvalidRequestError, match="Unknown output format"):
        write_picks(picks(), tmp_path / "p.txt", FRAME)
