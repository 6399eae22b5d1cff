"""A job's mask as a layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer

from napari_cryomamba.layers.overlay import Overlay
from napari_cryomamba.layers.tomogram import open_tomogram
from napari_cryomamba.layers.tomograms import correct_voxel_size, layer_of_path

if TYPE_CHECKING:
    from tests.desktop.conftest import FrameMaker, RecordMaker


@pytest.fixture
def viewer(phantom_file: Path) -> ViewerModel:
    """A viewer with the tomogram."""
    found = ViewerModel()
    found.add_layer(Layer.create(*open_tomogram(phantom_file).layer()))
    return found


@pytest.fixture
def overlay(viewer: ViewerModel, make_record: RecordMaker) -> Overlay:
    """The overlay of a job on the tomogram."""
    return Overlay(viewer, make_record(), tomogram=viewer.layers[0], opacity=0.5)


def test_a_preview_covers_the_voxels_it_stands_for(
    overlay: Overlay, viewer: ViewerModel, make_frame: FrameMaker
) -> None:
    """At every tomogram voxel's centre, the overlay's value is that of the preview voxel that stands for it."""
    frame = make_frame()
    overlay.show_preview(frame)
    tomogram = viewer.layers[0]
    for voxel in [(0, 0, 0), (47, 39, 19), (47, 40, 19), (5, 39, 20), (24, 1, 1)]:
        world = tomogram.data_to_world(voxel)
        at = tuple(voxel[axis] // 2 for axis in range(3))
        assert overlay.layer.get_value(world, world=True) == frame.mask[at]


def test_the_next_frame_is_drawn_in_place(overlay: Overlay, make_frame: FrameMaker) -> None:
    """A frame of the same shape changes the voxels of the same array, and is drawn."""
    overlay.show_preview(make_frame(seq=1))
    array = overlay.layer.data
    drawn: list[object] = []
    overlay.layer.events.set_data.connect(drawn.append)
    overlay.show_preview(make_frame(seq=2))
    assert len(drawn) == 1
    overlay.show_preview(make_frame(seq=3, label=3))
    assert overlay.layer.data is array
    assert array.max() == 3
    assert 3 in overlay.layer.colormap.color_dict


def test_another_factor_moves_the_layer(overlay: Overlay, make_frame: FrameMaker) -> None:
    """A preview on another grid takes scale and place of that grid."""
    overlay.show_preview(make_frame())
    coarse = make_frame(scale=(4, 4, 4))
    overlay.show_preview(coarse)
    np.testing.assert_allclose(overlay.layer.scale, [5.2] * 3)
    np.testing.assert_allclose(overlay.layer.translate, [1.95] * 3)


def test_the_finished_mask_keeps_what_the_person_chose(
    overlay: Overlay, viewer: ViewerModel, make_frame: FrameMaker
) -> None:
    """Full resolution comes onto the same layer: colours, opacity, outlines and its place in the list stay."""
    overlay.show_preview(make_frame())
    layer = overlay.layer
    layer.opacity, layer.contour = 0.3, 2
    overlay.palette.set_color(1, "#ff0000")
    overlay.recolor()
    mask = np.zeros((48, 96, 96), np.uint8)
    mask[:4] = 1
    overlay.show_mask(mask, (13.0, 13.0, 13.0))
    assert overlay.layer is layer
    assert layer.data is mask
    np.testing.assert_allclose(layer.scale, [1.3] * 3)
    np.testing.assert_allclose(layer.translate, [0.0] * 3)
    assert (layer.opacity, layer.contour) == (0.3, 2)
    np.testing.assert_allclose(layer.colormap.map(1), [1, 0, 0, 1])
    assert list(viewer.layers) == [viewer.layers[0], layer]
    overlay.show_preview(make_frame(label=2))
    assert layer.data is mask


def test_an_overlay_follows_a_corrected_voxel_size(
    overlay: Overlay, viewer: ViewerModel, make_frame: FrameMaker
) -> None:
    """When the person corrects the voxel size, tomogram and overlay still coincide."""
    overlay.show_preview(make_frame())
    tomogram = viewer.layers[0]
    correct_voxel_size(tomogram, (20.0, 10.0, 10.0))
    overlay.set_voxel_size((20.0, 10.0, 10.0))
    np.testing.assert_allclose(overlay.layer.scale, [4.0, 2.0, 2.0])
    overlay.show_preview(make_frame(seq=2))
    assert overlay.layer.get_value(tomogram.data_to_world((47, 39, 19)), world=True) == 1
    assert overlay.layer.get_value(tomogram.data_to_world((47, 40, 19)), world=True) == 0


def test_the_overlay_lies_right_above_its_tomogram(
    overlay: Overlay, viewer: ViewerModel, make_frame: FrameMaker
) -> None:
    """Another image on top of the list does not come between tomogram and mask."""
    other = viewer.add_image(np.zeros((4, 4, 4), np.float32), units=("nm",) * 3)
    overlay.show_preview(make_frame())
    assert list(viewer.layers)[1:] == [overlay.layer, other]


def test_a_layer_is_found_by_its_file(viewer: ViewerModel, phantom_file: Path) -> None:
    """The path in a job's record leads to the open layer, however it is written."""
    assert layer_of_path(viewer, f"{phantom_file.parent}/./{phantom_file.name}") is viewer.layers[0]
    assert layer_of_path(viewer, "/elsewhere.mrc") is None
    assert layer_of_path(viewer, None) is None
