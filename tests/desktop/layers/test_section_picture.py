"""A section with a mask over it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from napari_cryomamba.layers.section_picture import label_voxels, section_png


def test_labels_are_counted_and_the_fullest_section_is_found() -> None:
    """Voxels by label without the background; a mask without labels has its middle section."""
    mask = np.zeros((5, 6, 7), np.uint8)
    mask[1, :2, :2] = 3
    mask[3, :3, :3] = 1
    assert label_voxels(mask) == ({1: 9, 3: 4}, 3)
    assert label_voxels(np.zeros((5, 6, 7), np.uint8)) == ({}, 2)


@pytest.mark.parametrize("y_up", [False, True])
def test_a_label_has_its_colour_where_it_is(y_up: bool) -> None:
    """Pixels of the label are redder than grey ones, which have equal channels; y points as it was asked for."""
    density = np.random.default_rng(0).normal(size=(3, 40, 50)).astype(np.float32)
    mask = np.zeros(density.shape, np.uint8)
    mask[1, 2:5, 10:20] = 1
    rgb = np.asarray(Image.open(io.BytesIO(section_png(density, mask, 1, {1: "#ff0000"}, y_up=y_up))), int)
    assert rgb.shape == (40, 50, 3)
    shown = rgb[::-1] if y_up else rgb
    inside = mask[1] == 1
    assert (shown[inside][:, 0] > shown[inside][:, 1]).all()
    assert (np.ptp(shown[~inside], axis=1) == 0).all()


def test_a_large_section_is_made_smaller() -> None:
    """No side has more than 800 pixels."""
    density = np.zeros((1, 1000, 2000), np.float32)
    png = section_png(density, np.zeros(density.shape, np.uint8), 0, {}, y_up=False)
    assert max(Image.open(io.BytesIO(png)).size) <= 800
