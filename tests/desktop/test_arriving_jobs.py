"""What a job that arrives leaves alone, in the real window: selection, tab, brush, stroke, slider and camera."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from cryomamba.models.jobs import JobState
from napari_cryomamba.net.messages import FrameReady, JobChanged
from napari_cryomamba.widgets import CryoMambaWidget

if TYPE_CHECKING:
    from tests.desktop.conftest import FrameMaker, RecordMaker, SubmissionMaker, WaitFor

pytestmark = pytest.mark.desktop
LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def painting(new_window: tuple[Any, CryoMambaWidget], phantom_file: Path) -> tuple[Any, CryoMambaWidget]:
    """A window with a tomogram, and a mask that is being painted."""
    viewer, _ = new_window
    viewer.open(str(phantom_file), plugin="cryomamba")
    tomogram = viewer.layers[0]
    mask = viewer.add_labels(np.zeros((48, 96, 96), np.uint8), name="mine", scale=tomogram.scale, units=tomogram.units)
    mask.mode, mask.selected_label, mask.brush_size = "paint", 3, 7
    QApplication.processEvents()
    return new_window


def look(viewer: Any, panel: CryoMambaWidget) -> dict[str, Any]:
    """What belongs to the person at the window."""
    layers = viewer.layers
    mine = layers["mine"]
    camera = viewer.scene.camera
    return {
        "active": layers.selection.active,
        "selection": set(layers.selection),
        "brush": (mine.mode, mine.selected_label, mine.brush_size),
        "cursor": (viewer.cursor.style, viewer.cursor.size),
        "tab": panel.tabs.currentIndex(),
        "mask": panel.mask_panel.current.layer if panel.mask_panel.current is not None else None,
        "chosen": panel.segment.tomogram.currentText(),
        "point": tuple(viewer.dims.point),
        "camera": (tuple(camera.center), camera.zoom, tuple(camera.angles)),
    }


def test_a_stroke_under_way_is_not_disturbed_by_a_job_that_ends(
    painting: tuple[Any, CryoMambaWidget], make_submission: SubmissionMaker, wait_for: WaitFor
) -> None:
    """A job starts, previews and ends between press and release: one stroke, on the same mask, one step to undo."""
    viewer, panel = painting
    mine = viewer.layers["mine"]
    panel.tabs.setCurrentIndex(panel.tabs.count() - 1)
    canvas = viewer.window._qt_window._qt_viewer.canvas.native
    middle = QPoint(canvas.width() // 2, canvas.height() // 2)
    QTest.mouseMove(canvas, middle)
    QTest.mousePress(canvas, LEFT, pos=middle)
    painted = int(np.count_nonzero(mine.data))
    assert painted
    before = look(viewer, panel)
    active: list[object] = []
    viewer.layers.selection.events.active.connect(active.append)

    panel.controller.jobs.local.start(make_submission("threshold"))
    overlays = panel.controller.preview.overlays
    [job] = wait_for(lambda: panel.controller.jobs.table.rows, panel.controller.notifications)
    panel.controller.preview.watch(job.job_id)
    wait_for(lambda: [o for o in overlays.values() if o.final], panel.controller.notifications)

    assert look(viewer, panel) == before
    assert active == []
    for step in range(1, 6):
        QTest.mouseMove(canvas, middle + QPoint(8 * step, 0))
        QApplication.processEvents()
    QTest.mouseRelease(canvas, LEFT, pos=middle + QPoint(40, 0))
    assert np.count_nonzero(mine.data) > painted
    assert set(np.unique(mine.data)) == {0, 3}
    mine.undo()
    assert not mine.data.any()


def test_previews_and_results_of_others_leave_everything_as_it_was(
    painting: tuple[Any, CryoMambaWidget], make_record: RecordMaker, make_frame: FrameMaker, phantom_file: Path
) -> None:
    """Another client's job, a preview of one of mine, and its end: nothing that the person has chosen changes."""
    viewer, panel = painting
    app = panel.controller
    source = app.jobs.table
    record = make_record("mine-1")
    volume = record.volume.model_copy(update={"path": str(phantom_file)})
    before = look(viewer, panel)
    app.on_message(JobChanged(make_record("others")))
    source.adopt("mine-1")
    app.on_message(JobChanged(make_record("mine-1", volume=volume)))
    app.preview.watch("mine-1")
    app.frames["mine-1"].put(make_frame("mine-1"))
    app.on_message(FrameReady("mine-1"))
    assert look(viewer, panel) == before
    done = make_record("mine-1", JobState.COMPLETED, n=3, volume=volume)
    app.on_message(JobChanged(done))
    app.preview.show_mask(done, np.ones((48, 96, 96), np.uint8), (13.0, 13.0, 13.0))
    assert look(viewer, panel) == before
    mask = app.preview.overlays["mine-1"].layer
    assert viewer.layers.index(mask) > viewer.layers.index(viewer.layers["mine"])


def test_a_newer_mask_is_on_top_but_below_points(
    painting: tuple[Any, CryoMambaWidget], make_record: RecordMaker, make_frame: FrameMaker, phantom_file: Path
) -> None:
    """Masks are stacked in the order in which they came; points that mark something stay visible."""
    viewer, panel = painting
    points = viewer.add_points(np.zeros((1, 3)), name="marks")
    for job_id in ("first", "second"):
        panel.controller.jobs.table.adopt(job_id)
        record = make_record(job_id)
        volume = record.volume.model_copy(update={"path": str(phantom_file)})
        panel.controller.on_message(JobChanged(record.model_copy(update={"volume": volume})))
        panel.controller.preview.watch(job_id)
        panel.controller.frames[job_id].put(make_frame(job_id))
        panel.controller.on_message(FrameReady(job_id))
    overlays = panel.controller.preview.overlays
    first, second = overlays["first"].layer, overlays["second"].layer
    assert list(viewer.layers)[-3:] == [first, second, points]
    assert not np.allclose(first.colormap.color_dict[1], second.colormap.color_dict[1])


@pytest.mark.parametrize("tool", ["polygon", "paint"])
def test_the_drawing_of_a_tool_is_made_when_the_tool_is_chosen(
    painting: tuple[Any, CryoMambaWidget], make_record: RecordMaker, tool: str
) -> None:
    """A mask that arrives has none, which halves the time in which it appears; then the tool takes clicks as usual."""
    viewer, panel = painting
    panel.controller.preview.show_mask(make_record("mine-1"), np.zeros((48, 96, 96), np.uint8), (13.0, 13.0, 13.0))
    layer = panel.controller.preview.overlays["mine-1"].layer
    window = viewer.window._qt_viewer
    drawn = window.canvas._layer_overlay_to_visual[layer]
    names = {"polygon": layer._overlays["polygon"], "paint": layer._overlays["brush_stroke"]}
    assert not set(names.values()) & set(drawn)
    viewer.layers.selection.active = layer
    layer.mode = tool
    assert set(names.values()) & set(drawn) == {names[tool]}
    QApplication.processEvents()
    canvas = window.canvas.native
    middle = QPoint(canvas.width() // 2, canvas.height() // 2)
    QTest.mouseMove(canvas, middle)
    QTest.mouseClick(canvas, LEFT, pos=middle)
    if tool == "polygon":
        assert len(names[tool].points) > 0
    else:
        assert layer.data.any()
