"""What needs a real window: the plugin as napari finds it, what the canvas shows, and closing."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QAction, QDragEnterEvent, QDropEvent
from scipy import ndimage
from tests.desktop.window_contents import menu_actions, process_events

from cryomamba.models.jobs import JobState
from cryomamba.picks import Picks
from cryomamba.volumes import write_volume
from napari_cryomamba.app.settings import SettingsFile
from napari_cryomamba.layers.filaments import path_segments
from napari_cryomamba.layers.picks import show_picks
from napari_cryomamba.layers.tomogram import source_of
from napari_cryomamba.models.world_coordinates import Placement
from napari_cryomamba.widgets import CryoMambaWidget

if TYPE_CHECKING:
    from tests.desktop.conftest import RecordMaker, WaitFor

pytestmark = pytest.mark.desktop


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
    # Not napari's proxy, whose layers are never the same object.
    assert panel.viewer is viewer
    viewer.window.remove_dock_widget(dock)
    assert panel.closed
    viewer.open_sample("cryomamba", "synthetic_ground_truth")
    assert [layer.name for layer in viewer.layers] == ["synthetic_vesicles.mrc", "ground truth"]
    assert (home / "samples" / "synthetic_vesicles.mrc").exists()
    viewer.layers.clear()


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
    menu = menu_actions(panel.menu)

    def canvas() -> Any:
        process_events()
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
    menu = menu_actions(panel.menu)
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


def test_a_picture_has_the_scale_bar(opened: tuple[Any, CryoMambaWidget], tmp_path: Path) -> None:
    """The snapshot is a PNG of the canvas that is not black and has white pixels of the bar."""
    from PIL import Image

    viewer, panel = opened
    viewer.canvas.overlays.scale_bar.visible = False
    process_events()
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
    process_events()
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
    process_events()
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
