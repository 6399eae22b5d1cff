"""The panel for picks: alone, and with engines that pick."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import starfile

from cryomamba.models.jobs import JobState
from cryomamba.picks import Picks, read_csv
from cryomamba.volumes import write_volume
from napari_cryomamba.app.controller import AppController
from napari_cryomamba.app.notifications import Notifications
from napari_cryomamba.app.task_runner import TaskRunner
from napari_cryomamba.layers.filaments import path_segments
from napari_cryomamba.layers.picks import picks_in, picks_of_job, show_picks
from napari_cryomamba.layers.tomogram import open_tomogram
from napari_cryomamba.models.submission import JobSubmission
from napari_cryomamba.widgets import CryoMambaWidget
from napari_cryomamba.widgets.picks import PicksPanel

if TYPE_CHECKING:
    from tests.desktop.conftest import RecordMaker, WaitFor

pytestmark = pytest.mark.desktop
SIZE = (20.0, 10.0, 10.0)
PICKS = Picks(
    np.array([[0.0, 0.0, 0.0], [24.0, 48.0, 48.0], [10.25, 20.0, 30.5]]),
    np.array([20.0, 90.0, 50.0]),
    np.array([1, 1, 2]),
)


@pytest.fixture
def picks(viewer: Any, tasks: TaskRunner, notifications: Notifications, qtbot: Any) -> PicksPanel:
    found = PicksPanel(viewer, tasks, notifications)
    qtbot.addWidget(found)
    return found


def test_points_below_the_minimum_score_are_not_exported(
    picks: PicksPanel, viewer: Any, make_record: RecordMaker, tmp_path: Path
) -> None:
    """The points that are shown are exported, those that the user added among them."""
    layer = show_picks(viewer, make_record(state=JobState.COMPLETED), PICKS, SIZE)
    picks.score.setValue(40)
    assert picks.count.text() == "2 of 3 points"
    layer.add([[1.0, 2.0, 3.0]])
    picks.export_to(tmp_path / "p.star")
    star = starfile.read(tmp_path / "p.star")
    assert star["rlnTomoName"].unique().tolist() == ["vesicles"]
    centred = star[[f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ"]].to_numpy()
    np.testing.assert_allclose(centred[0], [0.0, 0.0, 0.0])
    np.testing.assert_allclose(star["rlnAutopickFigureOfMerit"], [90, 50, 255])
    picks.export_to(tmp_path / "p.csv")
    np.testing.assert_allclose(read_csv(tmp_path / "p.csv").positions[1], [10.25, 20.0, 30.5])
    assert sorted(path.name for path in tmp_path.glob("*p*.*")) == ["p.csv", "p.star"]
    assert picks.status.text().startswith("Saved 3 points as p.csv")


def test_exports_of_membrane_points_have_their_orientation(
    picks: PicksPanel, viewer: Any, make_record: RecordMaker, tmp_path: Path
) -> None:
    """The STAR file has angles, also of a point that the user added."""
    normals = np.array([[1.0, 0, 0], [0, 0.6, 0.8], [0, 0, -1.0]])
    membranes = Picks(PICKS.positions, PICKS.scores, PICKS.labels, "membranes", normals)
    layer = show_picks(viewer, make_record(state=JobState.COMPLETED), membranes, SIZE)
    layer.add([[1.0, 2.0, 3.0]])
    picks.export_to(tmp_path / "m.csv")
    again = read_csv(tmp_path / "m.csv")
    assert again.normals is not None
    np.testing.assert_allclose(again.normals, [*normals, [1, 0, 0]], atol=1e-5)
    picks.export_to(tmp_path / "m.star")
    assert "rlnTomoSubtomogramTilt" in starfile.read(tmp_path / "m.star")


def test_without_points_the_panel_says_how_to_get_some(
    picks: PicksPanel, viewer: Any, make_record: RecordMaker
) -> None:
    """A job without picks shows 0 points; without a layer, export is disabled."""
    empty = Picks(np.empty((0, 3)), np.empty(0), np.empty(0, np.int64))
    show_picks(viewer, make_record(state=JobState.COMPLETED), empty, SIZE)
    assert picks.count.text() == "0 points"
    viewer.layers.clear()
    assert picks.title.text() == "No picks"
    assert not picks.export.isEnabled()


def run_locally(panel: CryoMambaWidget, tomogram: Path, wait_for: WaitFor, engine: str, **params: Any) -> str:
    """Open a tomogram, run an engine on it in this process, wait for its mask and picks, and return the job's id."""
    app: AppController = panel.controller
    app.tomograms.open_files([tomogram])
    wait_for(lambda: panel.viewer.layers, app.notifications)
    app.jobs.run_locally(JobSubmission(open_tomogram(tomogram).source, engine, params, "", 1.0))
    job_id = app.jobs.table.rows[0].job_id

    def shown() -> bool:
        overlay = app.preview.overlays.get(job_id)
        return picks_of_job(panel.viewer, job_id) is not None and overlay is not None and overlay.final

    wait_for(shown, app.notifications)
    panel.mask_panel.show_layer(app.preview.overlays[job_id].layer)
    return job_id


