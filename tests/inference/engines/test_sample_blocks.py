"""Where a threshold is sampled."""

from __future__ import annotations

import numpy as np

from cryomamba_inference.engines.sample_blocks import sample_blocks

SHAPE = (70, 200, 130)


def test_a_small_volume_is_one_block() -> None:
    """It is read completely, with or without a region."""
    assert sample_blocks((40, 50, 60), None) == [(slice(0, 40), slice(0, 50), slice(0, 60))]


def test_the_blocks_of_a_large_volume_are_on_a_regular_grid() -> None:
    """27 blocks of 32³ voxels lie within the volume and do not overlap."""
    counts = np.zeros((150, 200, 130), int)
    for block in sample_blocks((150, 200, 130), None):
        assert counts[block].shape == (32, 32, 32)
        counts[block] += 1
    assert (counts > 0).sum() == 27 * 32**3


def test_a_small_region_is_found() -> None:
    """Every block has a voxel inside; a region of one voxel gives one block."""
    inside = np.zeros(SHAPE, np.bool_)
    inside[69, 199, 129] = True
    assert sample_blocks(SHAPE, inside.__getitem__) == [(slice(64, 70), slice(192, 200), slice(128, 130))]
    inside[:, 100:, :] = True
    blocks = sample_blocks(SHAPE, inside.__getitem__)
    assert len(set(map(str, blocks))) == 27
    assert all(inside[block].any() for block in blocks)
