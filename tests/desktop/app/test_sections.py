"""Stepping through the sections of the tomogram that is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Layer

from cryomamba.volumes import write_volume
from napari_cryomamba.layers.tomogram import open_tomogram
from napari_cryomamba.layers.tomograms import correct_voxel_size

pytestmark = pytest.mark.desktop


def add(viewer: Any, path: Path, shape: tuple[int, int, int], voxel_size_A: float) -> Any:
    """Open a tomogram whose densities are the numbers of their sections."""
    values = np.broadcast_to(np.arange(shape[0], dtype=np.float32)[:, None, None], shape)
    write_volume(path, np.ascontiguousarray(values), voxel_size_A)
    return viewer.add_layer(Layer.create(*open_tomogram(path).layer()))


@pytest.fixture
def two(viewer: Any, controller: Any, tmp_path: Path) -> tuple[Any, Any]:
    """Two tomograms of other sizes and voxel sizes; the second is shown."""
    first = add(viewer, tmp_path / "first.mrc", (48, 96, 80), 13.0)
    second = add(viewer, tmp_path / "second.mrc", (31, 50, 70), 7.83)
    return first, second


def press(viewer: Any, key: str) -> None:
    """Press a key of the viewer."""
    viewer.keymap[next(binding for binding in viewer.keymap if str(binding) == key)](viewer)


def test_steps_are_the_sections_of_the_tomogram_that_is_shown(viewer: Any, controller: Any, two: Any) -> None:
    """With tomograms of other sizes and voxel sizes, the sliders count the sections of the one that is shown."""
    first, second = two
    assert viewer.dims.nsteps == (31, 50, 70)
    controller.tomograms.show_only(first)
    assert viewer.dims.nsteps == (48, 96, 80)
    assert viewer.dims.current_step == (24, 48, 40)
    viewer.add_labels(np.ones((12, 24, 20), np.uint8), scale=(5.2,) * 3, translate=(1.95,) * 3, units=("nm",) * 3)
    assert viewer.dims.nsteps == (48, 96, 80)
    correct_voxel_size(first, (9.0, 9.0, 9.0))
    assert viewer.dims.nsteps == (48, 96, 80)
    viewer.layers.remove(first)
    assert viewer.dims.nsteps == (31, 50, 70)
    viewer.layers.remove(second)


def test_one_key_is_one_section_of_either_tomogram(viewer: Any, controller: Any, two: Any) -> None:
    """Every press shows the next section of the file, without one left out or shown twice."""
    for layer in two:
        controller.tomograms.show_only(layer)
        viewer.dims.set_current_step(0, 0)
        shown = []
        for _ in range(layer.data.shape[0] + 2):
            shown.append(float(layer._data_view[0, 0]))
            press(viewer, "PageUp")
        count = layer.data.shape[0]
        assert shown == [*range(count), count - 1, count - 1]
        press(viewer, "PageDown")
        assert float(layer._data_view[0, 0]) == count - 2
        viewer.dims._increment_dims_left()
        assert float(layer._data_view[0, 0]) == count - 3


def test_the_position_is_that_in_the_tomogram_shown(viewer: Any, controller: Any, two: Any) -> None:
    """Section, voxel and density are those of the file at the cursor, in every plane."""
    first, _second = two
    controller.tomograms.show_only(first)
    viewer.dims.set_current_step(0, 7)
    viewer.cursor.position = (0.0, 1.3 * 20, 1.3 * 33.2)
    at = controller.sections.position()
    assert (at.voxel, at.axis, at.density) == ((7, 20, 33), 0, 7.0)
    assert at.nm == pytest.approx((9.1, 26.0, 43.16))
    viewer.dims.order = (2, 0, 1)
    viewer.dims.set_current_step(2, 11)
    viewer.cursor.position = (1.3 * 5, 1.3 * 6, 0.0)
    at = controller.sections.position()
    assert (at.voxel, at.axis, at.density) == ((5, 6, 11), 2, 5.0)
    viewer.cursor.position = (-3.0, 1.3 * 6, 0.0)
    assert controller.sections.position().density is None
