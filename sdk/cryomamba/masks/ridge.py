"""The ridge of a smoothed mask within a box: which voxels it goes through, where in them, and how it stands."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from cryomamba.geometry import Spacing
from cryomamba.masks.slabs import Labels
from cryomamba.optional_imports import import_optional

TRUNCATE: Final = 3.0
# Newton's step is trusted so far, in voxels.
_TRUSTED: Final = 1.5
# Neighbours agree if their ways end so near to each other (in voxels), and their normals turn by less than 60 degrees.
_AGREE: Final = 0.6
_TURN: Final = 0.5
# Least bend across the ridge, times the Gaussian's variance; a membrane has 0.35, and its rim half of it.
_SHARP: Final = 0.12
# Where the mask ends the smoothed one is half as high as within; into the corners behind that run ridges of their own.
_RIM: Final = 0.55
_AT_A_TIME: Final = 1 << 19

Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]
Box = tuple[slice, slice, slice]


def smoothed(mask: Labels, sigma: list[float], box: Box) -> Floats:
    """Return a mask smoothed by a Gaussian (deviations in voxels), of a box alone; beyond its border it goes on."""
    smooth = mask
    for axis, (along, side) in enumerate(zip(sigma, box, strict=True)):
        smooth = import_optional("scipy.ndimage").gaussian_filter1d(
            smooth, along, axis, output=np.float32, truncate=TRUNCATE, mode="nearest"
        )
        smooth = smooth[tuple(side if other == axis else slice(None) for other in range(3))]
    return np.asarray(smooth, np.float32)


class Ridge:
    """The ridge in a box of a mask; voxels are flat indices into an array with an edge around it.

    Parameters
    ----------
    mask : ndarray of uint8, (z, y, x)
        The box with ``TRUNCATE`` deviations and two voxels more around it, as far as the volume has them.
    box : tuple of slice
        Where the box lies in `mask`.
    sigma : list of float
        Deviations of the Gaussian in voxels.
    size : tuple of float
        Å along z, y, x.
    inside : float
        What the smoothed mask is where it goes on all around.
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

    def surface(self) -> tuple[Places, Floats, Floats, Floats]:
        """Return the voxels (n, 3) in `mask` that the ridge goes through, the way to it in Å, normals, and depths.

        The way is along the normal. A depth is the smoothed mask in units of what it is inside.
        """
        voxels, offset, normal = self._near()
        taken = self._taken(voxels, offset, normal) & (self._mask[voxels] > 0)
        voxels, offset, normal = voxels[taken], offset[taken], normal[taken]
        places = np.stack(np.unravel_index(voxels, self._shape), axis=1)
        own = ((places >= self._start) & (places < self._stop)).all(axis=1)
        depths = np.asarray(self._field[voxels[own]] / self._inside, np.float32)
        return places[own] + self._origin, offset[own], normal[own], depths

    def _taken(self, voxels: Places, offset: Floats, normal: Floats) -> npt.NDArray[np.bool_]:
        """Whether each voxel is the nearer one of two face neighbours on either side of the ridge."""
        row = np.full(self._field.size, -1, np.int32)
        row[voxels] = np.arange(voxels.size, dtype=np.int32)
        taken = np.zeros(voxels.size, np.bool_)
        for axis, stride in enumerate(self._strides):
            first = np.flatnonzero(row[np.minimum(voxels + stride, row.size - 1)] >= 0)
            second = row[voxels[first] + stride]
            turn = (normal[first] * normal[second]).sum(axis=1)
            here, there = offset[first], offset[second] * np.sign(turn)
            # Between two ridges the signs differ too, but there the two ways lead to different places.
            apart = np.abs(normal[first, axis] * self._size[axis] + there - here)
            crossed = ((here > 0) != (there > 0)) & (apart <= _AGREE * self._size[axis]) & (np.abs(turn) >= _TURN)
            first, second = first[crossed], second[crossed]
            taken[np.where(self._better(voxels, offset, first, second), first, second)] = True
        return taken

    def _better(self, voxels: Places, offset: Floats, first: Places, second: Places) -> npt.NDArray[np.bool_]:
        """Whether of two voxels the first is the one to take: in the mask, if only one is, else the nearer."""
        one, other = self._mask[voxels[first]] > 0, self._mask[voxels[second]] > 0
        nearer = np.abs(offset[first]) <= np.abs(offset[second])
        return np.where(one == other, nearer, one)

    def _near(self) -> tuple[Places, Floats, Floats]:
        """Return the voxels of the box, and one around it, that the ridge is near to; the way to it, and its normal."""
        grown = self._beside()
        found = [self._step(voxels) for voxels in np.array_split(grown, grown.size // _AT_A_TIME + 1)]
        voxels, offset, normal = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return voxels, offset, normal

    def _beside(self) -> Places:
        """Return the voxels of the box, and one around it, that are in the mask or share a face with it."""
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
        places: Places = (z + low[0]) * self._strides[0] + (y + low[1]) * self._strides[1] + x + low[2]
        return places

    def _step(self, voxels: Places) -> tuple[Places, Floats, Floats]:
        """Return those of the voxels that the ridge is near to, the way to it in Å, and its normal."""
        reach = np.float32(_TRUSTED) * self._size.max()
        voxels = voxels[self._field[voxels] >= _RIM * self._inside]
        slope = np.stack([self._slope(voxels, axis) for axis in range(3)], axis=1)
        bends = np.stack([self._bend(voxels, axis) for axis in range(3)], axis=1)
        # Where one direction bends alone, all bends together are that one.
        close = np.linalg.norm(slope, axis=1) <= 2 * reach * np.maximum(-bends.sum(axis=1), 0)
        voxels, slope, bends = voxels[close], slope[close], bends[close]
        bend, normal = _sharpest(bends, *(self._twist(voxels, *axes) for axes in ((0, 1), (0, 2), (1, 2))))
        along = (slope * normal).sum(axis=1)
        offset = np.divide(-along, bend, out=np.full_like(along, np.inf), where=bend < 0)
        near = (np.abs(offset) <= reach) & (bend <= -np.float32(_SHARP) / self._variance_A2)
        return voxels[near], offset[near], normal[near]

    def _slope(self, voxels: Places, axis: int) -> Floats:
        step, field = self._strides[axis], self._field
        slope: Floats = (field[voxels + step] - field[voxels - step]) / (2 * self._size[axis])
        return slope

    def _bend(self, voxels: Places, axis: int) -> Floats:
        step, field = self._strides[axis], self._field
        bend: Floats = (field[voxels + step] - 2 * field[voxels] + field[voxels - step]) / self._size[axis] ** 2
        return bend

    def _twist(self, voxels: Places, one: int, other: int) -> Floats:
        a, b, field = self._strides[one], self._strides[other], self._field
        mixed = field[voxels + a + b] - field[voxels + a - b] - field[voxels - a + b] + field[voxels - a - b]
        twist: Floats = mixed / (4 * self._size[one] * self._size[other])
        return twist


def _sharpest(bends: Floats, zy: Floats, zx: Floats, yx: Floats) -> tuple[Floats, Floats]:
    """Return the lowest eigenvalue of symmetric matrices and its unit vector (z, y, x), by the closed form."""
    zz, yy, xx = bends.T
    mean = bends.mean(axis=1)
    spread = np.sqrt(((bends - mean[:, None]) ** 2).sum(axis=1) / 6 + (zy**2 + zx**2 + yx**2) / 3)
    scale = np.maximum(spread, np.finfo(np.float32).tiny)
    a, b, c = (zz - mean) / scale, (yy - mean) / scale, (xx - mean) / scale
    d, e, f = zy / scale, zx / scale, yx / scale
    half = (a * (b * c - f * f) - d * (d * c - f * e) + e * (d * f - b * e)) / 2
    lowest = mean + 2 * spread * np.cos(np.arccos(np.clip(half, -1, 1)) / 3 + 2 * np.pi / 3)
    rows = np.stack(
        [
            np.stack([zz - lowest, zy, zx], axis=1),
            np.stack([zy, yy - lowest, yx], axis=1),
            np.stack([zx, yx, xx - lowest], axis=1),
        ]
    )
    # The vector is square to all rows; of the three cross products the longest is the surest.
    crossed = np.stack([np.cross(rows[0], rows[1]), np.cross(rows[0], rows[2]), np.cross(rows[1], rows[2])])
    length = np.linalg.norm(crossed, axis=2)
    best = length.argmax(axis=0)
    each = np.arange(best.size)
    vector, norm = crossed[best, each], length[best, each]
    unit = np.divide(vector, norm[:, None], out=np.zeros_like(vector), where=norm[:, None] > 0)
    return lowest.astype(np.float32), unit.astype(np.float32)
