"""Picked points: their layer, and the files for other programs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import starfile

from cryomamba.models.jobs import JobState
from cryomamba.picks import Picks, read_csv
from cryomamba.volumes import write_volume
from napari_cryomamba.layers.paths import path_segments
from napari_cryomamba.layers.picks import diameter_A, hide_below, picks_in, show_picks
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
    assert panel.picks.title.text() == "No picks"
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


def run_here(panel: CryoMambaWidget, tomogram: Path, qtbot: Any, engine: str) -> None:
    """Open a tomogram, run an engine on it in this process, and wait for its picks."""
    panel.controller.tomograms.open_files([tomogram])
    qtbot.waitUntil(lambda: bool(panel.segment.engine.findText(engine) >= 0 and panel.viewer.layers), timeout=WAIT_MS)
    panel.segment.engine.setCurrentText(engine)
    panel.segment.local_button.click()
    qtbot.waitUntil(lambda: panel.picks.export.isEnabled(), timeout=WAIT_MS)


def test_an_engine_that_picks_shows_its_points(panel: CryoMambaWidget, phantom_file: Path, qtbot: Any) -> None:
    """Run here, the engine for particles leaves a mask and its picks in the viewer."""
    run_here(panel, phantom_file, qtbot, "particles")
    [points] = [layer for layer in panel.viewer.layers if layer.name.endswith("picks")]
    written = read_csv(panel.controller.jobs.local.file(panel.controller.jobs.table.rows[0].job_id, "picks.csv"))
    np.testing.assert_allclose(points.data, written.positions)


def test_membranes_come_with_pieces_and_arrows(panel: CryoMambaWidget, phantom_file: Path, qtbot: Any) -> None:
    """Asked for in the form, the job's mask can be shown as numbered pieces, and its points have arrows."""
    panel.controller.tomograms.open_files([phantom_file])
    qtbot.waitUntil(
        lambda: bool(panel.segment.engine.findText("membrane") >= 0 and panel.viewer.layers), timeout=WAIT_MS
    )
    panel.segment.engine.setCurrentText("membrane")
    panel.segment.form.fill({"instances": True, "point_spacing_A": 120.0})
    panel.segment.local_button.click()
    qtbot.waitUntil(lambda: panel.picks.export.isEnabled(), timeout=WAIT_MS)
    assert [layer.name.rpartition("· ")[2] for layer in panel.viewer.layers][-2:] == ["normals", "picks"]
    job_id = panel.controller.jobs.table.rows[0].job_id
    overlay = panel.controller.preview.overlays[job_id]
    qtbot.waitUntil(lambda: overlay.final, timeout=WAIT_MS)
    panel.mask_panel.show_layer(overlay.layer)
    version = panel.mask_panel.version
    assert [version.itemText(row) for row in range(version.count())] == [
        "Original result",
        "Labelled components",
    ]
    version.activated.emit(1)
    qtbot.waitUntil(lambda: overlay.layer.data.max() > 1, timeout=WAIT_MS)


def filament(number: int, place: tuple[float, float, float], way: tuple[float, float, float], scores: Any) -> Picks:
    """Points one after the other."""
    at = np.array(place) + np.arange(len(scores))[:, None] * np.array(way)
    return Picks(at, np.array(scores, float), np.full(len(scores), number), "filaments")


def lines_of(panel: Any) -> Any:
    return next(layer for layer in panel.viewer.layers if layer.name.endswith("paths"))


@pytest.fixture
def two_filaments(panel: Any, make_record: RecordMaker) -> Any:
    one = filament(1, (10, 5, 5), (2.0, 8.0, 0.0), [200, 200, 90, 200, 200])
    other = filament(2, (30, 5, 60), (0.0, 0.0, 4.0), [120, 120, 120])
    places, scores, labels = (np.concatenate(pair) for pair in zip(parts(one), parts(other), strict=True))
    both = Picks(places, scores, labels, "filaments")
    record = make_record(state=JobState.COMPLETED, params={"diameter_A": 200.0})
    return show_picks(panel.viewer, record, both, SIZE, diameter_A(record, None))


def parts(picks: Picks) -> tuple[Any, Any, Any]:
    return picks.positions, picks.scores, picks.labels


