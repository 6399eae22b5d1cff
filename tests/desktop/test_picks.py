"""Picked points: their table, their layer, and the file for RELION."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import starfile

from cryomamba.errors import InvalidRequestError
from cryomamba.records import JobState
from napari_cryomamba.models.picks import Picks, read_picks, write_table
from napari_cryomamba.picks_layer import hide_below, picks_in, show_picks

if TYPE_CHECKING:
    from .conftest import RecordMaker

pytestmark = pytest.mark.desktop
SIZE = (20.0, 10.0, 10.0)
PICKS = Picks(
    np.array([[0.0, 0.0, 0.0], [24.0, 48.0, 48.0], [10.25, 20.0, 30.5]]), np.array([0.2, 0.9, 0.5]), np.array([1, 1, 2])
)


def test_the_table_comes_back(tmp_path: Path) -> None:
    """Voxels, scores and labels that were written are read again; Å stand beside them."""
    path = tmp_path / "picks.csv"
    write_table(path, PICKS, SIZE)
    lines = path.read_text().splitlines()
    assert lines[0] == "z,y,x,z_A,y_A,x_A,score,label"
    assert lines[3] == "10.25,20.0,30.5,205.0,200.0,305.0,0.5,2"
    found = read_picks(path)
    np.testing.assert_allclose(found.voxels, PICKS.voxels)
    np.testing.assert_allclose(found.scores, PICKS.scores)
    assert found.labels.tolist() == [1, 1, 2]


@pytest.mark.parametrize(
    ("text", "count"), [("z,y,x,z_A,y_A,x_A,score,label\n", 0), ("x,y,z\n1,2,3\n", 1), ("z,y,x,score\n1,2,3,\n", 1)]
)
def test_what_may_be_missing_may(tmp_path: Path, text: str, count: int) -> None:
    """No picks at all is a table too, and columns come in any order."""
    (tmp_path / "p.csv").write_text(text)
    assert len(read_picks(tmp_path / "p.csv")) == count


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "z,y,x\n1,2,three\n", "z,y,x\n1,2\n", "\0\0"])
def test_what_is_no_table_is_said(tmp_path: Path, text: str) -> None:
    """A damaged table is an error with a hint."""
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(InvalidRequestError):
        read_picks(tmp_path / "p.csv")


@pytest.fixture
def layer(panel: Any, make_record: RecordMaker) -> Any:
    record = make_record(state=JobState.COMPLETED, params={"diameter_A": 180.0})
    return show_picks(panel.viewer, record, PICKS, SIZE)


def test_points_lie_where_the_particles_are(layer: Any) -> None:
    """In nm, each of the engine's diameter, a colour per label."""
    np.testing.assert_allclose(layer.data_to_world(PICKS.voxels[2]), [20.5, 20.0, 30.5])
    assert layer.size[0] * layer.scale[-1] == pytest.approx(18.0)
    assert not np.allclose(layer.border_color[0], layer.border_color[2])


def test_points_of_a_low_score_hide_and_are_not_exported(panel: Any, layer: Any, tmp_path: Path) -> None:
    """What is exported is what is shown, a point that the person added among it."""
    panel.picks.score.setValue(0.4)
    assert panel.picks.count.text() == "2 of 3 points"
    layer.add([[1.0, 2.0, 3.0]])
    assert len(picks_in(layer)) == 3
    panel.picks.export_star(tmp_path / "p.star")
    star = starfile.read(tmp_path / "p.star")
    assert star["rlnTomoName"].unique().tolist() == ["vesicles"]
    centred = star[[f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ"]].to_numpy()
    np.testing.assert_allclose(centred[0], [0.0, 0.0, 0.0])
    np.testing.assert_allclose(star["rlnAutopickFigureOfMerit"], [0.9, 0.5, 1.0])
    panel.picks.export_csv(tmp_path / "p.csv")
    assert len(read_picks(tmp_path / "p.csv")) == 3
    assert hide_below(layer, 0.0) == 4


def test_the_same_job_has_one_layer(panel: Any, layer: Any, make_record: RecordMaker) -> None:
    """Shown again, the picks replace those from before."""
    show_picks(panel.viewer, make_record(state=JobState.COMPLETED), PICKS, SIZE)
    assert len(panel.viewer.layers) == 1
    panel.viewer.layers.clear()
    assert panel.picks.title.text() == "No picks yet"
    assert not panel.picks.star.isEnabled()
