"""The coarse sampling grid of the filters: nodes at multiples of a step, the same for every tile.

Voxel j is at j · voxel size and node i at i · step, both in Å from the first voxel of the volume. Nodes are counted
from the volume's origin, so that a tile has the same nodes with the same weights as the whole volume.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from cryomamba.geometry import Shape, Spacing

Field = npt.NDArray[np.float32]
Positions = npt.NDArray[np.floating[Any]]
Corner = tuple[int, int, int]
Borders = tuple[tuple[bool, bool], tuple[bool, bool], tuple[bool, bool]]
"""Which sides of a box, first and last along z, y, x, are borders of the volume."""
ALL_BORDERS: Borders = ((True, True), (True, True), (True, True))
Slices = tuple[slice, slice, slice]
_SLAB_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CoarseGrid:
    """The sampling grid of a volume.

    Attributes
    ----------
    shape : tuple of int
        Voxels of the volume, z, y, x.
    voxel_size_A : tuple of float
        Å along z, y, x.
    step_A : float
        Distance between nodes in Å, along every axis.
    """

    shape: Shape
    voxel_size_A: Spacing
    step_A: float

    def nodes(self, start: Shape, stop: Shape, margin: int = 0) -> tuple[Corner, Corner]:
        """Return the first and one-past-last node around voxels `start` … `stop`, with a margin, within the volume."""
        first, last = [], []
        for axis, size in enumerate(self.voxel_size_A):
            limit = int(np.ceil((self.shape[axis] - 1) * size / self.step_A - 1e-9))
            low = int(np.floor(start[axis] * size / self.step_A + 1e-9)) - margin
            high = int(np.ceil((stop[axis] - 1) * size / self.step_A - 1e-9)) + margin
            first.append(max(low, 0))
            last.append(min(high, limit) + 1)
        return (first[0], first[1], first[2]), (last[0], last[1], last[2])

    def resample(self, data: Field, start: Shape, first: Corner, last: Corner) -> Field:
        """Average voxels onto nodes `first` … `last` with a triangular kernel that extends one step to either side.

        Parameters
        ----------
        data : array of shape (z, y, x), float32
            Voxels of the volume, from voxel `start` on.
        """
        weights = [
            _triangle(
                np.arange(first[axis], last[axis]) * self.step_A,
                (start[axis] + np.arange(data.shape[axis])) * size,
                max(self.step_A, size),
            )
            for axis, size in enumerate(self.voxel_size_A)
        ]
        planes = np.empty((last[0] - first[0], *data.shape[1:]), np.float32)
        flat = data.reshape(len(data), -1)
        for plane, row in zip(planes.reshape(len(planes), -1), weights[0], strict=True):
            used = np.flatnonzero(row)
            band = slice(used[0], used[-1] + 1)
            np.matmul(row[band], flat[band], out=plane)
        return np.asarray(np.matmul(np.matmul(weights[1], planes), weights[2].T), np.float32)

    @property
    def node_shape(self) -> Corner:
        """Number of nodes along z, y, x."""
        return self.nodes((0, 0, 0), self.shape)[1]

    def node_planes(self, start: int, stop: int) -> tuple[int, int]:
        """Return the first and one-past-last node plane that belong to voxel planes `start` … `stop`."""
        ratio = self.voxel_size_A[0] / self.step_A
        last = self.node_shape[0] if stop == self.shape[0] else int(np.ceil(stop * ratio - 1e-9))
        return int(np.ceil(start * ratio - 1e-9)), last

    def voxel_planes(self, low: int, high: int) -> tuple[int, int]:
        """Return the first and one-past-last voxel plane that contribute to node planes `low` … `high`."""
        size = self.voxel_size_A[0]
        half = max(self.step_A, size)
        begin = int(np.floor((low * self.step_A - half) / size))
        end = int(np.ceil(((high - 1) * self.step_A + half) / size)) + 1
        return min(max(begin, 0), self.shape[0] - 1), min(end, self.shape[0])

    def interpolate_rows(self, field: Field, first: Corner, start: Shape, shape: Shape) -> Field:
        """Interpolate a field linearly from nodes to the voxels of a box, along y and x only."""
        rows, columns = (
            _linear(start[axis], shape[axis], self.voxel_size_A[axis] / self.step_A, first[axis], field.shape[axis])
            for axis in (1, 2)
        )
        return np.asarray(np.matmul(rows, np.matmul(field, columns.T)), np.float32)

    def plane_positions(self, first: int, start: int, count: int, nodes: int) -> npt.NDArray[np.float32]:
        """Return the z coordinates (count,) of voxel planes `start` … in a field that starts at node `first`."""
        positions = (start + np.arange(count)) * (self.voxel_size_A[0] / self.step_A) - first
        return np.asarray(np.clip(positions, 0, nodes - 1), np.float32)


def resample_tasks(read: Callable[[Slices], Field], *targets: tuple[CoarseGrid, Field]) -> Iterator[Callable[[], None]]:
    """Yield tasks that resample a volume onto fields of their grids, slab by slab; reading is done by the caller."""
    depth, height, width = targets[0][0].shape
    planes = max(1, _SLAB_BYTES // (4 * height * width))
    for start, stop in spans(depth, planes):
        parts = [(grid, out, *grid.node_planes(start, stop)) for grid, out in targets]
        needed = [grid.voxel_planes(low, high) for grid, _, low, high in parts]
        begin, end = min(a for a, _ in needed), max(b for _, b in needed)
        data = read((slice(begin, end), slice(0, height), slice(0, width)))

        def resample(
            data: Field = data, begin: int = begin, parts: list[tuple[CoarseGrid, Field, int, int]] = parts
        ) -> None:
            for grid, out, low, high in parts:
                if high > low:
                    out[low:high] = grid.resample(data, (begin, 0, 0), (low, 0, 0), (high, *grid.node_shape[1:]))

        yield resample


def _triangle(nodes_A: Positions, voxels_A: Positions, half_A: float) -> Field:
    weights = np.clip(1 - np.abs(nodes_A[:, None] - voxels_A) / half_A, 0, None)
    total = weights.sum(axis=1, keepdims=True)
    isolated = total[:, 0] < 1e-6
    weights[isolated, np.abs(nodes_A[isolated, None] - voxels_A).argmin(axis=1)] = 1
    return np.asarray(weights / np.where(isolated[:, None], 1, total), np.float32)


def _linear(start: int, count: int, ratio: float, first: int, nodes: int) -> Field:
    positions = np.clip((start + np.arange(count)) * ratio - first, 0, nodes - 1)
    return np.asarray(np.clip(1 - np.abs(positions[:, None] - np.arange(nodes)), 0, None), np.float32)


def hemisphere_directions(count: int) -> Field:
    """Return `count` unit vectors (count, 3), z, y, x, distributed evenly over a hemisphere (Fibonacci lattice)."""
    index = np.arange(count) + 0.5
    z = 1 - index / count
    angle = np.pi * (1 + 5**0.5) * index
    radius = np.sqrt(1 - z * z)
    return np.stack([z, radius * np.sin(angle), radius * np.cos(angle)], axis=1).astype(np.float32)


def spans(total: int, limit: int) -> list[tuple[int, int]]:
    """Split 0 … `total` into ranges of at most `limit`, as equal as possible."""
    parts = max(1, -(-total // limit))
    return list(pairwise(total * part // parts for part in range(parts + 1)))