def written_picks(panel: CryoMambaWidget, job_id: str, name: str = "picks.csv") -> Picks:
    return read_csv(panel.controller.jobs.local.file(job_id, name))


def test_an_engine_for_particles_shows_its_points(
    panel: CryoMambaWidget, phantom_file: Path, wait_for: WaitFor
) -> None:
    """The points of the layer are those of the job's file."""
    job_id = run_locally(panel, phantom_file, wait_for, "particles")
    points = picks_of_job(panel.viewer, job_id)
    np.testing.assert_allclose(points.data, written_picks(panel, job_id).positions)


def test_membranes_come_with_components_and_normals(
    panel: CryoMambaWidget, phantom_file: Path, wait_for: WaitFor
) -> None:
    """If the job asked for them, its mask can be shown as labelled components, and its points have arrows."""
    job_id = run_locally(panel, phantom_file, wait_for, "membrane", instances=True, point_spacing_A=120.0)
    assert [layer.name.rpartition("· ")[2] for layer in panel.viewer.layers][-2:] == ["normals", "picks"]
    version = panel.mask_panel.version
    assert [version.itemText(row) for row in range(version.count())] == ["Original result", "Labelled components"]
    version.activated.emit(1)
    layer = panel.controller.preview.overlays[job_id].layer
    wait_for(lambda: layer.data.max() > 1, panel.controller.notifications)


def test_filaments_are_lines_through_their_picks(panel: CryoMambaWidget, tmp_path: Path, wait_for: WaitFor) -> None:
    """The lines in the viewer run through the picks of the job's file, on the tomogram."""
    axis = np.linalg.norm(np.indices((32, 72)) - np.array([16, 36])[:, None, None], axis=0)
    density = np.random.default_rng(4).normal(0, 0.5, (32, 72, 72)) - (axis <= 6.2)[:, None, :]
    write_volume(tmp_path / "tube.mrc", density.astype(np.float32), 20.0)
    job_id = run_locally(panel, tmp_path / "tube.mrc", wait_for, "filaments")
    written = written_picks(panel, job_id)
    assert written.kind == "filaments"
    segments, _ = path_segments(written)
    assert len(segments) > 40
    lines = next(layer for layer in panel.viewer.layers if layer.name.endswith("paths"))
    np.testing.assert_allclose(lines.data, segments)
    tomogram = panel.viewer.layers[0]
    np.testing.assert_allclose(lines.data_to_world(segments[0, 0]), tomogram.data_to_world(segments[0, 0]))


def test_picks_follow_the_threshold(panel: CryoMambaWidget, phantom_file: Path, wait_for: WaitFor) -> None:
    """A new threshold shows the particles in its mask; discarding it shows those of the job again."""
    job_id = run_locally(panel, phantom_file, wait_for, "particles")
    points, threshold = picks_of_job(panel.viewer, job_id), panel.threshold
    first = points.data.copy()
    threshold.load_button.click()
    candidates = wait_for(lambda: len(points.data) > len(first) and written_picks(panel, job_id, "candidates.csv"))
    assert len(points.data) == len(candidates)
    np.testing.assert_allclose(picks_in(points).positions, first)
    of_job = threshold.high.value()
    for high in (60, 200):
        threshold.high.setValue(high)
        expected = candidates.above(high, high)
        assert sorted(map(tuple, picks_in(points).positions)) == sorted(map(tuple, expected.positions))
        text = panel.picks.count.text()
        assert text.startswith(f"{len(expected):,} of" if len(expected) < len(candidates) else f"{len(expected):,} p")
        shown = np.asarray(panel.controller.preview.overlays[job_id].layer.data)
        assert shown[tuple(np.floor(expected.positions + 0.5).astype(int).T)].all()
    threshold.discard_button.click()
    assert threshold.high.value() == of_job
    np.testing.assert_allclose(picks_in(points).positions, first)
