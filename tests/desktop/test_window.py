"""What needs a real window: the plugin as napari finds it, views, and closing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
import pytest
from napari.utils.colormaps import DirectLabelColormap
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QEvent, QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QAction, QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QMenu
from scipy import ndimage

from cryomamba.models.jobs import JobState
from cryomamba.picks import Picks
from cryomamba.volumes import write_volume
from napari_cryomamba.app.settings import SettingsFile
from napari_cryomamba.app.volume_view import TomogramIn3D
from napari_cryomamba.layers.filaments import path_segments
from napari_cryomamba.layers.picks import show_picks
from napari_cryomamba.layers.tomogram import source_of
from napari_cryomamba.models.sections import PLANE_COLORS, PLANE_NAMES
from napari_cryomamba.models.world_coordinates import Placement
from napari_cryomamba.widgets import CryoMambaWidget

if TYPE_CHECKING:
    from tests.desktop.conftest import RecordMaker, WaitFor

pytestmark = pytest.mark.desktop


@pytest.fixture
def opened(window: tuple[Any, CryoMambaWidget], phantom_file: Path) -> Iterator[tuple[Any, CryoMambaWidget]]:
    """The window with a tomogram that napari opened by itself."""
    viewer, panel = window
    viewer.open(str(phantom_file), plugin="cryomamba")
    yield viewer, panel
    viewer.dims.ndisplay = 2
    viewer.layers.clear()


def settle() -> None:
    """Let Qt delete what is to be deleted."""
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QApplication.processEvents()


def actions(menu: QMenu) -> dict[str, Any]:
    """All actions by their text, those of the menus within too."""
    found = {}
    for action in menu.actions():
        found[action.text().replace("&", "")] = action
        inner = action.menu()
        if isinstance(inner, QMenu):
            found |= actions(inner)
    return found


def test_napari_opens_a_tomogram_by_our_reader(opened: tuple[Any, CryoMambaWidget], phantom_file: Path) -> None:
    """A file that is dropped on napari becomes our layer, and is among the recent files."""
    viewer, panel = opened
    source = source_of(viewer.layers[0])
    assert source is not None
    assert source.path == phantom_file
    assert panel.controller.preferences.values.recent_files[0] == str(phantom_file)
    assert str(viewer.layers[0].units[0]) == "nanometer"


def test_napari_offers_panel_and_samples(window: tuple[Any, CryoMambaWidget], home: Path) -> None:
    """The panel opens from the plugin menu's command, and the samples from File → Open Sample."""
    viewer, _ = window
    dock, panel = viewer.window.add_plugin_dock_widget("cryomamba", "CryoMamba")
    assert isinstance(panel, CryoMambaWidget)
    viewer.window.remove_dock_widget(dock)
    assert panel.closed
    viewer.open_sample("cryomamba", "synthetic_ground_truth")
    assert [layer.name for layer in viewer.layers] == ["synthetic_vesicles.mrc", "ground truth"]
    assert (home / "samples" / "synthetic_vesicles.mrc").exists()
    viewer.layers.clear()


@pytest.fixture
def orthogonal(opened: tuple[Any, CryoMambaWidget], wait_for: WaitFor) -> Iterator[Any]:
    """The orthogonal views of the window, laid out."""
    _viewer, panel = opened
    actions(panel.menu)["Orthogonal views"].trigger()
    wait_for(lambda: panel.orthogonal.laid_out)
    yield panel.orthogonal
    if panel.orthogonal is not None:
        actions(panel.menu)["Orthogonal views"].trigger()
    settle()


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
    actions(panel.menu)["Orthogonal views"].trigger()
    settle()
    assert panel.orthogonal is None
    assert len(viewer.window.dock_widgets) == docks - 1
    assert (text.text, text.visible) == ("", False)
    viewer.dims.set_current_step(0, 3)


