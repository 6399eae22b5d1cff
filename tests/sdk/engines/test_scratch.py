"""Temporary disk space of engines with a grid of their own."""

from __future__ import annotations

import pytest

from cryomamba.engines.scratch import ScratchGrid


@pytest.mark.parametrize(("voxel_A", "nodes"), [(10.0, 9), (20.0, 17), (26.0, 22), (40.0, 11)])
def test_coarse_voxels_are_interpolated_up_to_a_size(voxel_A: float, nodes: int) -> None:
    """Up to `interpolated_to_A` the grid is as fine as ever; beyond it has one node per voxel."""
    grid = ScratchGrid(bytes_per_node=2, step=12.5, interpolated_to_A=26.0)
    assert grid.nbytes((11, 11, 11), (voxel_A,) * 3) == 2 * nodes**3


def test_without_interpolation_no_grid_is_finer_than_the_voxels() -> None:
    """The spacing is at least the largest voxel size, and may be a fraction of a parameter."""
    assert ScratchGrid(bytes_per_node=1, step=5.0).nbytes((11, 1, 1), (10.0, 10.0, 10.0)) == 11
    assert ScratchGrid(bytes_per_node=1, step=0.5, parameter="d_A").nbytes((11, 1, 1), (10.0,) * 3, 40.0) == 6
