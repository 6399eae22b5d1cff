"""The grid of a network: a volume resampled to another voxel size, box by box. Pure.

The grid covers the volume exactly: along each axis, n voxels become m nodes, and node i covers the voxels from i·n/m to
(i + 1)·n/m. Coarser nodes are averages over what they cover; finer ones are interpolated by cubic convolution (Keys,
IEEE Trans. ASSP 1981), which needs four voxels and so is the same in every window. Scores go back by linear
interpolation.

The other way is nnU-Net's: nodes are the values of the cubic spline through the voxels, of which the outermost goes on
beyond the border. A voxel's share falls by 3.7 with each voxel of distance (Unser, IEEE Signal Process. Mag. 1999), so
that of distant ones is below the rounding of single precision.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from cryomamba.engines.api import Slices, Voxels
from cryomamba.engines.windows import Resampling, Scores
from cryomamba.geometry import Shape, Spacing

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_POLE: Final = math.sqrt(3) - 2
"""Of the recursive filter that makes a cubic spline's coefficients of values."""
_SPLINE_REACH: Final = 13
"""Voxels on either side; beyond, shares are below 2e-7."""
_SLAB_VOXELS: Final = 4 * 1024 * 1024
Range = tuple[int, int]
Box = tuple[Range, Range, Range]
"""First and one-past-last index along z, y, x."""