def test_the_whole_section_is_in_sight(opened: tuple[Any, CryoMambaWidget], orthogonal: Any) -> None:
    """The dock takes height from the main canvas, which shows the whole section again once all is laid out."""
    viewer, _ = opened
    rows, columns = viewer.canvas.size
    assert 96 * 1.3 * viewer.scene.camera.zoom < min(rows, columns)
    assert viewer.scene.camera.center[-2:] == pytest.approx((95 * 1.3 / 2, 95 * 1.3 / 2), abs=1.3)


def canvas_pixels(qt_viewer: Any) -> Any:
    """Return the pixels of a canvas, as 0 to 255."""
    settle()
    return np.asarray(qt_viewer.screenshot(flash=False))[..., :3].astype(int)


def near(pixels: Any, color: str) -> Any:
    """Return where pixels have the hue of a colour ``#rrggbb``."""
    wanted = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)], float)
    hue = pixels - pixels.mean(axis=-1, keepdims=True)
    aim = wanted - wanted.mean()
    along = hue @ aim / np.linalg.norm(aim)
    across = np.linalg.norm(hue - along[..., None] * aim / np.linalg.norm(aim), axis=-1)
    return (along > 25) & (across < 0.35 * along)


def test_planes_have_names_crosshair_and_one_zoom(opened: tuple[Any, CryoMambaWidget], orthogonal: Any) -> None:
    """Each canvas draws its name and, in the colours of the other two planes, lines where these cut it."""
    viewer, _ = opened
    viewer.dims.point = (1.3 * 20, 1.3 * 30, 1.3 * 70)
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
            assert abs(int(counts.argmax()) - expected) < 2.5
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
    entry = actions(panel.menu)["y axis up"]
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


def test_no_shortcut_is_taken_twice(opened: tuple[Any, CryoMambaWidget]) -> None:
    """A key that two entries of the menus have would do nothing."""
    viewer, _ = opened
    window = viewer.window._qt_window
    taken: dict[str, list[str]] = {}
    for action in window.findChildren(QAction):
        for key in action.shortcuts():
            taken.setdefault(key.toString(), []).append(action.text())
    assert not {key: names for key, names in taken.items() if len(set(names)) > 1}


