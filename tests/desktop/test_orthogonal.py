"""The orthogonal views in the real window."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import QEvent
from tests.desktop.window_contents import canvas_pixels, menu_actions, near, process_events

from cryomamba.models.jobs import JobState
from cryomamba.picks import Picks
from napari_cryomamba.layers.picks import show_picks
from napari_cryomamba.models.sections import PLANE_COLORS, PLANE_NAMES
from napari_cryomamba.widgets import CryoMambaWidget

if TYPE_CHECKING:
    from tests.desktop.conftest import RecordMaker, WaitFor

pytestmark = pytest.mark.desktop


@pytest.fixture
def orthogonal(opened: tuple[Any, CryoMambaWidget], wait_for: WaitFor) -> Iterator[Any]:
    """The orthogonal views of the window, laid out."""
    _viewer, panel = opened
    menu_actions(panel.menu)["Orthogonal views"].trigger()
    wait_for(lambda: panel.views.orthogonal.laid_out)
    yield panel.views.orthogonal
    if panel.views.orthogonal is not None:
        menu_actions(panel.menu)["Orthogonal views"].trigger()
    process_events()


def test_orthogonal_views_show_the_same_point(opened: tuple[Any, CryoMambaWidget], orthogonal: Any) -> None:
    """Three canvases share data, looks and position; closing them leaves nothing behind."""
    viewer, panel = opened
    image = viewer.layers[0]
    labels = viewer.add_labels(np.zeros((48, 96, 96), np.uint8), scale=image.scale, units=image.units, name="mask")
    first = orthogonal.planes[0].model
    assert [plane.model.dims.order for plane in orthogonal.planes] == [(1, 0, 2), (2, 1, 0)]
    assert first.layers["mask"].data is labels.data
    viewer.dims.set_current_step(0, 17)
    assert first.dims.current_step[0] == 17
    first.dims.set_current_step(1, 33)
    assert viewer.dims.current_step[1] == 33
    image.contrast_limits = (-1.0, 1.0)
    labels.contour = 2
    assert list(first.layers["vesicles.mrc"].contrast_limits) == [-1.0, 1.0]
    assert first.layers["mask"].contour == 2
    fresh = np.ones((48, 96, 96), np.uint8)
    labels.data = fresh
    assert first.layers["mask"].data is fresh
    panel.controller.display.change_sections(4)
    assert first.layers["vesicles.mrc"].data is image.data
    panel.controller.display.reset()
    viewer.layers.remove(labels)
    assert [layer.name for layer in first.layers] == ["vesicles.mrc"]
    docks = len(viewer.window.dock_widgets)
    text = viewer.canvas.overlays.text
    assert (text.text, text.visible) == ("xy", True)
    menu_actions(panel.menu)["Orthogonal views"].trigger()
    process_events()
    assert panel.views.orthogonal is None
    assert len(viewer.window.dock_widgets) == docks - 1
    assert (text.text, text.visible) == ("", False)
    viewer.dims.set_current_step(0, 3)


def test_undo_by_key_shows_in_all_planes(opened: tuple[Any, CryoMambaWidget], orthogonal: Any) -> None:
    """napari announces its own undo and redo nowhere; the planes show what the main canvas shows."""
    viewer, _ = opened
    image = viewer.layers[0]
    mask = viewer.add_labels(np.zeros((48, 96, 96), np.uint8), scale=image.scale, units=image.units)
    viewer.dims.set_point(range(3), (26.0, 52.0, 52.0))
    copies = [plane.model.layers[mask.name] for plane in orthogonal.planes]
    mask.brush_size = 10
    mask.n_edit_dimensions = 3
    mask.paint((20, 40, 40), 1)
    for painted in (True, False, True):
        if not painted:
            mask.undo()
        elif not mask.data.any():
            mask.redo()
        assert [bool(np.any(copy._slice.image.raw)) for copy in copies] == [painted, painted]


def test_the_whole_section_is_in_sight(opened: tuple[Any, CryoMambaWidget], orthogonal: Any) -> None:
    """The dock takes height from the main canvas, which shows the whole section again once all is laid out."""
    viewer, _ = opened
    rows, columns = viewer.canvas.size
    assert 96 * 1.3 * viewer.scene.camera.zoom < min(rows, columns)
    assert viewer.scene.camera.center[-2:] == pytest.approx((95 * 1.3 / 2, 95 * 1.3 / 2), abs=1.3)


def test_planes_have_names_crosshair_and_one_zoom(opened: tuple[Any, CryoMambaWidget], orthogonal: Any) -> None:
    """Each canvas draws its name and, in the colours of the other two planes, lines where these cut it."""
    viewer, _ = opened
    viewer.dims.point = (1.3 * 20, 1.3 * 30, 1.3 * 70)
    # A canvas may be so low that lines away from its centre are outside of it.
    viewer.scene.camera.center = (0.0, 1.3 * 30, 1.3 * 70)
    canvases = [viewer.window._qt_viewer, *(plane.canvas for plane in orthogonal.planes)]
    for view, qt_viewer in zip(orthogonal.views, canvases, strict=True):
        pixels = canvas_pixels(qt_viewer)
        rows, columns = view.model.dims.displayed
        camera, middle = view.model.scene.camera, np.array(pixels.shape[:2]) / 2
        for axis, line in ((rows, 0), (columns, 1)):
            found = np.argwhere(near(pixels, PLANE_COLORS[axis]))[:, line]
            centre = camera.center[-2:][line]
            expected = middle[line] + (viewer.dims.point[axis] - centre) * camera.zoom
            counts = np.bincount(found, minlength=pixels.shape[line])
            where = PLANE_NAMES[view.axis], axis, pixels.shape[:2], view.model.canvas.size, camera
            assert abs(int(counts.argmax()) - expected) < 2.5, where
            assert counts.max() > 40
        corner = near(pixels, PLANE_COLORS[view.axis])[:40, :60]
        assert corner.sum() > 5
        assert view.model.canvas.overlays.text.text == PLANE_NAMES[view.axis]
    viewer.scene.camera.zoom *= 1.7
    assert len({round(view.model.scene.camera.zoom, 6) for view in orthogonal.views}) == 1
    orthogonal.planes[1].model.scene.camera.center = (0.0, 25.0, 12.0)
    assert viewer.scene.camera.center[-2] == pytest.approx(25.0)
    assert orthogonal.planes[0].model.scene.camera.center[-2] == pytest.approx(12.0)


def click(qt_viewer: Any, at: tuple[int, int]) -> None:
    """Click with the left button at a pixel (row, column) of a canvas."""
    canvas = qt_viewer.canvas._scene_canvas
    place = (at[1], at[0])
    canvas.events.mouse_move(pos=place, modifiers=(), button=None, native=QEvent(QEvent.Type.MouseMove))
    press = canvas.events.mouse_press(pos=place, modifiers=(), button=1, native=QEvent(QEvent.Type.MouseButtonPress))
    canvas.events.mouse_release(
        pos=place, modifiers=(), button=1, press_event=press, native=QEvent(QEvent.Type.MouseButtonRelease)
    )


def test_a_click_centres_all_planes(opened: tuple[Any, CryoMambaWidget], orthogonal: Any) -> None:
    """A click in a canvas moves all three there; in the main canvas a tool keeps its clicks."""
    viewer, _ = opened
    plane = orthogonal.planes[0]
    canvas_pixels(plane.canvas)
    camera, middle = plane.model.scene.camera, np.array(plane.model.canvas.size) / 2
    pixel = (int(middle[0]) + 20, int(middle[1]) - 50)
    click(plane.canvas, pixel)
    z, _, x = viewer.dims.point
    # The nearest section, 1.3 nm thick, to a pixel and a half.
    within = 1.3 / 2 + 1.5 / camera.zoom
    assert z == pytest.approx(camera.center[-2] + 20 / camera.zoom, abs=within)
    assert x == pytest.approx(camera.center[-1] - 50 / camera.zoom, abs=within)
    labels = viewer.add_labels(np.zeros((48, 96, 96), np.uint8), scale=(1.3,) * 3, units=("nm",) * 3)
    labels.mode = "pick"
    before = viewer.dims.point
    middle = np.array(viewer.canvas.size) // 2
    click(viewer.window._qt_viewer, (int(middle[0]), int(middle[1]) + 40))
    assert viewer.dims.point == before
    labels.mode = "pan_zoom"
    click(viewer.window._qt_viewer, (int(middle[0]), int(middle[1]) + 40))
    assert viewer.dims.point != before


def test_y_points_up_by_choice(opened: tuple[Any, CryoMambaWidget], orthogonal: Any) -> None:
    """The entry of the menu turns all canvases over, and is kept in the settings."""
    viewer, panel = opened
    entry = menu_actions(panel.menu)["y axis up"]
    down = canvas_pixels(viewer.window._qt_viewer)
    entry.trigger()
    try:
        up = canvas_pixels(viewer.window._qt_viewer)
        middle = slice(down.shape[0] // 3, -down.shape[0] // 3), slice(down.shape[1] // 3, -down.shape[1] // 3)
        flipped = down[::-1]
        assert np.corrcoef(up[middle].ravel(), flipped[middle].ravel())[0, 1] > 0.5
        assert np.corrcoef(up[middle].ravel(), down[middle].ravel())[0, 1] < 0.5
        assert {str(view.model.scene.camera.orientation[1]) for view in orthogonal.views} == {"up"}
        assert panel.controller.preferences.file.load().y_up
    finally:
        entry.trigger()
    assert not panel.controller.preferences.values.y_up


def test_picks_are_circles_in_the_orthogonal_views(
    opened: tuple[Any, CryoMambaWidget], make_record: RecordMaker
) -> None:
    """x–z and y–z draw each pick that they cut with the radius of its cut, also after a pick was moved."""
    viewer, panel = opened
    size_A = (13.0, 13.0, 13.0)
    picks = Picks(np.array([[20.0, 40, 50], [24, 44, 52], [30, 80, 20]]), np.full(3, 9.0), np.ones(3, np.int64))
    layer = show_picks(viewer, make_record(state=JobState.COMPLETED), picks, size_A, 260.0)
    panel.views.show_orthogonal(on=True)
    viewer.dims.set_point(range(3), (28.6, 54.6, 65.0))
    for centres in (picks.positions, picks.positions + np.array([1.0, 1.0, 1.0])):
        layer.data = centres
        for plane, axis in zip(panel.views.orthogonal.planes, (1, 2), strict=True):
            copy = plane.model.layers[layer.name]
            distance = np.abs(centres[:, axis] * 1.3 - viewer.dims.point[axis])
            expected = 2 * np.sqrt(13.0**2 - distance[distance < 13] ** 2)
            np.testing.assert_allclose(copy._view_size * copy.scale[-1], expected)
    panel.views.show_orthogonal(on=False)


def test_the_section_is_as_large_as_before_once_the_views_are_closed(
    opened: tuple[Any, CryoMambaWidget], orthogonal: Any
) -> None:
    """Beside the two others it is smaller; a zoom that is closer stays."""
    viewer, panel = opened
    camera, action = viewer.scene.camera, menu_actions(panel.menu)["Orthogonal views"]
    beside = camera.zoom
    action.trigger()
    alone = camera.zoom
    assert alone > beside
    action.trigger()
    camera.zoom = 2 * alone
    action.trigger()
    assert camera.zoom == pytest.approx(2 * alone)
