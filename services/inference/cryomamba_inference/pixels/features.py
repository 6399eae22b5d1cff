"""The features of a box of voxels: those of all scales, interpolated onto the voxels row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numba as nb
import numpy as np
import numpy.typing as npt

from cryomamba.geometry import Shape
from cryomamba_inference.pixels.filters import scale_features
from cryomamba_inference.pixels.scales import Read, Scale, binned_box

Positions = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Grid = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class MapBox:
    """Maps of a network on the nodes of a box, from which those of voxels are interpolated.

    Attributes
    ----------
    values : ndarray of float32, shape (maps, z, y, x)
        Of the nodes around the box.
    first : ndarray of int64, shape (3,)
        The first of them.
    counts : ndarray of int64, shape (3,)
        Nodes of the volume along z, y, x.
    scale : ndarray of float64, shape (3,)
        Nodes per voxel along z, y, x; the first node is at the first voxel.
    """

    values: Floats
    first: Positions
    counts: Positions
    scale: npt.NDArray[np.float64]


NO_MAPS: Final = MapBox(
    np.empty((0, 1, 1, 1), np.float32), np.zeros(3, np.int64), np.ones(3, np.int64), np.ones(3, np.float64)
)


@dataclass(frozen=True, slots=True)
class FeatureBox:
    """Features of a box on the grids of their scales, from which those of voxels are interpolated.

    Attributes
    ----------
    values : ndarray of float32
        The features of all scales, one array (feature, z, y, x) after the other.
    grids : ndarray of int64, shape (scales, 9)
        Of each scale: where its array begins in `values`, its shape (feature, z, y, x), its first voxel (z, y, x), and
        the factor by which it is binned.
    start, shape : tuple of int
        The voxels of the volume for which they are complete.
    maps : MapBox
        Of a network, further features.
    """

    values: Floats
    grids: Grid
    start: Shape
    shape: Shape
    maps: MapBox = NO_MAPS

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return self.values.nbytes

    @property
    def count(self) -> int:
        """How many features a voxel has."""
        return int(self.grids[:, 1].sum()) + len(self.maps.values)

    def at(self, voxels: Positions) -> Floats:
        """Return the features (voxel, feature) of voxels of the volume (n, 3) in the box."""
        found = np.empty((len(voxels), self.count), np.float32)
        maps = (self.maps.values, self.maps.first, self.maps.counts, self.maps.scale)
        _features_at(self.values, self.grids, *maps, np.ascontiguousarray(voxels, np.int64), found)
        return found


def feature_box(read: Read, volume: Shape, scales: tuple[Scale, ...], start: Shape, shape: Shape) -> FeatureBox:
    """Return the features of a box of the volume.

    Parameters
    ----------
    read : callable
        ``read((z, y, x) slices) -> float32 ZYX``, within the volume; normalized densities.
    volume : tuple of int
        Shape of the volume.
    start, shape : tuple of int
        The box.
    """
    arrays, grids, offset = [], [], 0
    for scale in scales:
        first = [_below(at, scale.factor) for at in start]
        beyond = 1 if scale.factor == 1 else 2
        last = [_below(at + size - 1, scale.factor) + beyond for at, size in zip(start, shape, strict=True)]
        low = [a - margin for a, margin in zip(first, scale.halo, strict=True)]
        high = [b + margin for b, margin in zip(last, scale.halo, strict=True)]
        field = binned_box(read, volume, _shape(low), _shape(high), scale.factor)
        found = scale_features(field, scale.sigma, tensor=scale.tensor)
        grids.append([offset, *found.shape, *first, scale.factor])
        arrays.append(found.reshape(-1))
        offset += found.size
    return FeatureBox(np.concatenate(arrays), np.array(grids, np.int64), start, shape)


def _below(voxel: int, factor: int) -> int:
    """Return the voxel of a binned copy whose centre is the last at or before the centre of a voxel."""
    return (2 * voxel + 1 - factor) // (2 * factor)


def _shape(values: list[int]) -> Shape:
    z, y, x = values
    return z, y, x


@nb.njit(cache=True, nogil=True)
def _features_at(values, grids, maps, first, counts, scale, voxels, out):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    row = np.empty((out.shape[1], 1), np.float32)
    scratch = np.empty(grids[:, 4].max(), np.float32)
    for n in range(len(voxels)):
        z, y, x = voxels[n, 0], voxels[n, 1], voxels[n, 2]
        known = row_features(values, grids, z, y, x, row, scratch)
        row_maps(maps, first, counts, scale, z, y, x, row, known)
        out[n] = row[:, 0]


@nb.njit(cache=True, nogil=True)
def row_features(values, grids, z, y, first_x, row, scratch):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Enter the features (feature, x) of the voxels of a row from `first_x` on; return how many there are."""
    number = 0
    columns = row.shape[1]
    one = np.float32(1)
    for level in range(len(grids)):
        offset, count, depth, height, width = (
            grids[level, 0],
            grids[level, 1],
            grids[level, 2],
            grids[level, 3],
            grids[level, 4],
        )
        factor = grids[level, 8]
        z0, fz = _place(z, factor, grids[level, 5])
        y0, fy = _place(y, factor, grids[level, 6])
        x0, _ = _place(first_x, factor, grids[level, 7])
        x1, _ = _place(first_x + columns - 1, factor, grids[level, 7])
        for feature in range(count):
            base = offset + ((feature * depth + z0) * height + y0) * width
            if factor == 1:
                for x in range(columns):
                    row[number, x] = values[base + x0 + x]
            else:
                below, plane = base + width, base + height * width
                for x in range(x0, x1 + 2):
                    near = values[base + x] * (one - fy) + values[below + x] * fy
                    far = values[plane + x] * (one - fy) + values[plane + width + x] * fy
                    scratch[x] = near * (one - fz) + far * fz
                for x in range(columns):
                    at, fx = _place(first_x + x, factor, grids[level, 7])
                    row[number, x] = scratch[at] * (one - fx) + scratch[at + 1] * fx
            number += 1
    return number