def test_the_display_changes_what_is_drawn(opened: tuple[Any, CryoMambaWidget]) -> None:
    """Pixels of the canvas lose their noise with a filter, exchange black and white, and are as before after reset."""
    viewer, panel = opened
    menu = actions(panel.menu)

    def canvas() -> Any:
        settle()
        return np.asarray(viewer.screenshot(canvas_only=True, flash=False))[..., 0].astype(float)

    def noise(pixels: Any) -> float:
        middle = pixels[pixels.shape[0] // 3 : -pixels.shape[0] // 3, pixels.shape[1] // 3 : -pixels.shape[1] // 3]
        return float(np.abs(np.diff(middle, axis=1)).mean())

    before = canvas()
    for name in ("Average more sections", "Low-pass"):
        menu[name].trigger()
    assert noise(canvas()) < noise(before) / 2
    menu["Reset display"].trigger()
    np.testing.assert_array_equal(canvas(), before)
    menu["Invert"].trigger()
    inverted = canvas()
    inside = before != inverted
    assert inside.mean() > 0.3
    np.testing.assert_allclose((before + inverted)[inside], 255, atol=2)
    menu["Reset display"].trigger()
    np.testing.assert_array_equal(canvas(), before)


def test_views_and_reset(opened: tuple[Any, CryoMambaWidget]) -> None:
    """The projection shows 3D, and reset brings sections back."""
    viewer, panel = opened
    menu = actions(panel.menu)
    menu["Attenuated projection (MIP)"].trigger()
    assert (viewer.layers[0].rendering, viewer.dims.ndisplay) == ("attenuated_mip", 3)
    menu["Reset view"].trigger()
    assert (viewer.layers[0].rendering, viewer.dims.ndisplay) == ("mip", 2)
    menu["2D / 3D"].trigger()
    assert viewer.dims.ndisplay == 3


def test_recent_files_open_again(opened: tuple[Any, CryoMambaWidget], wait_for: WaitFor) -> None:
    """The menu lists what was opened, and opens it."""
    viewer, panel = opened
    panel.menu.recent.aboutToShow.emit()
    panel.menu.recent.actions()[0].trigger()
    wait_for(lambda: len(viewer.layers) == 2)


def test_a_second_tomogram_hides_the_first(
    opened: tuple[Any, CryoMambaWidget], tmp_path: Path, wait_for: WaitFor
) -> None:
    """They would lie on top of each other; the newest is shown whole, and the list on top goes back to another."""
    viewer, panel = opened
    path = tmp_path / "second.mrc"
    write_volume(path, np.zeros((20, 40, 60), np.float32), 5.0)
    panel.controller.tomograms.open_files([path])
    wait_for(lambda: len(viewer.layers) == 2)
    first, second = viewer.layers
    assert (first.visible, second.visible) == (False, True)
    assert viewer.dims.point[0] == pytest.approx(4.75, abs=0.5)
    assert [panel.tomogram.chooser.itemText(row) for row in range(2)] == ["vesicles.mrc", "second.mrc"]
    panel.tomogram.chooser.activated.emit(0)
    assert (first.visible, second.visible) == (True, False)
    assert panel.tomogram.title.text() == "vesicles.mrc"


def test_files_may_be_dropped_on_the_panel(
    window: tuple[Any, CryoMambaWidget], phantom_file: Path, wait_for: WaitFor
) -> None:
    """A file that is dropped anywhere on the panel opens."""
    viewer, panel = window
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(phantom_file))])
    place, copy = QPointF(5, 5), Qt.DropAction.CopyAction
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    drag = QDragEnterEvent(place.toPoint(), copy, data, buttons, keys)
    panel.dragEnterEvent(drag)
    assert drag.isAccepted()
    panel.dropEvent(QDropEvent(place, copy, data, buttons, keys))
    wait_for(lambda: len(viewer.layers) == 1)
    viewer.layers.clear()


def test_a_file_that_napari_cannot_open_is_a_sentence(window: tuple[Any, CryoMambaWidget], tmp_path: Path) -> None:
    """By way of napari's own File menu too: no layer, no traceback, the reason as a notification."""
    viewer, _ = window
    path = tmp_path / "broken.mrc"
    path.write_bytes(b"nothing" * 400)
    before = len(notification_manager.records)
    assert viewer.open(str(path), plugin="cryomamba") == []
    [record] = notification_manager.records[before:]
    assert "not an MRC" in record.message
    assert len(viewer.layers) == 0


@pytest.fixture
def ball(opened: tuple[Any, CryoMambaWidget]) -> Any:
    """A mask over the tomogram: two balls with labels 1 and 2."""
    viewer, _ = opened
    z, y, x = np.ogrid[:48, :96, :96]
    mask = np.zeros((48, 96, 96), np.uint8)
    mask[(z - 24) ** 2 + (y - 30) ** 2 + (x - 30) ** 2 < 15**2] = 1
    mask[(z - 24) ** 2 + (y - 65) ** 2 + (x - 65) ** 2 < 15**2] = 2
    tomogram = viewer.layers[0]
    return viewer.add_labels(
        mask,
        name="balls",
        scale=tomogram.scale,
        units=tomogram.units,
        colormap=DirectLabelColormap(color_dict={0: "#00000000", 1: "#56b4e9", 2: "#e69f00", None: "#ff0000"}),
    )


@pytest.fixture
def volume_view(opened: tuple[Any, CryoMambaWidget]) -> Iterator[Any]:
    """What is shown in 3D; as it was, afterwards."""
    viewer, panel = opened
    view = panel.controller.volume_view
    yield view
    viewer.dims.ndisplay = 2
    view.show_tomogram(TomogramIn3D.XY)


