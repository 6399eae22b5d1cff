"""The view in 3D in the real window."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.utils.colormaps import DirectLabelColormap
from tests.desktop.window_contents import canvas_pixels, near

from napari_cryomamba.app.volume_view import TomogramIn3D
from napari_cryomamba.widgets import CryoMambaWidget

if TYPE_CHECKING:
    from tests.desktop.conftest import WaitFor

pytestmark = pytest.mark.desktop


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