@nb.njit(cache=True, nogil=True)
def row_maps(values, first, counts, scale, z, y, first_x, row, known):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Enter the maps of a network behind the `known` features of the voxels of a row."""
    one = np.float32(1)
    z0, z1, fz = _between(z * scale[0], counts[0], first[0])
    y0, y1, fy = _between(y * scale[1], counts[1], first[1])
    for number in range(len(values)):
        near0, near1 = values[number, z0, y0], values[number, z0, y1]
        far0, far1 = values[number, z1, y0], values[number, z1, y1]
        for x in range(row.shape[1]):
            a, b, fx = _between((first_x + x) * scale[2], counts[2], first[2])
            near = (near0[a] * (one - fx) + near0[b] * fx) * (one - fy) + (near1[a] * (one - fx) + near1[b] * fx) * fy
            far = (far0[a] * (one - fx) + far0[b] * fx) * (one - fy) + (far1[a] * (one - fx) + far1[b] * fx) * fy
            row[known + number, x] = near * (one - fz) + far * fz


@nb.njit(cache=True, nogil=True, inline="always")
def _between(place, count, first):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Return the nodes before and after a place, counted from `first`, and how far it is behind the one before."""
    place = min(place, count - 1.0)
    at = min(int(place), max(count - 2, 0))
    return at - first, min(at + 1, count - 1) - first, np.float32(place - at)


@nb.njit(cache=True, nogil=True)
def _place(voxel, factor, first):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Return the voxel of a binned copy, counted from `first`, before a voxel's centre, and how far it is behind it."""
    twice = 2 * voxel + 1 - factor
    at = twice // (2 * factor)
    return at - first, np.float32(twice - 2 * factor * at) / np.float32(2 * factor)
