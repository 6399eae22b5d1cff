"""The ridge of a smoothed mask within a box: its voxels, sub-voxel offsets and normals (Steger, 1998)."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from cryomamba.geometry import Spacing
from cryomamba.masks.slabs import Labels
from cryomamba.optional_imports import import_optional

TRUNCATE: Final = 3.0
# Longest Newton step, in voxels.
_MAX_STEP: Final = 1.5
# Two neighbours see the same ridge if their steps end within this distance (voxels) and the cosine between their
# normals is at least _MIN_COSINE.
_MAX_GAP: Final = 0.6
_MIN_COSINE: Final = 0.5
# Least negative second derivative across the ridge, times the Gaussian's variance; a membrane has 0.35, its rim half.
_MIN_CURVATURE: Final = 0.12
# Least smoothed mask relative to the interior. At the mask's edge it is 0.5; spurious ridges run into corners below it.
_MIN_DEPTH: Final = 0.55
_BATCH_VOXELS: Final = 1 << 19

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]
Box = tuple[slice, slice, slice]


def smoothed(mask: Labels, sigma: list[float], box: Box) -> Floats:
    """Return a mask smoothed with a Gaussian (sigma in voxels) within a box; it is continued beyond its border."""
    smooth = mask
    for axis, (along, side) in enumerate(zip(sigma, box, strict=True)):
        smooth = import_optional("scipy.ndimage").gaussian_filter1d(
            smooth, along, axis, output=np.float32, truncate=TRUNCATE, mode="nearest"
        )
        smooth = smooth[tuple(side if other == axis else slice(None) for other in range(3))]
    return np.asarray(smooth, np.float32)


class Ridge:
    """The ridge of a smoothed mask in a box; voxels are flat indices into a padded array.

    Parameters
    ----------
    mask : ndarray of uint8, (z, y, x)
        The box with a margin of ``TRUNCATE`` sigma and two voxels, as far as the volume reaches.
    box : tuple of slice
        Position of the box in `mask`.
    sigma : list of float
        Standard deviations of the Gaussian in voxels.
    size : tuple of float
        Å along z, y, x.
    inside : float
        Value of the smoothed mask inside a sheet that is continued on all sides.
    """

    def __init__(self, mask: Labels, box: Box, sigma: list[float], size: Spacing, inside: float) -> None:
        wide = tuple(
            slice(max(side.start - 2, 0), min(side.stop + 2, n)) for side, n in zip(box, mask.shape, strict=True)
        )
        smooth = np.pad(smoothed(mask, sigma, (wide[0], wide[1], wide[2])), 1, mode="edge")
        self._mask = np.pad(mask[wide], 1, mode="edge").reshape(-1)
        self._shape = smooth.shape
        self._field = smooth.reshape(-1)
        self._strides = (self._shape[1] * self._shape[2], self._shape[2], 1)
        self._size = np.array(size, np.float32)
        self._inside = np.float32(inside)
        self._variance_A2 = np.float32(math.prod(sigma) * math.prod(size)) ** np.float32(2 / 3)
        self._origin = np.array([side.start - 1 for side in wide])
        self._start = np.array([side.start for side in box]) - self._origin
        self._stop = np.array([side.stop for side in box]) - self._origin

    def surface(self) -> tuple[Indices, Floats, Floats, Floats]:
        """Return the ridge's voxels (n, 3) in `mask`, offsets to the ridge along the normal in Å, normals, and depths.

        A depth is the smoothed mask relative to `inside`.
        """
        voxels, offset, normal = self._near_ridge()
        on_ridge = self._nearest_of_pairs(voxels, offset, normal) & (self._mask[voxels] > 0)
        voxels, offset, normal = voxels[on_ridge], offset[on_ridge], normal[on_ridge]
        positions = np.stack(np.unravel_index(voxels, self._shape), axis=1)
        own = ((positions >= self._start) & (positions < self._stop)).all(axis=1)
        depths = np.asarray(self._field[voxels[own]] / self._inside, np.float32)
        return positions[own] + self._origin, offset[own], normal[own], depths

    def _nearest_of_pairs(self, voxels: Indices, offset: Floats, normal: Floats) -> npt.NDArray[np.bool_]:
        """Return whether each voxel is the nearer one of two face neighbours on either side of the ridge."""
        row = np.full(self._field.size, -1, np.int32)
        row[voxels] = np.arange(voxels.size, dtype=np.int32)
        nearest = np.zeros(voxels.size, np.bool_)
        for axis, stride in enumerate(self._strides):
            first = np.flatnonzero(row[np.minimum(voxels + stride, row.size - 1)] >= 0)
            second = row[voxels[first] + stride]
            cosine = (normal[first] * normal[second]).sum(axis=1)
            here, there = offset[first], offset[second] * np.sign(cosine)
            # Between two ridges the signs differ too, but the two steps end at different places.
            gap = np.abs(normal[first, axis] * self._size[axis] + there - here)
            crossed = (
                ((here > 0) != (there > 0)) & (gap <= _MAX_GAP * self._size[axis]) & (np.abs(cosine) >= _MIN_COSINE)
            )
            first, second = first[crossed], second[crossed]
            prefer_first = self._prefer_first(voxels, offset, first, second)
            nearest[np.where(prefer_first, first, second)] = True
        return nearest

    def _prefer_first(self, voxels: Indices, offset: Floats, first: Indices, second: Indices) -> npt.NDArray[np.bool_]:
        """Return whether the first of two voxels is preferred: the one in the mask, else the nearer one."""
        one, other = self._mask[voxels[first]] > 0, self._mask[voxels[second]] > 0
        nearer = np.abs(offset[first]) <= np.abs(offset[second])
        return np.where(one == other, nearer, one)

    def _near_ridge(self) -> tuple[Indices, Floats, Floats]:
        candidates = self._candidates()
        found = [
            self._newton_step(voxels) for voxels in np.array_split(candidates, candidates.size // _BATCH_VOXELS + 1)
        ]
        voxels, offset, normal = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return voxels, offset, normal

    def _candidates(self) -> Indices:
        low = np.maximum(self._start - 1, 1)
        high = np.minimum(self._stop + 1, np.array(self._shape) - 1)
        mask = self._mask.reshape(self._shape)

        def shifted(axis: int, step: int) -> Labels:
            sides = [slice(int(a), int(b)) for a, b in zip(low, high, strict=True)]
            sides[axis] = slice(int(low[axis]) + step, int(high[axis]) + step)
            return mask[tuple(sides)]

        near = shifted(0, 0).copy()
        for axis in range(3):
            near |= shifted(axis, 1)
            near |= shifted(axis, -1)
        z, y, x = np.nonzero(near)
        positions: Indices = (z + low[0]) * self._strides[0] + (y + low[1]) * self._strides[1] + x + low[2]
        return positions

    def _newton_step(self, voxels: Indices) -> tuple[Indices, Floats, Floats]:
        """Return those of the voxels that are near the ridge, with the offset to it in Å and its normal."""
        reach = np.float32(_MAX_STEP) * self._size.max()
        voxels = voxels[self._field[voxels] >= _MIN_DEPTH * self._inside]
        first = np.stack([self._first_derivative(voxels, axis) for axis in range(3)], axis=1)
        second = np.stack([self._second_derivative(voxels, axis) for axis in range(3)], axis=1)
        # Cheap test first: across a sheet, the Laplacian is the second derivative along the normal.
        close = np.linalg.norm(first, axis=1) <= 2 * reach * np.maximum(-second.sum(axis=1), 0)
        voxels, first, second = voxels[close], first[close], second[close]
        mixed = (self._mixed_derivative(voxels, *axes) for axes in ((0, 1), (0, 2), (1, 2)))
        curvature, normal = _lowest_eigenpair(second, *mixed)
        along = (first * normal).sum(axis=1)
        offset = np.divide(-along, curvature, out=np.full_like(along, np.inf), where=curvature < 0)
        near = (np.abs(offset) <= reach) & (curvature <= -np.float32(_MIN_CURVATURE) / self._variance_A2)
        return voxels[near], offset[near], normal[near]

    def _first_derivative(self, voxels: Indices, axis: int) -> Floats:
        step, field = self._strides[axis], self._field
        first: Floats = (field[voxels + step] - field[voxels - step]) / (2 * self._size[axis])
        return first

    def _second_derivative(self, voxels: Indices, axis: int) -> Floats:
        step, field = self._strides[axis], self._field
        second: Floats = (field[voxels + step] - 2 * field[voxels] + field[voxels - step]) / self._size[axis] ** 2
        return second

    def _mixed_derivative(self, voxels: Indices, one: int, other: int) -> Floats:
        a, b, field = self._strides[one], self._strides[other], self._field
        difference = field[voxels + a + b] - field[voxels + a - b] - field[voxels - a + b] + field[voxels - a - b]
        mixed: Floats = difference / (4 * self._size[one] * self._size[other])
        return mixed


def _lowest_eigenpair(diagonal: Floats, zy: Floats, zx: Floats, yx: Floats) -> tuple[Floats, Floats]:
    """Return the lowest eigenvalue of symmetric 3 × 3 matrices and its unit eigenvector (z, y, x), in closed form."""
    zz, yy, xx = diagonal.T
    mean = diagonal.mean(axis=1)
    spread = np.sqrt(((diagonal - mean[:, None]) ** 2).sum(axis=1) / 6 + (zy**2 + zx**2 + yx**2) / 3)
    scale = np.maximum(spread, np.finfo(np.float32).tiny)
    a, b, c = (zz - mean) / scale, (yy - mean) / scale, (xx - mean) / scale
    d, e, f = zy / scale, zx / scale, yx / scale
    half = (a * (b * c - f * f) - d * (d * c - f * e) + e * (d * f - b * e)) / 2
    lowest = mean + 2 * spread * np.cos(np.arccos(np.clip(half, -1, 1)) / 3 + 2 * np.pi / 3)
    matrix = ((zz - lowest, zy, zx), (zy, yy - lowest, yx), (zx, yx, xx - lowest))
    rows = np.stack([np.stack(row, axis=1) for row in matrix])
    # The eigenvector is orthogonal to all rows; the longest of their cross products is the most accurate.
    crossed = np.stack([np.cross(rows[0], rows[1]), np.cross(rows[0], rows[2]), np.cross(rows[1], rows[2])])
    length = np.linalg.norm(crossed, axis=2)
    best = length.argmax(axis=0)
    each = np.arange(best.size)
    vector, norm = crossed[best, each], length[best, each]
    unit = np.divide(vector, norm[:, None], out=np.zeros_like(vector), where=norm[:, None] > 0)
    return lowest.astype(np.float32), unit.astype(np.float32)
