"""Cleaning is what scipy does on the whole volume."""

from __future__ import annotations

import cc3d
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from cryomamba.errors import NotFoundError
from cryomamba.masks.clean import fill_holes, fill_holes_in_planes, keep_components, remove_small_components
from cryomamba.masks.slabs import LabelSource


def noise(seed: int, share: float = 0.35, labels: int = 2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.integers(1, labels, (14, 11, 12)) * (rng.random((14, 11, 12)) < share)).astype(np.uint8)


def sliced(mask: np.ndarray, depth: int) -> LabelSource:
    return LabelSource.of_array(mask, (10.0, 10.0, 10.0), slab_voxels=depth * mask[0].size)


@given(seed=st.integers(0, 99), depth=st.integers(1, 14), share=st.sampled_from([0.3, 0.6, 0.8]))
def test_holes_are_filled(seed: int, depth: int, share: float) -> None:
    """In 3D and plane by plane, exactly the voxels that scipy fills are filled."""
    mask = noise(seed, share)
    filled = fill_holes(sliced(mask, depth)).array()
    assert np.array_equal(filled, ndimage.binary_fill_holes(mask))
    planes = fill_holes_in_planes(sliced(mask, depth)).array()
    assert np.array_equal(planes, np.stack([ndimage.binary_fill_holes(plane) for plane in mask]))


@pytest.mark.parametrize("depth", [1, 4, 20])
def test_a_hole_takes_the_label_around_it(depth: int) -> None:
    """A hole in label 2 becomes 2, one in label 7 becomes 7, in volumes and in planes."""
    mask = np.zeros((14, 20, 9), np.uint8)
    mask[2:9, 2:8, 1:8], mask[5, 4:6, 3:5] = 2, 0
    mask[4:12, 11:18, 1:8], mask[7:9, 14, 4] = 7, 0
    expected = mask.copy()
    expected[5, 4:6, 3:5], expected[7:9, 14, 4] = 2, 7
    assert np.array_equal(fill_holes(sliced(mask, depth)).array(), expected)
    assert np.array_equal(fill_holes_in_planes(sliced(mask, depth)).array(), expected)


@given(seed=st.integers(0, 99), depth=st.integers(1, 14), least=st.sampled_from([1, 2, 5, 40]))
def test_small_components_are_removed(seed: int, depth: int, least: int) -> None:
    """A component with exactly the minimum volume is kept; labels do not change."""
    mask = noise(seed, 0.12, labels=4)
    kept = cc3d.dust(mask, threshold=least, connectivity=26)
    assert np.array_equal(remove_small_components(sliced(mask, depth), least * 1.0).array(), kept)


@pytest.mark.parametrize("depth", [1, 3, 14])
def test_a_component_is_selected_by_number(depth: int) -> None:
    """1 is the largest; an unknown number is refused."""
    mask = noise(3, 0.1)
    source = sliced(mask, depth)
    whole = cc3d.connected_components(mask)
    sizes = np.bincount(whole.ravel())
    sizes[0] = 0
    assert np.array_equal(keep_components(source, [1]).array() > 0, whole == sizes.argmax())
    with pytest.raises(NotFoundError, match="no component 9999"):
        keep_components(source, [9999])
