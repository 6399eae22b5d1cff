"""Resampling window by window: the same as of the whole volume, exact for constants and ramps, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.transform import resize

from cryomamba.errors import InvalidRequestError
from cryomamba_inference.windows.grid import NetworkGrid
from cryomamba_inference.windows.plan import WindowPlan, require_bounded

GRIDS = st.tuples(
    st.tuples(*[st.integers(1, 30)] * 3), st.tuples(*[st.integers(1, 30)] * 3), st.tuples(*[st.integers(2, 12)] * 3)
)


def test_voxel_sizes_give_the_grid() -> None:
    """The nodes cover the volume; an axis within the tolerance, or with 0, is kept."""
    grid = NetworkGrid.of((100, 100, 100), (10.0, 10.0, 10.3), (20.0, 0.0, 10.0), 0.05)
    assert grid.nodes == (50, 100, 100)
    assert grid.factors == (2.0, 1.0, 1.0)
    assert NetworkGrid.of((9, 9, 9), (3.0, 3.0, 3.0), None, 0.0).is_same


@pytest.mark.parametrize("nodes", [(20, 9, 13), (41, 60, 13), (7, 31, 26)])
def test_windows_have_the_values_of_the_whole_volume(nodes: tuple[int, int, int]) -> None:
    """A node depends on the few voxels around it, however the volume is divided; a constant stays one."""
    shape = (20, 30, 13)
    data = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    grid = NetworkGrid(shape, nodes)
    whole = grid.resample(data.__getitem__, ((0, nodes[0]), (0, nodes[1]), (0, nodes[2])))
    box = ((2, nodes[0] - 1), (3, nodes[1]), (0, 5))
    part = grid.resample(data.__getitem__, box)
    assert np.allclose(part, whole[2 : nodes[0] - 1, 3:, :5], atol=1e-5)
    ones = grid.resample(lambda where: np.ones(data[where].shape, np.float32), box)
    assert np.allclose(ones, 1, atol=1e-6)


@pytest.mark.parametrize("nodes", [(20, 9, 13), (41, 60, 13), (7, 31, 26)])
def test_splines_are_those_of_nnunet(nodes: tuple[int, int, int]) -> None:
    """A box of nodes has the values of a cubic spline through the whole volume, as nnU-Net resamples."""
    shape = (20, 30, 13)
    data = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    expected = np.asarray(
        resize(data.astype(np.float64), nodes, order=3, mode="edge", anti_aliasing=False, clip=False)  # type: ignore[no-untyped-call]
    )
    box = ((2, nodes[0] - 1), (3, nodes[1]), (0, 5))
    found = NetworkGrid(shape, nodes, "spline").resample(data.__getitem__, box)
    assert np.allclose(found, expected[2 : nodes[0] - 1, 3:, :5], atol=1e-5)


def test_coarser_nodes_are_averages() -> None:
    """With an integer factor each node is the mean of its voxels."""
    data = np.random.default_rng(0).normal(size=(8, 12, 6)).astype(np.float32)
    found = NetworkGrid((8, 12, 6), (4, 4, 3)).resample(data.__getitem__, ((0, 4), (0, 4), (0, 3)))
    assert np.allclose(found, data.reshape(4, 2, 4, 3, 3, 2).mean(axis=(1, 3, 5)), atol=1e-6)


@pytest.mark.parametrize(("nodes", "exact"), [(8, 0.3), (10, 1e-4), (11, 0.3), (23, 1e-4), (40, 1e-4)])
def test_a_ramp_comes_back(nodes: int, exact: float) -> None:
    """What is linear in space comes back in the same place: nothing is shifted.

    Where nodes cover parts of voxels, averages deviate by a fraction of a voxel.
    """
    data = np.broadcast_to(np.arange(20, dtype=np.float32)[:, None, None], (20, 2, 2))
    grid = NetworkGrid((20, 2, 2), (nodes, 2, 2))
    there = grid.resample(data.__getitem__, ((0, nodes), (0, 2), (0, 2)))
    back = grid.interpolate(there[None], (0, 0, 0), ((0, 20), (0, 2), (0, 2)))[0]
    assert np.allclose(back[3:-3], data[3:-3], atol=exact)
    assert abs(float((back - data)[3:-3].mean())) < 0.01


@given(GRIDS)
def test_blocks_partition_the_voxels(sizes: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]) -> None:
    """Every voxel is in exactly one block, which has the nodes that it is interpolated from, all of them in windows."""
    shape, nodes, window = ((each[0], each[1], each[2]) for each in sizes)
    plan = WindowPlan(NetworkGrid(shape, nodes), window, (0.5, 0.25, 0.0))
    seen = np.zeros(shape, int)
    for block in plan.blocks:
        seen[block.target] += 1
        for axis, (low, high) in enumerate(block.nodes):
            assert 0 <= low < high <= nodes[axis]
    assert (seen == 1).all()
    weights = np.zeros(nodes)
    for spec in plan:
        z, y, x = plan.weights(spec)
        at = tuple(slice(*each) for each in spec.box)
        weights[at] += z[:, None, None] * y[:, None] * x
    assert np.allclose(weights, 1, atol=1e-5)
    covered = np.zeros(nodes, int)
    for spec in plan:
        covered[tuple(slice(*each) for each in plan.inner(spec))] += 1
    assert (covered == 1).all()


@given(GRIDS)
def test_interpolated_blocks_are_the_interpolated_volume(
    sizes: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]],
) -> None:
    """A block's own nodes are enough for its voxels."""
    shape, nodes, window = ((each[0], each[1], each[2]) for each in sizes)
    grid = NetworkGrid(shape, nodes)
    scores = np.random.default_rng(0).normal(size=(1, *nodes)).astype(np.float32)
    whole = grid.interpolate(scores, (0, 0, 0), ((0, shape[0]), (0, shape[1]), (0, shape[2])))[0]
    for block in WindowPlan(grid, window, (0.5, 0.5, 0.5)).blocks:
        at = tuple(slice(low, high) for low, high in block.nodes)
        first = tuple(low for low, _ in block.nodes)
        z, y, x = ((start, start + size) for start, size in zip(block.start, block.shape, strict=True))
        found = grid.interpolate(scores[(slice(None), *at)], (first[0], first[1], first[2]), (z, y, x))[0]
        assert np.allclose(found, whole[block.target], atol=1e-5)


