"""The middle surface of a membrane's mask: where it runs, which voxels it goes through, its normals and its area.

The mask is smoothed by a Gaussian of a third of its thickness, which makes a ridge in its middle. At each voxel the
ridge's normal is the direction in which the smoothed mask bends most, and the way to it is one step of Newton's method
along that (Steger, "An unbiased detector of curvilinear structures", 1998). Of two face neighbours on either side of
the ridge, the nearer one belongs to the surface. So no way over voxel faces leads through it, and it is as thin as such
a surface can be: a plane comes out with one voxel per column (naive planes; Andres, Acharya and Sibata, 1997).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from cryomamba.libraries import library
from cryomamba.masks.slabs import Labels, LabelSource, Window, windows
from cryomamba.masks.thickness import medial_thickness, thickness_halo
from cryomamba.records import Spacing

METHOD: Final = "ridge of the smoothed mask; each voxel's share by its normal"
_SIGMA_PER_THICKNESS: Final = 0.33
_SIGMA_MIN: Final = 1.25
_SIGMA_MAX_A: Final = 160.0
_TRUNCATE: Final = 3.0
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


@dataclass(frozen=True, slots=True)
class MiddlePart:
    """The middle surface within a slab, voxel by voxel, in the order of the volume; all in z, y, x.

    Attributes
    ----------
    voxels : ndarray of int64, (n, 3)
        Those that the surface goes through; all are in the mask.
    points : ndarray of float32, (n, 3)
        Where the surface is nearest to each, in voxels; the centre of the first voxel is 0.0.
    normals : ndarray of float32, (n, 3)
        Unit vectors in Å across the surface, to either side.
    areas_A2 : ndarray of float32, (n,)
        The surface's area that belongs to each voxel.
    depths : ndarray of float32, (n,)
        How far inside each lies: 1 where the mask goes on all around, 0.5 at its rim.
    """

    voxels: Places
    points: Floats
    normals: Floats
    areas_A2: Floats
    depths: Floats


def middle_surface(source: LabelSource, label: int | None, thickness_A: float) -> Iterator[MiddlePart]:
    """Yield the middle surface of a label, one part for each slab of the source.

    Parameters
    ----------
    source : LabelSource
    label : int or None
        Others count as background; None takes all labels as one. Beyond the volume's border the mask is taken to go on.
    thickness_A : float
        About how thick the mask is; half as much or twice as much is no harm.
    """
    size = source.voxel_size_A
    smoothing_A = _smoothing_A(thickness_A, size)
    sigma = [smoothing_A / along for along in size]
    inside = math.erf(thickness_A / smoothing_A / math.sqrt(8))
    mask = _chosen(source, label)
    for window in windows(mask.slabs(), math.ceil(_TRUNCATE * sigma[0]) + 2):
        yield _middle(window, sigma, size, inside)


def _chosen(source: LabelSource, label: int | None) -> LabelSource:
    return source.map(lambda labels: (labels > 0 if label is None else labels == label).view(np.uint8))


def _smoothing_A(thickness_A: float, voxel_size_A: Spacing) -> float:
    """Return the deviation in Å of the Gaussian for a mask of that thickness."""
    return max(min(_SIGMA_PER_THICKNESS * thickness_A, _SIGMA_MAX_A), _SIGMA_MIN * max(voxel_size_A))


def typical_thickness_A(source: LabelSource, label: int | None) -> float:
    """Return the median thickness (Å) of a label in the slab that has most of it; 0 where there is none."""
    size, best, most = source.voxel_size_A, None, 0
    mask = _chosen(source, label)
    for window in windows(mask.slabs(), thickness_halo(size)):
        if (count := int(window.data[window.core].sum(dtype=np.int64))) > most:
            best, most = window, count
    if best is None:
        return 0.0
    _, thickness = medial_thickness(best.data, best.core, size)
    return float(np.median(thickness)) if thickness.size else min(size)


def _middle(window: Window, sigma: list[float], size: Spacing, inside: float) -> MiddlePart:
    box = _bounds(window.data, [math.ceil(_TRUNCATE * along) + 2 for along in sigma])
    if box is None:
        nothing = np.empty((0, 3), np.float32)
        return MiddlePart(np.empty((0, 3), np.int64), nothing, nothing, nothing[:, 0], nothing[:, 0])
    ridge = _Ridge(window.data[box], sigma, size, inside)
    core = slice(window.core.start - box[0].start, window.core.stop - box[0].start)
    found, offset, normal = ridge.surface(core)
    origin = np.array([window.start + box[0].start, box[1].start, box[2].start])
    voxels = np.stack(np.unravel_index(found, ridge.shape), axis=1) - 1 + origin
    points = voxels + offset[:, None] * normal / np.array(size)
    depths = ridge.depths(found, inside)
    return MiddlePart(voxels, points.astype(np.float32), normal, _areas_A2(normal, size), depths)


def _bounds(mask: Labels, margin: list[int]) -> tuple[slice, slice, slice] | None:
    """Return the box around what is in a mask, with a margin, as far as there is room."""
    box = []
    for axis in range(3):
        along = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        if not along.size:
            return None
        box.append(slice(max(int(along[0]) - margin[axis], 0), int(along[-1]) + 1 + margin[axis]))
    return box[0], box[1], box[2]


def _areas_A2(normal: Floats, size: Spacing) -> Floats:
    """Return the area that a surface has in a column along the axis that it crosses most squarely."""
    rows = np.arange(len(normal))
    axis = np.abs(normal * np.array(size, np.float32)).argmax(axis=1)
    face = math.prod(size) / np.array(size)
    areas: Floats = (face[axis] / np.abs(normal[rows, axis])).astype(np.float32)
    return areas


class _Ridge:
    """A smoothed mask whose voxels are flat indices into an array with an edge around it."""

    def __init__(self, mask: Labels, sigma: list[float], size: Spacing, inside: float) -> None:
        smooth = library("scipy.ndimage").gaussian_filter(
            mask, sigma, output=np.float32, truncate=_TRUNCATE, mode="nearest"
        )
        smooth, self._mask = np.pad(smooth, 1, mode="edge"), np.pad(mask, 1, mode="edge").reshape(-1)
        self.shape = smooth.shape
        self._field = smooth.reshape(-1)
        self._strides = (self.shape[1] * self.shape[2], self.shape[2], 1)
        self._size = np.array(size, np.float32)
        self._floor = np.float32(_RIM * inside)
        self._variance_A2 = np.float32(math.prod(sigma) * math.prod(size)) ** np.float32(2 / 3)

    def surface(self, planes: slice) -> tuple[Places, Floats, Floats]:
        """Return the surface's voxels in some planes, the way (Å) along the normal to it, and the normals."""
        near = slice(planes.start - 1, planes.stop + 1)
        voxels, offset, normal = self._near(near)
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
            nearer = np.where(self._better(voxels, offset, first, second), first, second)
            taken[nearer] = True
        plane = voxels // self._strides[0] - 1
        inside = (plane >= planes.start) & (plane < planes.stop)
        keep = np.flatnonzero(taken & (self._mask[voxels] > 0) & inside & self._within(voxels))
        return voxels[keep], offset[keep], normal[keep]

    def depths(self, voxels: Places, inside: float) -> Floats:
        """Return the smoothed mask in units of what it is where the mask goes on all around."""
        return np.asarray(self._field[voxels] / inside, np.float32)

    def _better(self, voxels: Places, offset: Floats, first: Places, second: Places) -> npt.NDArray[np.bool_]:
        """Whether of two voxels the first is the one to take: in the mask, if only one is, else the nearer."""
        one, other = self._mask[voxels[first]] > 0, self._mask[voxels[second]] > 0
        nearer = np.abs(offset[first]) <= np.abs(offset[second])
        return np.where(one == other, nearer, one)

    def _within(self, voxels: Places) -> npt.NDArray[np.bool_]:
        """Whether voxels lie in the volume, and not in the edge around it."""
        _, height, width = self.shape
        y, x = voxels // width % height, voxels % width
        inside: npt.NDArray[np.bool_] = (y > 0) & (y < height - 1) & (x > 0) & (x < width - 1)
        return inside

    def _near(self, planes: slice) -> tuple[Places, Floats, Floats]:
        """Return voxels close to the ridge in some planes and in or beside the mask, the way to it, and the normals."""
        low, high = max(planes.start + 1, 1), min(planes.stop + 1, self.shape[0] - 1)
        grown = self._beside(low, high)
        found = [self._step(voxels) for voxels in np.array_split(grown, grown.size // _AT_A_TIME + 1)]
        voxels, offset, normal = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return voxels, offset, normal

    def _beside(self, low: int, high: int) -> Places:
        """Return the voxels of some planes that are in the mask or share a face with it, without the outer edge."""
        mask = self._mask.reshape(self.shape)
        near = mask[low:high].copy()
        near |= mask[low - 1 : high - 1] | mask[low + 1 : high + 1]
        near[:, 1:] |= mask[low:high, :-1]
        near[:, :-1] |= mask[low:high, 1:]
        near[:, :, 1:] |= mask[low:high, :, :-1]
        near[:, :, :-1] |= mask[low:high, :, 1:]
        near[:, [0, -1]] = near[:, :, [0, -1]] = 0
        places: Places = np.flatnonzero(near) + low * self._strides[0]
        return places

    def _step(self, voxels: Places) -> tuple[Places, Floats, Floats]:
        """Return those of the voxels that the ridge is near to, the way to it in Å, and its normal."""
        reach = np.float32(_TRUSTED) * self._size.max()
        slope = np.stack([self._slope(voxels, axis) for axis in range(3)], axis=1)
        bends = np.stack([self._bend(voxels, axis) for axis in range(3)], axis=1)
        # Where one direction bends alone, all bends together are that one.
        length = np.linalg.norm(slope, axis=1)
        close = length <= 2 * reach * np.maximum(-bends.sum(axis=1), 0)
        close &= self._field[voxels] >= self._floor
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