@dataclass(frozen=True, slots=True)
class NetworkGrid:
    """A volume's grid and the network's.

    Attributes
    ----------
    shape : tuple of int
        Voxels of the volume, z, y, x.
    nodes : tuple of int
        Nodes of the network's grid, z, y, x.
    resampling : {'average', 'spline'}
    """

    shape: Shape
    nodes: Shape
    resampling: Resampling = "average"

    @classmethod
    def of(
        cls,
        shape: Shape,
        voxel_size_A: Spacing,
        network_voxel_size_A: Spacing | None,
        tolerance: float,
        resampling: Resampling = "average",
    ) -> NetworkGrid:
        """Return the grid with about the network's voxel size; an axis within the relative `tolerance` is kept."""
        wanted = network_voxel_size_A or (0.0, 0.0, 0.0)
        z, y, x = (
            count if not target or abs(size / target - 1) <= tolerance else max(1, round(count * size / target))
            for count, size, target in zip(shape, voxel_size_A, wanted, strict=True)
        )
        return cls(shape, (z, y, x), resampling)

    @property
    def factors(self) -> Spacing:
        """Voxels per node along z, y, x."""
        z, y, x = (count / nodes for count, nodes in zip(self.shape, self.nodes, strict=True))
        return z, y, x

    @property
    def is_same(self) -> bool:
        """Whether nodes are voxels."""
        return self.shape == self.nodes

    def voxels_for(self, box: Box) -> Slices:
        """Return the voxels that nodes are computed from."""
        reach = _spline_reach if self.resampling == "spline" else _reach
        found = [reach(first, last, *each) for (first, last), each in zip(box, self._axes, strict=True)]
        z, y, x = (slice(*each) for each in found)
        return z, y, x

    def voxels_in(self, box: Box) -> Box:
        """Return the voxels whose centres are nearest to nodes from the first on; boxes that adjoin do so here."""
        z, y, x = (
            (_first_voxel(first, *each), _first_voxel(last, *each))
            for (first, last), each in zip(box, self._axes, strict=True)
        )
        return z, y, x

    def nodes_for(self, box: Box) -> Box:
        """Return a box of nodes with those beyond its end that the voxels in it need for interpolation."""
        z, y, x = (
            (first, last if count == nodes else min(last + 1, nodes))
            for (first, last), (count, nodes) in zip(box, self._axes, strict=True)
        )
        return z, y, x

    def resample(self, read: Callable[[Slices], Voxels], box: Box) -> Voxels:
        """Return the densities of a box of nodes, a new array.

        Parameters
        ----------
        read : callable
            Returns voxels of the volume; it is asked for slabs of bounded size.
        """
        z, y, x = self.voxels_for(box)
        if self.is_same:
            return np.array(read((z, y, x)), np.float32)
        weights = _splines if self.resampling == "spline" else _averages
        across, rows, columns = (
            weights(first, last, *each) for (first, last), each in zip(box, self._axes, strict=True)
        )
        planes = max(1, _SLAB_VOXELS // ((y.stop - y.start) * (x.stop - x.start)))
        found = np.zeros((across.shape[0], rows.shape[0] * columns.shape[0]), np.float32)
        for start in range(z.start, z.stop, planes):
            stop = min(start + planes, z.stop)
            data = _along(_along(read((slice(start, stop), y, x)), columns, 2), rows, 1)
            found += across[:, start - z.start : stop - z.start] @ data.reshape(len(data), -1)
        return found.reshape(across.shape[0], rows.shape[0], columns.shape[0])

    def interpolate(self, scores: Scores, first: Shape, voxels: Box) -> Scores:
        """Return scores at voxels, from those at nodes of which the first one is `first`."""
        if self.is_same:
            return scores
        for axis, ((start, stop), (count, nodes)) in enumerate(zip(voxels, self._axes, strict=True)):
            if count != nodes:
                weights = _linear(start, stop, count, nodes, first[axis], scores.shape[axis + 1])
                scores = _along(scores, weights, axis + 1)
        return scores

    def nearest_nodes(self, axis: int, voxels: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Return the nodes that cover voxels along an axis."""
        count, nodes = self.shape[axis], self.nodes[axis]
        return np.minimum((2 * voxels + 1) * nodes // (2 * count), nodes - 1)

    @property
    def _axes(self) -> tuple[Range, Range, Range]:
        z, y, x = zip(self.shape, self.nodes, strict=True)
        return z, y, x


def _first_voxel(node: int, count: int, nodes: int) -> int:
    """Return the first voxel whose centre is not before that of a node."""
    if node <= 0 or node >= nodes:
        return 0 if node <= 0 else count
    # (voxel + 1/2) / count >= (node + 1/2) / nodes, in whole numbers.
    return max(0, -(-((2 * node + 1) * count - nodes) // (2 * nodes)))


def _reach(first: int, last: int, count: int, nodes: int) -> Range:
    if count == nodes:
        return first, last
    if nodes < count:
        return first * count // nodes, min(-(-last * count // nodes), count)
    low = math.floor((first + 0.5) * count / nodes - 0.5) - 1
    high = math.floor((last - 0.5) * count / nodes - 0.5) + 3
    return max(low, 0), min(high, count)


def _averages(first: int, last: int, count: int, nodes: int) -> csr_array:
    """Return the weights (nodes, voxels) by which nodes are computed from the voxels of :func:`_reach`."""
    start, stop = _reach(first, last, count, nodes)
    at = np.arange(first, last)
    if count == nodes:
        return _sparse(np.ones((len(at), 1)), (at - start)[:, None], stop - start)
    if nodes < count:
        low, high = at * (count / nodes), (at + 1) * (count / nodes)
        columns = np.floor(low).astype(np.int64)[:, None] + np.arange(math.ceil(count / nodes) + 1)
        covered = np.minimum(columns + 1, high[:, None]) - np.maximum(columns, low[:, None])
        weights = np.maximum(covered, 0)
    else:
        position = (at + 0.5) * (count / nodes) - 0.5
        columns = np.floor(position).astype(np.int64)[:, None] + np.arange(-1, 3)
        weights = _cubic(np.abs(columns - position[:, None]))
    weights /= weights.sum(axis=1, keepdims=True)
    return _sparse(weights, np.clip(columns, start, stop - 1) - start, stop - start)


def _spline_reach(first: int, last: int, count: int, nodes: int) -> Range:
    if count == nodes:
        return first, last
    low = math.floor((first + 0.5) * count / nodes - 0.5) - _SPLINE_REACH
    high = math.floor((last - 0.5) * count / nodes - 0.5) + _SPLINE_REACH + 2
    return max(low, 0), min(high, count)


def _splines(first: int, last: int, count: int, nodes: int) -> csr_array:
    """Return the weights (nodes, voxels) of the cubic spline through the voxels of :func:`_spline_reach`."""
    start, stop = _spline_reach(first, last, count, nodes)
    at = np.arange(first, last)
    if count == nodes:
        return _sparse(np.ones((len(at), 1)), (at - start)[:, None], stop - start)
    position = (at + 0.5) * (count / nodes) - 0.5
    whole = np.floor(position).astype(np.int64)
    knots = np.arange(-1, 3)
    columns = np.arange(-_SPLINE_REACH, _SPLINE_REACH + 2)
    basis = _cubic_basis(np.abs(position[:, None] - (whole[:, None] + knots)))
    # Of the coefficients of the basis, by the values of the voxels.
    inverse = -6 * _POLE / (1 - _POLE**2) * _POLE ** np.abs(knots[:, None] - columns)
    weights = basis @ inverse
    weights /= weights.sum(axis=1, keepdims=True)
    return _sparse(weights, np.clip(whole[:, None] + columns, start, stop - 1) - start, stop - start)


def _cubic_basis(distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.maximum(2 - distance, 0) ** 3 / 6
    return np.where(distance <= 1, near, far)


def _cubic(distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


def _linear(start: int, stop: int, count: int, nodes: int, first: int, available: int) -> csr_array:
    """Return the weights (voxels, nodes) of linear interpolation, of nodes from `first` on."""
    position = np.clip((np.arange(start, stop) + 0.5) * (nodes / count) - 0.5, 0, nodes - 1) - first
    position = np.clip(position, 0, available - 1)
    lower = np.minimum(np.floor(position).astype(np.int64), max(available - 2, 0))
    fraction = position - lower
    columns = np.minimum(lower[:, None] + np.arange(2), available - 1)
    return _sparse(np.stack([1 - fraction, fraction], axis=1), columns, available)


def _sparse(values: npt.NDArray[np.float64], columns: npt.NDArray[np.int64], width: int) -> csr_array:
    # The service, which resamples nothing, imports this module as well.
    from scipy.sparse import csr_array

    rows = np.broadcast_to(np.arange(len(values))[:, None], values.shape)
    found = csr_array(
        (values.reshape(-1).astype(np.float32), (rows.reshape(-1), columns.reshape(-1))), shape=(len(values), width)
    )
    found.sum_duplicates()
    return found


def _along(field: Voxels, weights: csr_array, axis: int) -> Voxels:
    """Multiply an array by a sparse matrix along one axis."""
    moved = np.ascontiguousarray(np.moveaxis(field, axis, 0))
    product = weights @ moved.reshape(len(moved), -1)
    return np.ascontiguousarray(np.moveaxis(product.reshape(-1, *moved.shape[1:]), 0, axis))
