"""The panel of measurements."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from cryomamba.models.jobs import JobState
from cryomamba.picks import Picks
from cryomamba.volumes import write_volume
from napari_cryomamba.layers.measurements import DISTANCE
from napari_cryomamba.layers.picks import hide_below, show_picks
from napari_cryomamba.models.measurements import Kind
from napari_cryomamba.models.world_coordinates import Placement
from napari_cryomamba.net.messages import JobChanged
from napari_cryomamba.widgets import CryoMambaWidget

if TYPE_CHECKING:
    from tests.desktop.conftest import FrameMaker, RecordMaker, WaitFor

pytestmark = pytest.mark.desktop
# A membrane of 4 nm across x, on voxels of 2 × 1 × 1 nm.
SIZE_A = (20.0, 10.0, 10.0)


@pytest.fixture
def tomogram(panel: CryoMambaWidget, tmp_path: Path, wait_for: WaitFor) -> Any:
    density = np.zeros((12, 40, 60), np.float32)
    density[:, :, 28:32] = -1
    write_volume(tmp_path / "t.mrc", density, SIZE_A)
    panel.controller.tomograms.open_files([tmp_path / "t.mrc"])
    return wait_for(lambda: panel.viewer.layers and panel.viewer.layers[0], panel.controller.notifications)


def draw(panel: CryoMambaWidget, kind: Kind, vertices: Any) -> Any:
    """Draw a shape as napari's tool does, in voxels."""
    panel.measure.draw(kind)
    layer = panel.viewer.layers.selection.active
    layer.add(vertices, shape_type="path" if kind is Kind.ANGLE else "line")
    return layer


def test_rulers_and_angles_are_listed_and_written_beside_the_lines(panel: CryoMambaWidget, tomogram: Any) -> None:
    """In nm on anisotropic voxels; a line that is moved changes its row, one that is deleted loses it."""
    layer = draw(panel, Kind.RULER, [[5, 10, 10], [5, 13, 14]])
    draw(panel, Kind.ANGLE, [[5, 10, 20], [5, 10, 10], [5, 20, 10]])
    measure = panel.measure
    assert [(row.kind, row.text) for row in measure.rows] == [(Kind.RULER, "5.0 nm"), (Kind.ANGLE, "90.0°")]
    assert layer.features["text"].tolist() == ["5.0 nm", "90.0°"]
    layer.selected_data = {0}
    layer._data_view.edit(0, np.array([[5, 10, 10], [8, 10, 18]]))
    layer.events.data(value=layer.data, action="changed", data_indices=(0,), vertex_indices=((),))
    assert measure.rows[0].value == pytest.approx(10.0)
    layer.remove_selected()
    assert [row.kind for row in measure.rows] == [Kind.ANGLE]


def test_the_hint_goes_with_the_tool(panel: CryoMambaWidget, tomogram: Any) -> None:
    """While a tool is chosen the panel says how to use it, and no longer."""
    draw(panel, Kind.PROFILE, [[5, 10, 10], [5, 13, 14]])
    assert panel.measure.status.text().startswith("Drag along the line")
    panel.measure.stop()
    assert panel.measure.status.text() == ""


def test_measurements_survive_a_job_that_arrives(
    panel: CryoMambaWidget, tomogram: Any, make_record: RecordMaker, make_frame: FrameMaker
) -> None:
    """The layer stays, and so does the tool that is being used."""
    layer = draw(panel, Kind.RULER, [[5, 10, 10], [5, 13, 14]])
    app = panel.controller
    app.jobs.table.adopt("job-1")
    app.on_message(JobChanged(make_record()))
    app.preview.show_job("job-1")
    app.frames["job-1"].put(make_frame())
    app.preview.draw("job-1")
    assert layer in panel.viewer.layers
    assert panel.measure.rows[0].value == pytest.approx(5.0)
    assert layer.mode == "add_line"
    assert panel.measure.buttons[Kind.RULER].isChecked()


