"""STAR files of RELION are read in both dialects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import starfile
from scipy.spatial.transform import Rotation

from cryomamba.errors import InvalidRequestError, NotFoundError
from cryomamba.picks import Picks, TomogramInfo, read_picks, read_relion, write_star
from cryomamba.picks.star_reader import read_star

FRAME = TomogramInfo((40, 61, 80), (10.0, 10.0, 10.0), "TS 01")
PLACES = np.array([[0.0, 0.0, 0.0], [20.0, 30.5, 40.0], [39.25, 60.0, 79.5]])
PICKS = Picks(PLACES, np.array([200.0, 150.5, 99.25]), np.array([1, 1, 2]))


@pytest.mark.parametrize("relion", [4, 5])
def test_what_is_written_is_read_again(tmp_path: Path, relion: int) -> None:
    """Particles, filaments and oriented membranes keep places, scores, labels and normals in both dialects."""
    normals = np.array([[1.0, 0, 0], [0, 0.6, 0.8], [-0.48, 0.6, -0.64]])
    for picks in (PICKS, replace(PICKS, kind="filaments"), replace(PICKS, kind="membranes", normals=normals)):
        write_star(picks, tmp_path / "p.star", FRAME, relion=relion)
        found = read_picks(tmp_path / "p.star", FRAME)
        np.testing.assert_allclose(found.positions, PLACES, atol=1e-3)
        assert found.labels.tolist() == [1, 1, 2]
        assert found.kind == picks.kind
        if picks.kind == "membranes":
            assert found.normals is not None
            np.testing.assert_allclose(found.normals, normals, atol=1e-4)
        else:
            np.testing.assert_allclose(found.scores, picks.scores, atol=1e-2)


def test_relion_4_has_pixels(tmp_path: Path) -> None:
    """Read by another program: voxels of the tomogram, the first being 0, and the size of a pixel."""
    write_star(PICKS, tmp_path / "p.star", FRAME, relion=4)
    table = starfile.read(tmp_path / "p.star")
    np.testing.assert_allclose(table[["rlnCoordinateZ", "rlnCoordinateY", "rlnCoordinateX"]], PLACES)
    assert "rlnCenteredCoordinateXAngst" not in table
    assert table["rlnDetectorPixelSize"].tolist() == [10] * 3


def test_warptools_has_pixels_and_whole_rotations(tmp_path: Path) -> None:
    """Read by another program: only what WarpTools documents, and the z axis of each rotation is the normal."""
    normals = np.array([[1.0, 0, 0], [0, 0.6, 0.8], [-0.48, 0.6, -0.64]])
    frame = replace(FRAME, name="TS_01_10.00Apx")
    write_star(replace(PICKS, kind="membranes", normals=normals), tmp_path / "p.star", frame, warp=True)
    table = starfile.read(tmp_path / "p.star")
    assert table["rlnMicrographName"].tolist() == ["TS_01.tomostar"] * 3
    np.testing.assert_allclose(table[["rlnCoordinateZ", "rlnCoordinateY", "rlnCoordinateX"]], PLACES)
    assert not [column for column in table if "Subtomogram" in column or column == "rlnTomoName"]
    # RELION's angles rotate the axes, intrinsically about z, y, z, so the inverse maps the particle to the tomogram.
    angles = table[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]].to_numpy()
    axes = Rotation.from_euler("ZYZ", angles, degrees=True).inv().apply([0, 0, 1])
    np.testing.assert_allclose(axes[:, ::-1], normals, atol=1e-4)
    found = read_picks(tmp_path / "p.star", frame)
    assert found.normals is not None
    np.testing.assert_allclose(found.positions, PLACES, atol=1e-3)
    np.testing.assert_allclose(found.normals, normals, atol=1e-4)


def test_warptools_has_no_angles_without_normals(tmp_path: Path) -> None:
    """Its particles then keep places, scores and classes, and a name that has the ending keeps one."""
    write_star(PICKS, tmp_path / "p.star", replace(FRAME, name="TS_01.tomostar"), warp=True)
    table = starfile.read(tmp_path / "p.star")
    assert not [column for column in table if "Angle" in column]
    assert table["rlnMicrographName"].tolist() == ["TS_01.tomostar"] * 3
    found = read_picks(tmp_path / "p.star", FRAME)
    np.testing.assert_allclose(found.scores, PICKS.scores, atol=1e-2)
    assert found.labels.tolist() == [1, 1, 2]


def test_pixels_of_the_tilt_series_become_voxels(tmp_path: Path) -> None:
    """The pixel size of the optics table scales them; one that is given does so too."""
    particles = pd.DataFrame({f"rlnCoordinate{axis}": [40.0, 80.0] for axis in "XYZ"} | {"rlnTomoName": ["TS 01"] * 2})
    optics = pd.DataFrame({"rlnOpticsGroup": [1], "rlnTomoTiltSeriesPixelSize": [2.5]})
    starfile.write({"optics": optics, "particles": particles}, tmp_path / "r4.star")
    np.testing.assert_allclose(read_relion(tmp_path / "r4.star", FRAME).positions, [[10] * 3, [20] * 3])
    starfile.write({"particles": particles}, tmp_path / "plain.star")
    np.testing.assert_allclose(read_relion(tmp_path / "plain.star", FRAME).positions, [[40] * 3, [80] * 3])
    scaled = read_relion(tmp_path / "plain.star", FRAME, pixel_size_A=1.25)
    np.testing.assert_allclose(scaled.positions, [[5] * 3, [10] * 3])
    assert np.isnan(scaled.scores).all()


def test_refined_origins_are_taken_off(tmp_path: Path) -> None:
    """In Å; with angles of the subtomogram, turned into the tomogram: +90° about z takes −y to x."""
    columns = {f"rlnCenteredCoordinate{axis}Angst": [0.0] for axis in "XYZ"}
    columns |= {"rlnOriginXAngst": [20.0], "rlnOriginYAngst": [0.0], "rlnOriginZAngst": [-10.0]}
    starfile.write(pd.DataFrame(columns), tmp_path / "a.star")
    np.testing.assert_allclose(read_relion(tmp_path / "a.star", FRAME).positions, [[21, 30.5, 38]])
    columns |= {"rlnTomoSubtomogramRot": [90.0], "rlnTomoSubtomogramTilt": [0.0], "rlnTomoSubtomogramPsi": [0.0]}
    starfile.write(pd.DataFrame(columns), tmp_path / "b.star")
    np.testing.assert_allclose(read_relion(tmp_path / "b.star", FRAME).positions, [[21, 32.5, 40]], atol=1e-9)


def test_only_the_particles_of_the_tomogram_are_read(tmp_path: Path) -> None:
    """By the name in the file, with or without an extension; for another tomogram the message has the names."""
    columns = {f"rlnCoordinate{axis}": [1.0, 2.0, 3.0] for axis in "XYZ"}
    table = pd.DataFrame(columns | {"rlnTomoName": ["TS_1", "TS_2.tomostar", "TS_2.tomostar"]})
    starfile.write(table, tmp_path / "all.star")
    found = read_relion(tmp_path / "all.star", replace(FRAME, name="TS_2"))
    assert found.positions[:, 0].tolist() == [2, 3]
    with pytest.raises(NotFoundError, match=r"it has those of TS_1, TS_2.tomostar"):
        read_relion(tmp_path / "all.star", FRAME)


def test_names_in_quotes_are_one_value(tmp_path: Path) -> None:
    """Blanks, quotes and number signs within quotes; comments and blocks without loops."""
    (tmp_path / "q.star").write_text(
        "# a comment\ndata_general\n\n_rlnTomoSubTomosAre2DStacks   1\n\n"
        "data_particles\nloop_\n_rlnTomoName #1\n_x #2\n"
        '"TS 01"  1.5\n\'it is # "two"\' 2\nplain#3 3 # end\n'
    )
    assert read_star(tmp_path / "q.star") == {
        "general": {"rlnTomoSubTomosAre2DStacks": ["1"]},
        "particles": {"rlnTomoName": ["TS 01", 'it is # "two"', "plain#3"], "x": ["1.5", "2", "3"]},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data_particles\nloop_\n_rlnTomoName\nTS\n", "has no coordinates"),
        ("data_\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n1 2\n", "Line 6 of 'bad.star' has 2 values"),
        ("data_\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n1 2 x\n", "is not a number"),
        (
            "data_\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n_rlnDetectorPixelSize\n1 2 3 None\n",
            "rlnDetectorPixelSize in 'bad.star' is not a number",
        ),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """The message says where it is wrong."""
    (tmp_path / "bad.star").write_text(text)
    with pytest.raises(InvalidRequestError, match=message):
        read_relion(tmp_path / "bad.star", FRAME)
