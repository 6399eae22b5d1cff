"""Slabs of a mask and their halos."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryomamba.errors import VolumeError
from cryomamba.geometry import Shape
from cryomamba.masks.hysteresis import SCORE_SLAB_VOXELS
from cryomamba.masks.slabs import LabelSource, slab_depth, windows
from cryomamba.volumes import open_volume, write_volume


@given(depth=st.integers(1, 9), size=st.integers(1, 20), halo=st.integers(0, 12))
def test_windows_have_the_halo_of_their_slab(depth: int, size: int, halo: int) -> None:
    """Every slab comes once, with the requested planes before and after it as far as they exist."""
    planes = np.arange(size, dtype=np.uint8)[:, None, None]
    z = 0
    for window in windows(LabelSource.of_array(planes, slab_voxels=depth).slabs(), halo):
        first, last = window.start + window.core.start, window.start + window.core.stop
        assert first == z
        assert window.data.ravel().tolist() == list(range(max(first - halo, 0), min(last + halo, size)))
        z = last
    assert z == size


def test_a_tomogram_is_refused_as_a_mask(tmp_path: object) -> None:
    """Densities are refused, with a hint."""
    path = f"{tmp_path}/density.mrc"
    write_volume(path, np.full((4, 4, 4), 0.5, np.float32), 10.0)
    with open_volume(path) as volume, pytest.raises(VolumeError, match="densities"):
        LabelSource.of_volume(volume)


@pytest.mark.parametrize("shape", [(512, 512, 512), (3, 5000, 5000), (1, 1, 1)])
def test_slabs_are_bounded(shape: Shape) -> None:
    """A slab has at least one plane, at most the volume, and between them keeps to its number of voxels."""
    depth = slab_depth(shape, SCORE_SLAB_VOXELS)
    assert 1 <= depth <= shape[0]
    assert depth == 1 or depth * shape[1] * shape[2] <= SCORE_SLAB_VOXELS