def test_a_profile_shows_the_membrane(panel: CryoMambaWidget, tomogram: Any, tmp_path: Path) -> None:
    """The density falls to −1 over 4 nm, and is plotted and saved as soon as the line is drawn."""
    draw(panel, Kind.PROFILE, [[5, 20, 10], [5, 20, 50]])
    measure = panel.measure
    assert measure.profile is not None
    assert not measure.plot.isHidden()
    assert (measure.plot.position[0], measure.plot.position[-1]) == (0, 40)
    dark = measure.plot.position[measure.plot.value < -0.5]
    assert dark[-1] - dark[0] == pytest.approx(4.0, abs=1.0)
    measure.save_profile(tmp_path / "profile.csv")
    assert len((tmp_path / "profile.csv").read_text().splitlines()) == len(measure.plot.position) + 1
    measure.width_box.setValue(0)
    assert measure.plot.value.min() == -1


def test_the_profile_of_a_deleted_line_is_not_plotted(panel: CryoMambaWidget, tomogram: Any) -> None:
    """It can no longer be saved, either; an angle that is drawn after it leaves it plotted."""
    layer = draw(panel, Kind.PROFILE, [[5, 20, 10], [5, 20, 50]])
    draw(panel, Kind.ANGLE, [[5, 10, 20], [5, 10, 10], [5, 20, 10]])
    measure = panel.measure
    assert not measure.plot.isHidden()
    panel.viewer.layers.remove(layer)
    assert measure.plot.isHidden()
    assert measure.profile is None
    assert not measure.profile_button.isEnabled()


def test_distances_from_picks_to_a_mask(
    panel: CryoMambaWidget, tomogram: Any, make_record: RecordMaker, wait_for: WaitFor, tmp_path: Path
) -> None:
    """In nm to the nearest face, negative inside; hidden picks are left out, and a moved one loses its distance."""
    mask = np.zeros((12, 40, 60), np.uint8)
    mask[:, :, 28:32] = 1
    panel.viewer.add_labels(mask, name="membrane", **Placement.of_volume(SIZE_A).layer_arguments())
    positions = np.array([[5.0, 20, 20], [5, 20, 30], [5, 20, 41.5], [5, 20, 5]])
    picks = Picks(positions, np.array([90.0, 90, 90, 10]), np.ones(4, np.int64))
    layer = show_picks(panel.viewer, make_record(state=JobState.COMPLETED), picks, SIZE_A)
    hide_below(layer, 50)
    measure = panel.measure
    assert measure.distances.points_box.currentData() is layer
    assert measure.distances.mask_box.currentText() == "membrane"
    measure.distances.distance_button.click()
    wait_for(lambda: measure.rows, panel.controller.notifications)
    np.testing.assert_allclose([row.value for row in measure.rows], [7.5, -1.5, 10.0])
    assert measure.rows[0].begin == (10.0, 20.0, 20.0)
    assert "3 distances: median 7.5 nm" in measure.status.text()
    measure.save_csv(tmp_path / "d.csv")
    assert (tmp_path / "d.csv").read_text().count("distance") == 3
    layer._move([0], [5, 20, 60])
    assert np.isnan(layer.features[DISTANCE][0])
    assert len(measure.rows) == 2
    layer.add([[1.0, 2.0, 3.0]])
    assert len(measure.rows) == 2


def test_distances_can_be_cancelled(panel: CryoMambaWidget, tomogram: Any) -> None:
    """The panel says so, and the button can be pressed again."""
    mask = panel.viewer.add_labels(np.ones((12, 40, 60), np.uint8), **Placement.of_volume(SIZE_A).layer_arguments())
    measure, tasks = panel.measure, panel.controller.tasks
    measure.distances.add_points()
    measure.distances.points_box.currentData().add([[5.0, 20.0, 20.0]])
    assert measure.distances.mask_box.currentData() is mask
    measure.distances.distance_button.click()
    [task] = [task for task in tasks.waited_for if task.context == "Measuring distances"]
    tasks.abandon(task)
    assert measure.status.text() == "Cancelled."
    assert measure.distances.distance_button.isEnabled()


def test_without_points_the_panel_says_what_to_do(panel: CryoMambaWidget, tomogram: Any) -> None:
    """'New points' adds a layer in which a click adds a point."""
    measure = panel.measure
    assert not measure.distances.distance_button.isEnabled()
    panel.viewer.add_labels(np.ones((12, 40, 60), np.uint8), **Placement.of_volume(SIZE_A).layer_arguments())
    measure.distances.points_button.click()
    layer = panel.viewer.layers.selection.active
    assert (layer.name, layer.mode) == ("points", "add")
    measure.distances.distance_button.click()
    assert measure.status.text() == "There are no points. Add points with napari's tool, then try again."