def test_a_mask_is_a_surface_in_3d(
    opened: tuple[Any, CryoMambaWidget], volume_view: Any, ball: Any, wait_for: WaitFor
) -> None:
    """Its surface has the colours of its labels and shades; it follows the mask, and goes with 3D."""
    viewer, panel = opened
    view = volume_view
    view.show_tomogram(TomogramIn3D.HIDDEN)
    names = [layer.name for layer in viewer.layers]
    viewer.dims.ndisplay = 3
    wait_for(lambda: view.surfaces, panel.controller.notifications)
    assert not ball.visible
    pixels = canvas_pixels(viewer.window._qt_viewer)
    blue, orange = near(pixels, "#56b4e9"), near(pixels, "#e69f00")
    for found in (blue, orange):
        assert 0.01 < found.mean() < 0.3
        assert np.ptp(pixels[found].sum(axis=1)) > 60
        # Lit from the viewer's side, not from within.
        assert np.median(pixels[found].max(axis=1)) > 100
    ball.data[ball.data == 2] = 0
    ball.data = ball.data
    wait_for(lambda: near(canvas_pixels(viewer.window._qt_viewer), "#e69f00").mean() < 0.001)
    assert near(canvas_pixels(viewer.window._qt_viewer), "#56b4e9").mean() > 0.01
    viewer.dims.ndisplay = 2
    assert [layer.name for layer in viewer.layers] == names
    assert ball.visible


def test_the_tomogram_is_a_section_that_moves_in_3d(opened: tuple[Any, CryoMambaWidget], volume_view: Any) -> None:
    """One section is drawn, keys move it, and 2D goes on with the section reached and the view left."""
    viewer, panel = opened
    tomogram, view = viewer.layers[0], volume_view
    viewer.dims.set_current_step(0, 10)
    viewer.scene.camera.zoom, viewer.scene.camera.center = 9.0, (0.0, 50.0, 60.0)
    viewer.dims.ndisplay = 3
    assert not tomogram.visible
    assert view.section.data.shape == (1, 96, 96)
    pixels = canvas_pixels(viewer.window._qt_viewer)
    assert 0.05 < (pixels.sum(axis=2) > 60).mean() < 0.8
    np.testing.assert_array_equal(view.section.data[0], tomogram.data[10])
    panel.controller.sections.step(5)
    panel.controller.volume_view._move_section()
    np.testing.assert_array_equal(view.section.data[0], tomogram.data[15])
    assert view.section.translate[0] == pytest.approx(1.3 * 15)
    tomogram.contrast_limits = (-2.0, 1.0)
    assert list(view.section.contrast_limits) == [-2.0, 1.0]
    view.show_tomogram(TomogramIn3D.YZ)
    assert view.section.data.shape == (48, 96, 1)
    viewer.dims.ndisplay = 2
    assert viewer.layers[:] == [tomogram]
    assert tomogram.visible
    assert viewer.dims.current_step[0] == 15
    assert (viewer.scene.camera.zoom, tuple(viewer.scene.camera.center)) == (9.0, (0.0, 50.0, 60.0))


class Counting:
    """A tomogram's voxels that remembers the largest part read at once."""

    def __init__(self, data: Any) -> None:
        self.data, self.shape, self.ndim, self.dtype = data, data.shape, 3, data.dtype
        self.most = 0

    def __getitem__(self, index: Any) -> Any:
        part = self.data[index]
        self.most = max(self.most, part.size)
        return part

    def __array__(self, *_arguments: Any, **_named: Any) -> Any:
        self.most = self.data.size
        return np.asarray(self.data)