def test_filaments_are_lines_through_their_points(panel: Any, two_filaments: Any) -> None:
    """Pieces of a voxel at most, on the tomogram in nm, one behind the other from end to end, and one colour each."""
    lines = lines_of(panel)
    assert lines._type_string == "vectors"
    begin, end = lines.data[:, 0], lines.data.sum(axis=1)
    assert np.abs(lines.data[:, 1]).max() <= 1
    colors, numbers = np.unique(lines.edge_color, axis=0, return_inverse=True)
    assert len(colors) == 2
    for number, last in ((numbers[0], [18, 37, 5]), (numbers[-1], [30, 5, 68])):
        np.testing.assert_allclose(end[numbers == number][:-1], begin[numbers == number][1:])
        np.testing.assert_allclose(end[numbers == number][-1], last)
    np.testing.assert_allclose(lines.data_to_world(begin[0]), two_filaments.data_to_world([10, 5, 5]))
    assert panel.viewer.layers.selection.active is two_filaments


def test_lines_follow_the_points(panel: Any, two_filaments: Any) -> None:
    """What is hidden, deleted or moved by hand changes the lines, and points that are added are a filament more."""
    lines = lines_of(panel)
    hide_below(two_filaments, 130)
    np.testing.assert_allclose(lines.data[[0, 8], 0], [[10, 5, 5], [16, 29, 5]])
    assert len(lines.data) == 16
    hide_below(two_filaments, 0)
    two_filaments.add([[1.0, 1.0, 1.0], [1.0, 1.0, 3.0]])
    np.testing.assert_allclose(lines.data[-2:, 0], [[1, 1, 1], [1, 1, 2]])
    two_filaments.selected_data = set(range(8))
    two_filaments.remove_selected()
    assert len(lines.data) == 2
    two_filaments.selected_data = {0, 1}
    two_filaments.remove_selected()
    assert len(lines.data) == 0


def test_filaments_of_a_job_are_shown(panel: CryoMambaWidget, tmp_path: Path, qtbot: Any) -> None:
    """Run here, the engine for filaments leaves lines that run through the picks it has written."""
    axis = np.linalg.norm(np.indices((32, 72)) - np.array([16, 36])[:, None, None], axis=0)
    density = np.random.default_rng(4).normal(0, 0.5, (32, 72, 72)) - (axis <= 6.2)[:, None, :]
    write_volume(tmp_path / "tube.mrc", density.astype(np.float32), 20.0)
    panel.controller.tomograms.open_files([tmp_path / "tube.mrc"])
    qtbot.waitUntil(
        lambda: bool(panel.segment.engine.findText("filaments") >= 0 and panel.viewer.layers), timeout=WAIT_MS
    )
    panel.segment.engine.setCurrentText("filaments")
    panel.segment.local_button.click()
    qtbot.waitUntil(lambda: panel.picks.export.isEnabled(), timeout=WAIT_MS)
    written = read_csv(panel.controller.jobs.local.file(panel.controller.jobs.table.rows[0].job_id, "picks.csv"))
    assert written.kind == "filaments"
    pieces, _ = path_segments(written)
    assert len(pieces) > 40
    np.testing.assert_allclose(lines_of(panel).data, pieces)
    tomogram = panel.viewer.layers[0]
    np.testing.assert_allclose(lines_of(panel).data_to_world(pieces[0, 0]), tomogram.data_to_world(pieces[0, 0]))


def test_picks_follow_the_threshold(panel: CryoMambaWidget, phantom_file: Path, qtbot: Any) -> None:
    """Moved, a threshold shows the particles that are in the mask there, and going back those of the job."""
    run_here(panel, phantom_file, qtbot, "particles")
    [points] = [layer for layer in panel.viewer.layers if layer.name.endswith("picks")]
    first, job_id = points.data.copy(), panel.controller.jobs.table.rows[0].job_id
    qtbot.waitUntil(lambda: panel.controller.preview.overlays[job_id].final, timeout=WAIT_MS)
    threshold = panel.threshold
    panel.mask_panel.show_layer(panel.controller.preview.overlays[job_id].layer)
    threshold.load_button.click()
    every = read_csv(panel.controller.jobs.local.file(job_id, "candidates.csv"))
    qtbot.waitUntil(lambda: len(points.data) == len(every), timeout=WAIT_MS)
    np.testing.assert_allclose(picks_in(points).positions, first)
    job_cut = threshold.high.value()
    for cut in (60, 200):
        threshold.high.setValue(cut)
        expected = every.above(cut, cut)
        assert sorted(map(tuple, picks_in(points).positions)) == sorted(map(tuple, expected.positions))
        assert panel.picks.count.text().startswith(f"{len(expected):,} of" if len(expected) < len(every) else "")
        shown = np.asarray(panel.controller.preview.overlays[job_id].layer.data)
        assert shown[tuple(np.floor(expected.positions + 0.5).astype(int).T)].all()
    threshold.discard_button.click()
    assert threshold.high.value() == job_cut
    np.testing.assert_allclose(picks_in(points).positions, first)
