"""The working grid: resampling and interpolation at any voxel size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from cryomamba_inference.volume_preparation import grid as grid_module
from cryomamba_inference.volume_preparation.grid import WorkingGrid, spans

Field = npt.NDArray[np.float32]


def resampled(data: Field, grid: WorkingGrid, scale: Callable[[Field], Field] = lambda field: field) -> Field:
    nodes = np.full(grid.node_shape, np.nan, np.float32)
    for task in grid.resample_tasks(lambda where: np.ascontiguousarray(data[where]), scale, nodes):
        task()
    return nodes


@pytest.mark.parametrize("size_A", [(1.0, 1.0, 1.0), (5.0, 10.0, 7.3), (12.5, 12.5, 12.5), (20.0, 26.0, 12.0)])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 40, 9), (30, 2, 17), (25, 31, 28)])
def test_a_constant_stays_constant(shape: tuple[int, int, int], size_A: tuple[float, float, float]) -> None:
    """Up to the border, in volumes of any shape and voxel size, nodes of a constant volume have its value."""
    grid = WorkingGrid(shape, size_A, 12.5)
    np.testing.assert_allclose(resampled(np.full(shape, 3.5, np.float32), grid), 3.5, rtol=1e-6)


@pytest.mark.parametrize("size_A", [8.0, 10.0, 15.0])
def test_white_noise_is_alike_at_all_nodes(size_A: float) -> None:
    """Nodes on voxels and nodes between voxels have nearly the same deviation; otherwise a lattice would show."""
    noise = np.random.default_rng(1).normal(size=(40, 60, 60)).astype(np.float32)
    nodes = resampled(noise, WorkingGrid(noise.shape, (size_A,) * 3, 12.5))
    inner = nodes[4:-4, 4:-4, 4:-4]
    deviations = [inner.std(axis=tuple(a for a in range(3) if a != axis)) for axis in range(3)]
    assert all(deviation.max() < 1.25 * deviation.min() for deviation in deviations)


@pytest.mark.parametrize("size_A", [(10.0, 10.0, 10.0), (4.0, 20.0, 12.5)])
def test_linear_fields_are_interpolated_exactly(size_A: tuple[float, float, float]) -> None:
    """On the voxels of any box, nodes of a linear field give that field."""
    grid = WorkingGrid((40, 20, 30), size_A, 12.5)
    z, y, x = np.indices(grid.node_shape) * 12.5
    nodes = (0.2 * z - 0.3 * y + 0.5 * x).astype(np.float32)
    for start, shape in (((0, 0, 0), grid.shape), ((7, 3, 11), (9, 1, 13)), ((39, 19, 29), (1, 1, 1))):
        first, last = grid.nodes_around(start, shape, 0)
        box = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
        z, y, x = (np.indices(shape) + np.reshape(start, (3, 1, 1, 1))) * np.reshape(size_A, (3, 1, 1, 1))
        found = grid.interpolate(nodes[box], first, start, shape)
        np.testing.assert_allclose(found, 0.2 * z - 0.3 * y + 0.5 * x, atol=1e-3)


def test_smooth_fields_come_back() -> None:
    """A smooth field, resampled and interpolated back, is nearly itself away from the border."""
    z, y, x = np.indices((32, 40, 40)) * 10.0
    smooth = (np.sin(z / 60) + np.cos(y / 70 + 1) * np.sin(x / 50)).astype(np.float32)
    grid = WorkingGrid((32, 40, 40), (10.0, 10.0, 10.0), 12.5)
    back = grid.interpolate(resampled(smooth, grid), (0, 0, 0), (0, 0, 0), grid.shape)
    assert np.abs(back - smooth)[4:-4, 4:-4, 4:-4].max() < 0.05


@pytest.mark.parametrize("planes", [1, 3, 200])
def test_slabs_do_not_show(monkeypatch: pytest.MonkeyPatch, planes: int) -> None:
    """Read in slabs of one plane, of three or at once, a volume of fine voxels has the same nodes."""
    data = np.random.default_rng(2).normal(size=(60, 33, 47)).astype(np.float32)
    grid = WorkingGrid((60, 33, 47), (2.0, 3.0, 4.0), 12.5)
    whole = resampled(data, grid)
    monkeypatch.setattr(grid_module, "_SLAB_BYTES", 4 * 33 * 47 * planes)
    np.testing.assert_allclose(resampled(data, grid), whole, atol=1e-5)


@pytest.mark.parametrize("size_A", [1.0, 10.0])
def test_resampling_reports_from_inside_its_tasks(monkeypatch: pytest.MonkeyPatch, size_A: float) -> None:
    """Every plane of nodes is reported once, when it is finished, and few of them at a time."""
    data = np.random.default_rng(4).normal(size=(100, 20, 20)).astype(np.float32)
    grid = WorkingGrid((100, 20, 20), (size_A,) * 3, 12.5)
    monkeypatch.setattr(grid_module, "_SLAB_BYTES", 4 * 20 * 20 * 50)
    nodes = np.full(grid.node_shape, np.nan, np.float32)
    reported: list[int] = []

    def done(planes: int) -> None:
        reported.append(planes)
        assert np.isfinite(nodes).all(axis=(1, 2)).sum() == sum(reported)

    for task in grid.resample_tasks(lambda where: data[where], lambda field: field, nodes, done):
        task()
    assert sum(reported) == len(nodes)
    assert max(reported) <= 4


def test_fine_voxels_are_read_once_and_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel spans many planes, each plane is read once, and few of them at a time."""
    data = np.random.default_rng(3).normal(size=(100, 20, 20)).astype(np.float32)
    grid = WorkingGrid((100, 20, 20), (1.0, 1.0, 1.0), 12.5)
    monkeypatch.setattr(grid_module, "_SLAB_BYTES", 4 * 20 * 20 * 5)
    read: list[slice] = []

    def reading(where: tuple[slice, slice, slice]) -> Field:
        read.append(where[0])
        return np.ascontiguousarray(data[where])

    for task in grid.resample_tasks(reading, lambda field: field, np.empty(grid.node_shape, np.float32)):
        task()
    assert [plane for where in read for plane in range(where.start, where.stop)] == list(range(100))
    assert max(where.stop - where.start for where in read) <= 5


@pytest.mark.parametrize("size_A", [(10.0, 10.0, 10.0), (0.5, 30.0, 12.5), (26.0, 9.0, 16.0)])
def test_every_voxel_lies_between_nodes(size_A: tuple[float, float, float]) -> None:
    """The first node is on the first voxel, and the last one less than a step beyond the last voxel."""
    grid = WorkingGrid((17, 40, 23), size_A, 12.5)
    for nodes, voxels, size in zip(grid.node_shape, grid.shape, size_A, strict=True):
        assert (voxels - 1) * size <= (nodes - 1) * 12.5 + 1e-6 < (voxels - 1) * size + 12.5
    np.testing.assert_allclose(grid.voxels(np.array([[2.0, 0.0, 1.0]])), [[25 / size_A[0], 0, 12.5 / size_A[2]]])


def test_spans_cover_everything_once() -> None:
    """Ranges follow each other, none is longer than the limit or empty."""
    for total, limit in ((1, 5), (10, 3), (97, 96), (96, 96)):
        found = spans(total, limit)
        assert [at for low, high in found for at in range(low, high)] == list(range(total))
        assert all(0 < high - low <= limit for low, high in found)
