"""How tomograms are displayed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.layers import Layer

from cryomamba.volumes import write_volume
from napari_cryomamba.layers.tomogram import open_tomogram
from napari_cryomamba.layers.tomograms import correct_voxel_size
from napari_cryomamba.models.display import DisplayFilter, FilteredVoxels, contrast_limits

if TYPE_CHECKING:
    from tests.desktop.conftest import WaitFor

pytestmark = pytest.mark.desktop


@pytest.fixture
def layer(viewer: Any, controller: Any, phantom_file: Path) -> Any:
    """The phantom, shown."""
    return viewer.add_layer(Layer.create(*open_tomogram(phantom_file).layer()))


def shown(layer: Any) -> Any:
    """Return the section as napari draws it."""
    return np.asarray(layer._data_view)


def test_reset_brings_back_what_was_opened(layer: Any, controller: Any) -> None:
    """After filters, contrast and inversion, voxels, limits and colours are those of the file as it was opened."""
    display = controller.display
    before = shown(layer).copy(), layer.contrast_limits, layer.colormap, layer.data
    display.set_filter(DisplayFilter(5, 60.0, 400.0))
    display.use_contrast_of_section(5.0)
    display.invert()
    assert isinstance(layer.data, FilteredVoxels)
    assert shown(layer).std() < before[0].std()
    np.testing.assert_array_equal(layer.colormap.colors[0], before[2].colors[-1])
    display.reset()
    np.testing.assert_array_equal(shown(layer), before[0])
    assert layer.contrast_limits == before[1]
    assert layer.colormap == before[2]
    assert layer.data is before[3]
    assert (display.filter, display.inverted) == (DisplayFilter(), False)


def test_the_contrast_is_that_of_section_or_volume(layer: Any, controller: Any, viewer: Any, wait_for: WaitFor) -> None:
    """The limits are percentiles of the section as it is displayed, or of the tomogram."""
    display = controller.display
    display.change_sections(4)
    assert display.filter.sections == 5
    viewer.dims.set_current_step(0, 30)
    display.use_contrast_of_section(3.0)
    assert layer.contrast_limits == pytest.approx(contrast_limits(shown(layer), 3.0))
    section = layer.contrast_limits
    display.use_contrast_of_volume(3.0)
    wait_for(lambda: layer.contrast_limits != section)
    low, high = np.percentile([layer.data[z] for z in range(48)], (3, 97))
    assert layer.contrast_limits == pytest.approx([low, high], rel=0.1)


def test_every_tomogram_keeps_its_own_display(layer: Any, controller: Any, viewer: Any, tmp_path: Path) -> None:
    """A second tomogram is shown as it is; going back finds the filter of the first, and its own inversion."""
    display = controller.display
    display.set_filter(DisplayFilter(3))
    display.invert()
    path = tmp_path / "second.mrc"
    write_volume(path, np.random.default_rng(0).normal(size=(9, 20, 30)).astype(np.float32), 8.0)
    second = viewer.add_layer(Layer.create(*open_tomogram(path).layer()))
    assert (display.layer, display.filter.off, display.inverted) == (second, True, False)
    display.toggle_low_pass()
    assert display.filter == DisplayFilter(1, 48.0)
    controller.tomograms.show_only(layer)
    assert (display.layer, display.filter, display.inverted) == (layer, DisplayFilter(3), True)
    viewer.layers.remove(layer)
    assert display.filter == DisplayFilter(1, 48.0)


def test_a_corrected_voxel_size_keeps_the_resolution(layer: Any, controller: Any) -> None:
    """Resolutions are in Å, so with half the voxel size a section is blurred over twice as many voxels."""
    controller.display.set_filter(DisplayFilter(low_pass_A=80.0))
    before = shown(layer).std()
    correct_voxel_size(layer, (6.5, 6.5, 6.5))
    assert layer.data.voxel_size_A == (6.5, 6.5, 6.5)
    assert shown(layer).std() < before


def test_all_planes_are_filtered(layer: Any, controller: Any, viewer: Any) -> None:
    """A section along each axis is averaged over its own neighbours, and its contrast fitted."""
    controller.display.set_filter(DisplayFilter(3))
    raw = layer.data.data
    for axis, order in enumerate(((0, 1, 2), (1, 0, 2), (2, 0, 1))):
        viewer.dims.order = order
        viewer.dims.set_current_step(axis, 20)
        expected = raw.take((19, 20, 21), axis).mean(axis)
        np.testing.assert_allclose(shown(layer), expected, atol=1e-5)
        controller.display.use_contrast_of_section()
        assert layer.contrast_limits == pytest.approx(contrast_limits(expected), abs=1e-4)
