"""The working grid of an engine: nodes at multiples of a step, counted from the volume's first voxel.

Voxel j is at j · voxel size and node i at i · step, both in Å, so that every tile has the same nodes with the same
values as the whole volume.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from cryomamba.engines.api import Slices
from cryomamba.geometry import Shape, Spacing

Field = npt.NDArray[np.float32]
Distances = npt.NDArray[np.float64]
_SLAB_BYTES = 32 * 1024 * 1024
_REPORTED_PLANES = 4
"""Planes of nodes that are resampled between two reports: a slab alone may take seconds on a busy machine."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """How voxels are averaged onto nodes.

    Attributes
    ----------
    reach : int
        Distance beyond which voxels have no weight, in the coarser one of the two samplings.
    weight : callable
        Weight at a distance in that unit.
    """

    reach: int
    weight: Callable[[Distances], Distances]


def _lanczos(distance: Distances) -> Distances:
    return np.asarray(np.sinc(distance) * np.sinc(distance / 3), np.float64)


def _triangle(distance: Distances) -> Distances:
    return 1 - np.abs(distance)


LANCZOS = Kernel(3, _lanczos)
"""Sharp, and white noise stays white (Duchon, J. Appl. Meteorol. 1979); it overshoots beside sharp edges."""
TRIANGLE = Kernel(1, _triangle)
"""Without overshoot, and smooths a little."""


@dataclass(frozen=True, slots=True)
class WorkingGrid:
    """The working grid of a volume.

    Attributes
    ----------
    shape : tuple of int
        Voxels of the volume, z, y, x.
    voxel_size_A : tuple of float
        Å along z, y, x.
    step_A : float
        Distance between nodes in Å, along every axis.
    kernel : Kernel
        By which voxels are averaged onto nodes.
    """

    shape: Shape
    voxel_size_A: Spacing
    step_A: float
    kernel: Kernel = LANCZOS

    @property
    def node_shape(self) -> Shape:
        """Number of nodes along z, y, x; the last one is at most one step from the last voxel."""
        z, y, x = (
            int(np.ceil((count - 1) * size / self.step_A - 1e-9)) + 1
            for count, size in zip(self.shape, self.voxel_size_A, strict=True)
        )
        return z, y, x

    def nodes_around(self, start: Shape, shape: Shape, margin: int) -> tuple[Shape, Shape]:
        """Return the first and one-past-last node around a box of voxels, with a margin, within the volume."""
        first, last = [], []
        for axis, (size, count) in enumerate(zip(self.voxel_size_A, self.node_shape, strict=True)):
            first.append(max(int(start[axis] * size / self.step_A + 1e-9) - margin, 0))
            end = (start[axis] + shape[axis] - 1) * size / self.step_A
            last.append(min(int(np.ceil(end - 1e-9)) + 1 + margin, count))
        return (first[0], first[1], first[2]), (last[0], last[1], last[2])

    def voxels(self, nodes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return positions (n, 3) in voxels, given those in nodes."""
        return np.asarray(nodes * self.step_A / self.voxel_size_A, np.float64)

    def interpolate(self, nodes: Field, first: Shape, start: Shape, shape: Shape) -> Field:
        """Interpolate a field that begins at node `first` linearly onto the voxels of a box."""
        for axis, size in enumerate(self.voxel_size_A):
            positions = (start[axis] + np.arange(shape[axis])) * (size / self.step_A) - first[axis]
            weights = _linear(np.clip(positions, 0, nodes.shape[axis] - 1), nodes.shape[axis])
            nodes = _along(nodes, weights, axis)
        return nodes

    @property
    def _slab_planes(self) -> int:
        """Planes of the volume that are read at a time."""
        return max(1, _SLAB_BYTES // (4 * self.shape[1] * self.shape[2]))

    @property
    def _slabs(self) -> list[tuple[int, int]]:
        """First and last plane of nodes of each task that resamples."""
        planes = max(1, int(self._slab_planes * self.voxel_size_A[0] / self.step_A))
        return list(spans(self.node_shape[0], planes))

    def resample_tasks(
        self,
        read: Callable[[Slices], Field],
        scale: Callable[[Field], Field],
        nodes: Field,
        done: Callable[[int], object] = lambda _planes: None,
    ) -> Iterator[Callable[[], None]]:
        """Yield tasks that resample a volume onto its nodes, slab by slab; reading is done by the caller.

        Parameters
        ----------
        read : callable
            Returns the voxels of a box.
        scale : callable
            Applied to these voxels before they are resampled.
        nodes : array of :attr:`node_shape`, float32
            Output; may be a memory map.
        done : callable, optional
            Called in the tasks' threads with the number of planes of nodes that were just finished.
        """
        across, along_y, along_x = (_averaging(self.kernel, n, size, self.step_A, m) for n, size, m in self._axes)
        planes = self._slab_planes
        # Where a few planes are a slab and the kernel spans many, each plane is resampled once, as it is read.
        at_once = self._kernel_planes > 2 * planes
        source = _ResampledPlanes(read, scale, self.shape, (along_y, along_x), planes) if at_once else None
        for low, high in self._slabs:
            rows = across[low:high]
            begin, end = int(rows.indices.min()), int(rows.indices.max()) + 1
            target, rows = nodes[low:high], rows[:, begin:end]
            if source:
                yield partial(_resample_across, source.planes(begin, end), rows, target, done)
            else:
                data = read((slice(begin, end), slice(0, self.shape[1]), slice(0, self.shape[2])))
                yield partial(_resample, data, scale, (rows, along_y, along_x), target, done)

    @property
    def _kernel_planes(self) -> int:
        return 2 * int(np.ceil(self.kernel.reach * max(self.step_A / self.voxel_size_A[0], 1.0))) + 1

    @property
    def _axes(self) -> Iterator[tuple[int, float, int]]:
        return zip(self.shape, self.voxel_size_A, self.node_shape, strict=True)


class _ResampledPlanes:
    """The planes of a volume in sequence, resampled along y and x while they are read; a few are kept."""

    def __init__(
        self,
        read: Callable[[Slices], Field],
        scale: Callable[[Field], Field],
        shape: Shape,
        weights: Sequence[csr_array],
        limit: int,
    ) -> None:
        self._read, self._scale, self._shape, self._weights, self._limit = read, scale, shape, weights, limit
        self._first = 0
        self._kept = np.empty((0, weights[0].shape[0], weights[1].shape[0]), np.float32)

    def planes(self, begin: int, end: int) -> Field:
        """Return resampled planes; neither `begin` nor `end` may decrease from call to call."""
        known = self._first + len(self._kept)
        kept = [self._kept[begin - self._first :]]
        for low, high in spans(end - known, self._limit) if end > known else []:
            where = (slice(known + low, known + high), slice(0, self._shape[1]), slice(0, self._shape[2]))
            scaled = self._scale(self._read(where))
            kept += [(self._weights[1] @ (self._weights[0] @ plane).T).T[None] for plane in scaled]
        self._first, self._kept = begin, np.concatenate(kept)
        return self._kept


def _resample(
    data: Field,
    scale: Callable[[Field], Field],
    weights: tuple[csr_array, csr_array, csr_array],
    target: Field,
    done: Callable[[int], object],
) -> None:
    scaled, (across, along_y, along_x) = scale(data), weights
    for low, high in spans(len(target), _REPORTED_PLANES):
        field = _along(scaled, across[low:high], 0)
        target[low:high] = _along(_along(field, along_y, 1), along_x, 2)
        done(high - low)


def _resample_across(planes: Field, weights: csr_array, target: Field, done: Callable[[int], object]) -> None:
    target[...] = _along(planes, weights, 0)
    done(len(target))


def spans(total: int, limit: int) -> list[tuple[int, int]]:
    """Split 0 … `total` into ranges of at most `limit`, as equal as possible."""
    parts = max(1, -(-total // limit))
    return list(pairwise(total * part // parts for part in range(parts + 1)))


def _along(field: Field, weights: csr_array, axis: int) -> Field:
    """Multiply a field by a sparse matrix along one axis."""
    moved = np.ascontiguousarray(np.moveaxis(field, axis, 0))
    product = weights @ moved.reshape(len(moved), -1)
    return np.ascontiguousarray(np.moveaxis(product.reshape(-1, *moved.shape[1:]), 0, axis))


def _averaging(kernel: Kernel, voxels: int, size_A: float, step_A: float, nodes: int) -> csr_array:
    """Return the weights (nodes, voxels) of a low-pass filter at the coarser of the two samplings."""
    width = max(step_A / size_A, 1.0)
    positions = np.minimum(np.arange(nodes) * (step_A / size_A), voxels - 1)
    reach = int(np.ceil(kernel.reach * width))
    columns = np.rint(positions).astype(np.int64)[:, None] + np.arange(-reach, reach + 1)
    distance = (columns - positions[:, None]) / width
    values = kernel.weight(distance) * (np.abs(distance) < kernel.reach)
    values[(columns < 0) | (columns >= voxels)] = 0
    return _sparse(values / values.sum(axis=1, keepdims=True), columns, voxels)


def _linear(positions: npt.NDArray[np.float64], nodes: int) -> csr_array:
    """Return the weights (positions, nodes) of linear interpolation."""
    lower = np.minimum(positions.astype(np.int64), max(nodes - 2, 0))
    fraction = positions - lower
    return _sparse(np.stack([1 - fraction, fraction], axis=1), lower[:, None] + np.arange(2), nodes)


def _sparse(values: npt.NDArray[np.float64], columns: npt.NDArray[np.int64], width: int) -> csr_array:
    used = values != 0
    rows = np.broadcast_to(np.arange(len(values))[:, None], values.shape)[used]
    return csr_array((values[used].astype(np.float32), (rows, columns[used])), shape=(len(values), width))