def test_3d_reads_only_the_section(opened: tuple[Any, CryoMambaWidget], volume_view: Any) -> None:
    """Going to 3D, through the sections there, and back, never reads more than one section of the tomogram."""
    viewer, panel = opened
    viewer.layers[0].data = counting = Counting(viewer.layers[0].data)
    viewer.dims.ndisplay = 3
    panel.controller.sections.step(3)
    volume_view._move_section()
    viewer.dims.ndisplay = 2
    assert counting.most == 96 * 96


def test_a_very_large_tomogram_has_no_projection(
    opened: tuple[Any, CryoMambaWidget], volume_view: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would not fit onto the graphics card: it hides while the view is in 3D, says so, and comes back."""
    viewer, panel = opened
    view = volume_view
    monkeypatch.setattr(view, "voxels_max", 1000)
    view.show_tomogram(TomogramIn3D.PROJECTION)
    viewer.dims.ndisplay = 3
    assert not viewer.layers[0].visible
    assert "too large" in panel.controller.notifications.history.entries[-1].text
    view.show_tomogram(TomogramIn3D.XZ)
    assert view.section.data.shape == (48, 1, 96)
    viewer.dims.ndisplay = 2
    assert viewer.layers[0].visible


def test_a_picture_has_the_scale_bar(opened: tuple[Any, CryoMambaWidget], tmp_path: Path) -> None:
    """The snapshot is a PNG of the canvas that is not black and has white pixels of the bar."""
    from PIL import Image

    viewer, panel = opened
    viewer.canvas.overlays.scale_bar.visible = False
    settle()
    panel.export.save_picture(tmp_path / "canvas.png")
    pixels = np.asarray(Image.open(tmp_path / "canvas.png").convert("L"))
    assert viewer.canvas.overlays.scale_bar.visible
    assert pixels.std() > 10
    corner = pixels[-pixels.shape[0] // 8 :, -pixels.shape[1] // 3 :]
    assert (corner > 250).sum() > 100


def test_closing_the_window_ends_the_panel(qapp: Any, tmp_path: Path, wait_for: WaitFor) -> None:
    """Closing the window ends the network thread and closes its files."""
    viewer = napari.Viewer(show=False)
    panel = CryoMambaWidget(viewer, settings=SettingsFile(tmp_path / "desktop.json"), connect=False)
    viewer.window.add_dock_widget(panel, name="closing")
    before = threading.active_count()
    viewer.close()
    wait_for(lambda: panel.closed)
    wait_for(lambda: threading.active_count() < before)


def test_filaments_are_drawn_where_they_run(opened: tuple[Any, CryoMambaWidget], make_record: Any) -> None:
    """The canvas has a filament's line over the tomogram's voxels that it passes through in the shown section."""
    viewer, _ = opened
    tomogram = viewer.layers[0]
    places = np.column_stack([np.full(5, 24.3), np.linspace(20, 70, 5), np.linspace(30, 60, 5)])
    picks = Picks(places, np.full(5, 200.0), np.ones(5, np.int64), "filaments")
    points = show_picks(viewer, make_record(state=JobState.COMPLETED), picks, (13.0, 13.0, 13.0))
    points.visible = False
    viewer.dims.set_point(0, tomogram.data_to_world((24, 0, 0))[0])
    settle()
    shot = np.asarray(viewer.screenshot(canvas_only=True, flash=False))[..., :3]
    colored = np.ptp(shot, axis=2) > 20
    camera, ratio = viewer.scene.camera, viewer.window._qt_window.devicePixelRatio()
    world = np.array([tomogram.data_to_world(place) for place in path_segments(picks)[0][:, 0]])[:, 1:]
    at = ((world - camera.center[-2:]) * camera.zoom * ratio + np.array(colored.shape) / 2).astype(int)
    assert colored[tuple(at.T)].mean() > 0.9
    assert colored.mean() < 0.05


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells what a program has loaded")
def test_no_library_under_the_gpl_alone_is_loaded(opened: tuple[Any, CryoMambaWidget]) -> None:
    """Qt's package carries some, as the page on licences says; the window with a tomogram does without."""
    loaded = {Path(line.split()[-1]).name for line in Path("/proc/self/maps").read_text("utf-8").splitlines()}
    assert any("Qt6Widgets" in name for name in loaded)
    alone = (
        "Lottie",
        "QuickTimeline",
        "WaylandCompositor",
        "virtualkeyboard",
        "VirtualKeyboard",
        "Charts",
        "HttpServer",
    )
    assert not [name for name in loaded if any(part in name for part in alone)]


@pytest.mark.parametrize(("order", "at"), [((0, 1, 2), 22), ((1, 0, 2), 30)])
def test_picks_are_circles_of_their_cut_on_the_screen(
    window: tuple[Any, CryoMambaWidget], make_record: RecordMaker, order: tuple[int, ...], at: int
) -> None:
    """In the pixels of the canvas there is one disc per pick that the section cuts, with the area of the cut."""
    viewer, _ = window
    size_A = (20.0, 10.0, 10.0)
    centres = np.array(
        [[22.0, 12, 12], [20, 30, 12], [25, 30, 52], [19, 48, 30], [22, 52, 52], [2, 4, 4], [30, 40, 20]]
    )
    viewer.add_image(np.zeros((40, 64, 64), np.uint8), **Placement.of_volume(size_A).layer_arguments())
    picks = Picks(centres, np.full(7, 9.0), np.ones(7, np.int64))
    layer = show_picks(viewer, make_record(state=JobState.COMPLETED), picks, size_A, 160.0)
    layer.face_color, layer.border_width, layer.antialiasing = "red", 0, 0
    layer.selected_data = set()
    viewer.dims.order = order
    viewer.dims.set_current_step(order[0], at)
    # A canvas that is still being laid out would show a part of what fits into it later.
    viewer.scene.camera.center, viewer.scene.camera.zoom = (40.0, 32.0, 32.0), 4.0
    settle()
    pixels = viewer.screenshot(canvas_only=True, flash=False)
    discs, count = ndimage.label((pixels[..., 0] > 150) & (pixels[..., 1] < 100))
    areas = np.bincount(discs.reshape(-1))[1:]
    distances = np.abs(centres[:, order[0]] - at) * size_A[order[0]] / 10
    cuts = np.pi * (8.0**2 - distances[distances < 8] ** 2)
    assert count == len(cuts)
    scale = viewer.scene.camera.zoom * viewer.window._qt_window.devicePixelRatioF()
    np.testing.assert_allclose(np.sort(areas), np.sort(cuts) * scale**2, rtol=0.03)
    viewer.dims.order = (0, 1, 2)
    viewer.layers.clear()


def test_picks_are_circles_in_the_orthogonal_views(
    opened: tuple[Any, CryoMambaWidget], make_record: RecordMaker
) -> None:
    """x–z and y–z draw each pick that they cut with the radius of its cut, also after a pick was moved."""
    viewer, panel = opened
    size_A = (13.0, 13.0, 13.0)
    picks = Picks(np.array([[20.0, 40, 50], [24, 44, 52], [30, 80, 20]]), np.full(3, 9.0), np.ones(3, np.int64))
    layer = show_picks(viewer, make_record(state=JobState.COMPLETED), picks, size_A, 260.0)
    panel.show_orthogonal(on=True)
    viewer.dims.set_point(range(3), (28.6, 54.6, 65.0))
    for centres in (picks.positions, picks.positions + np.array([1.0, 1.0, 1.0])):
        layer.data = centres
        for plane, axis in zip(panel.orthogonal.planes, (1, 2), strict=True):
            copy = plane.model.layers[layer.name]
            distance = np.abs(centres[:, axis] * 1.3 - viewer.dims.point[axis])
            expected = 2 * np.sqrt(13.0**2 - distance[distance < 13] ** 2)
            np.testing.assert_allclose(copy._view_size * copy.scale[-1], expected)
    panel.show_orthogonal(on=False)
