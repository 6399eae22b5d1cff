"""Picked points: their layer, and the files for other programs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import starfile

from cryomamba.picks import Picks, read_csv
from cryomamba.records import JobState
from napari_cryomamba.picks_layer import diameter_A, hide_below, picks_in, show_picks
from napari_cryomamba.widgets import CryoMambaWidget

if TYPE_CHECKING:
    from tests.desktop.conftest import RecordMaker

pytestmark = pytest.mark.desktop
WAIT_MS = 90_000
SIZE = (20.0, 10.0, 10.0)
PICKS = Picks(
    np.array([[0.0, 0.0, 0.0], [24.0, 48.0, 48.0], [10.25, 20.0, 30.5]]),
    np.array([20.0, 90.0, 50.0]),
    np.array([1, 1, 2]),
)


@pytest.fixture
def layer(panel: Any, make_record: RecordMaker) -> Any:
    record = make_record(state=JobState.COMPLETED, params={"diameter_A": 180.0})
    return show_picks(panel.viewer, record, PICKS, SIZE, diameter_A(record, None))


def test_points_lie_where_the_particles_are(layer: Any) -> None:
    """In nm, each of the engine's diameter, a colour per label."""
    np.testing.assert_allclose(layer.data_to_world(PICKS.positions[2]), [20.5, 20.0, 30.5])
    assert layer.size[0] * layer.scale[-1] == pytest.approx(18.0)
    assert not np.allclose(layer.border_color[0], layer.border_color[2])


def test_points_of_a_low_score_hide_and_are_not_exported(panel: Any, layer: Any, tmp_path: Path) -> None:
    """What is exported is what is shown, a point that the person added among it."""
    panel.picks.score.setValue(40)
    assert panel.picks.count.text() == "2 of 3 points"
    layer.add([[1.0, 2.0, 3.0]])
    assert len(picks_in(layer)) == 3
    panel.picks.export_to(tmp_path / "p.star")
    star = starfile.read(tmp_path / "p.star")
    assert star["rlnTomoName"].unique().tolist() == ["vesicles"]
    centred = star[[f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ"]].to_numpy()
    np.testing.assert_allclose(centred[0], [0.0, 0.0, 0.0])
    np.testing.assert_allclose(star["rlnAutopickFigureOfMerit"], [90, 50, 255])
    panel.picks.export_to(tmp_path / "p.csv")
    np.testing.assert_allclose(read_csv(tmp_path / "p.csv").positions[1], [10.25, 20.0, 30.5])
    assert sorted(path.name for path in tmp_path.glob("*p*.*")) == ["p.csv", "p.star"]
    assert hide_below(layer, 0.0) == 4


def test_the_same_job_has_one_layer(panel: Any, layer: Any, make_record: RecordMaker) -> None:
    """Shown again, the picks replace those from before."""
    show_picks(panel.viewer, make_record(state=JobState.COMPLETED), PICKS, SIZE)
    assert len(panel.viewer.layers) == 1
    panel.viewer.layers.clear()
    assert panel.picks.title.text() == "No picks yet"
    assert not panel.picks.export.isEnabled()


def test_points_on_membranes_have_arrows(panel: Any, make_record: RecordMaker, tmp_path: Path) -> None:
    """Normals are arrows beside the points, in voxels, shown again they are replaced, and exports have them."""
    record = make_record(state=JobState.COMPLETED, params={"point_spacing_A": 100.0})
    normals = np.array([[1.0, 0, 0], [0, 0.6, 0.8], [0, 0, -1.0]])
    membranes = replace(PICKS, kind="membranes", normals=normals)
    for _ in range(2):
        layer = show_picks(panel.viewer, record, membranes, SIZE, diameter_A(record, None))
    assert [one._type_string for one in panel.viewer.layers] == ["vectors", "points"]
    arrows = panel.viewer.layers[0].data
    np.testing.assert_allclose(arrows[:, 0], PICKS.positions)
    np.testing.assert_allclose(arrows[:, 1] * SIZE, 50 * normals)
    assert layer.size[0] * layer.scale[-1] == pytest.approx(5.0)
    layer.add([[1.0, 2.0, 3.0]])
    panel.picks.export_to(tmp_path / "m.csv")
    again = read_csv(tmp_path / "m.csv")
    assert again.normals is not None
    np.testing.assert_allclose(again.normals, [*normals, [1, 0, 0]], atol=1e-5)
    panel.picks.export_to(tmp_path / "m.star")
    assert "rlnTomoSubtomogramTilt" in starfile.read(tmp_path / "m.star")


def test_no_picks_are_a_layer_too(panel: Any, make_record: RecordMaker) -> None:
    """A job that found nothing shows that it did."""
    empty = Picks(np.empty((0, 3)), np.empty(0), np.empty(0, np.int64))
    show_picks(panel.viewer, make_record(state=JobState.COMPLETED), empty, SIZE)
    assert panel.picks.count.text() == "0 points"


def test_an_engine_that_picks_shows_its_points(panel: CryoMambaWidget, phantom_file: Path, qtbot: Any) -> None:
    """Run here, the engine for particles leaves a mask and its picks in the viewer."""
    panel.open_files([phantom_file])
    qtbot.waitUntil(
        lambda: bool(panel.segment.engine.findText("particles") >= 0 and panel.viewer.layers), timeout=WAIT_MS
    )
    panel.segment.engine.setCurrentText("particles")
    panel.segment.here.click()
    qtbot.waitUntil(lambda: panel.picks.export.isEnabled(), timeout=WAIT_MS)
    [points] = [layer for layer in panel.viewer.layers if layer.name.endswith("picks")]
    written = read_csv(panel.desk.runs.local.file(panel.desk.runs.table.rows[0].job_id, "picks.csv"))
    np.testing.assert_allclose(points.data, written.positions)


def test_membranes_come_with_pieces_and_arrows(panel: CryoMambaWidget, phantom_file: Path, qtbot: Any) -> None:
    """Asked for in the form, the job's mask can be shown as numbered pieces, and its points have arrows."""
    panel.open_files([phantom_file])
    qtbot.waitUntil(
        lambda: bool(panel.segment.engine.findText("membrane") >= 0 and panel.viewer.layers), timeout=WAIT_MS
    )
    panel.segment.engine.setCurrentText("membrane")
    panel.segment.form.fill({"instances": True, "point_spacing_A": 120.0})
    panel.segment.here.click()
    qtbot.waitUntil(lambda: panel.picks.export.isEnabled(), timeout=WAIT_MS)
    assert [layer.name.rpartition("· ")[2] for layer in panel.viewer.layers][-2:] == ["normals", "picks"]
    job_id = panel.desk.runs.table.rows[0].job_id
    overlay = panel.desk.watching.overlays[job_id]
    qtbot.waitUntil(lambda: overlay.final, timeout=WAIT_MS)
    panel.mask_panel.show_layer(overlay.layer)
    version = panel.mask_panel.version
    assert [version.itemText(row) for row in range(version.count())] == [
        "As the engine made it",
        "Its pieces, numbered",
    ]
    version.activated.emit(1)
    qtbot.waitUntil(lambda: overlay.layer.data.max() > 1, timeout=WAIT_MS)