@pytest.mark.parametrize("nodes", [64, 65, 67, 80, 96, 100, 200, 513])
def test_blocks_are_not_much_smaller_than_windows(nodes: int) -> None:
    """However closely windows begin, a volume has at most a few blocks per window along an axis."""
    plan = WindowPlan(NetworkGrid((nodes, 1, 1), (nodes, 1, 1)), (64, 1, 1), (0.5, 0.0, 0.0))
    sizes = [spec.shape[0] for spec in plan.blocks]
    assert sum(sizes) == nodes
    assert min(sizes) >= 16
    assert max(sizes) <= 64


@pytest.mark.parametrize(
    ("window", "overlap", "voxel_size_A", "words"),
    [
        ((1, 1, 1), (0.0, 0.0, 0.0), None, "134,217,728 windows"),
        ((64, 64, 64), (0.9, 0.9, 0.9), (1.0, 1.0, 1.0), "windows of 64"),
        ((64, 64, 64), (0.5, 0.5, 0.5), (1e-4, 10.0, 10.0), "16 times as small"),
    ],
)
def test_windows_without_number_are_refused_at_once(window: Any, overlap: Any, voxel_size_A: Any, words: str) -> None:
    """Windows of a voxel, overlaps of nine tenths, and voxels smaller than atoms: a sentence, not a long wait."""
    grid = NetworkGrid.of((512, 512, 512), (10.0, 10.0, 10.0), voxel_size_A, 0.05)
    with pytest.raises(InvalidRequestError, match=words):
        require_bounded(grid, window, overlap)
