"""Blobs of a given diameter: peaks of the Laplacian of a Gaussian, graded by how round they are.

Scale-space blob detection (Lindeberg, "Feature detection with automatic scale selection", 1998) at one scale. The
Laplacian of a bright ball of diameter d is strongest for a Gaussian of d / (2 √3). It also answers to plates and tubes;
there, one of the three second derivatives is missing, so a peak counts less the less round it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba as nb
import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from cryomamba_inference.filters.grid import Corner

Field = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]
Borders = tuple[tuple[bool, bool], tuple[bool, bool], tuple[bool, bool]]

NODES_PER_DIAMETER = 7.0
ROUND = 0.4
"""Smallest second derivative over their mean, from which on a peak is round: 1 for a ball, 0 for plates and tubes.

A missing wedge takes about half of it.
"""
FLOOR = 2.5
"""Peaks below so many deviations are not looked at."""
_TRUNCATE = 3.5
_NOWHERE = np.empty((0, 3), np.int64)


@dataclass(frozen=True, slots=True)
class Peaks:
    """Peaks in a field of nodes.

    Attributes
    ----------
    places : ndarray of float64, shape (n, 3)
        Nodes z, y, x, between them by a parabola.
    heights : ndarray of float64, shape (n,)
        Deviations above the median, times the roundness.
    densities : ndarray of float64, shape (n,)
        Highest density, before clipping, of the nodes around.
    """

    places: Floats
    heights: Floats
    densities: Floats


@dataclass(frozen=True, slots=True)
class BlobFilter:
    """A Laplacian of a Gaussian for one diameter, and the noise that it is compared with.

    Attributes
    ----------
    sigma : float
        Of the Gaussian, in nodes.
    apart : float
        In nodes: of two peaks nearer than this only the higher one counts.
    limit : float
        Densities are clipped to this on either side of 0, so that gold does not outshine all.
    middle, deviation : float
        Median and scaled MAD of the response.
    """

    sigma: float
    apart: float
    limit: float = np.inf
    middle: float = 0.0
    deviation: float = 1.0

    @property
    def reach(self) -> int:
        """Nodes around a peak that its height depends on."""
        return math.ceil(_TRUNCATE * self.sigma + 0.5) + 2

    @property
    def margin(self) -> int:
        """Nodes around a box that decide which peaks in it count."""
        return self.reach + math.ceil(self.apart) + 2

    def smooth(self, field: Field) -> Field:
        """Return the field, clipped and smoothed; beyond its sides it is taken to be 0."""
        clipped = np.clip(field, -self.limit, self.limit) if np.isfinite(self.limit) else field
        return np.asarray(ndimage.gaussian_filter(clipped, self.sigma, mode="constant", truncate=_TRUNCATE), np.float32)

    def response(self, smooth: Field) -> Field:
        """Return minus the Laplacian of a smoothed field: high in the middle of bright blobs."""
        response = np.float32(6) * smooth
        for axis in range(3):
            near, into = np.moveaxis(smooth, axis, 0), np.moveaxis(response, axis, 0)
            into[1:] -= near[:-1]
            into[:-1] -= near[1:]
            into[0] -= near[0]
            into[-1] -= near[-1]
        return response

    def peaks(self, field: Field, first: Corner, borders: Borders, sign: int = 1) -> Peaks:
        """Return the peaks (of dark blobs for `sign` −1) in a field that begins at node `first`.

        Peaks nearer than `margin` to a side that is no border of the volume are not to be trusted, as higher
        ones may lie outside.
        """
        if not self.deviation > 0:
            return Peaks(np.empty((0, 3)), np.empty(0), np.empty(0))
        smooth = self.smooth(field)
        response = self.response(smooth)
        if sign < 0:
            np.negative(smooth, out=smooth)
            np.negative(response, out=response)
        middle = np.float32(sign * self.middle)
        edge = [
            (0 if a else self.reach, n if b else n - self.reach) for n, (a, b) in zip(field.shape, borders, strict=True)
        ]
        found = _maxima(response, np.asarray(edge, np.int64), middle + np.float32(FLOOR * self.deviation))
        at = tuple(found.T)
        heights = (response[at].astype(np.float64) - middle) / self.deviation * _roundness(smooth, found)
        keep = heights >= FLOOR
        found, heights = found[keep], heights[keep]
        # Nodes are numbered from the volume's first before fractions are added: so rounding is the same in every box.
        places = (found + first) + _between(response, found)
        apart = _alone(places, heights, self.apart)
        densest = _around(field * np.float32(sign), found[apart])
        return Peaks(places[apart], heights[apart], densest)


def calibrated(blank: BlobFilter, fields: list[Field]) -> BlobFilter:
    """Return a filter that knows median and deviation of its response to sample fields."""
    values = np.concatenate([blank.response(blank.smooth(field)).reshape(-1) for field in fields])
    middle = float(np.median(values))
    deviation = 1.4826 * float(np.median(np.abs(values - np.float32(middle))))
    return BlobFilter(blank.sigma, blank.apart, blank.limit, middle, deviation)


def blob_filter(diameter_A: float, apart_A: float, step_A: float, limit: float) -> BlobFilter:
    """Return the filter for a diameter on nodes `step_A` apart, not calibrated."""
    return BlobFilter(diameter_A / (2 * math.sqrt(3)) / step_A, apart_A / step_A, limit)


@nb.njit(cache=True, nogil=True)
def _is_peak(response, i, j, k):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    depth, height, width = response.shape
    here = response[i, j, k]
    for a in range(-1, 2):
        for b in range(-1, 2):
            for c in range(-1, 2):
                z, y, x = i + a, j + b, k + c
                if not (0 <= z < depth and 0 <= y < height and 0 <= x < width):
                    continue
                earlier = a < 0 or (a == 0 and (b < 0 or (b == 0 and c < 0)))
                if response[z, y, x] > here or (earlier and response[z, y, x] == here):
                    return False
    return True


@nb.njit(cache=True, nogil=True)
def _collect(response, box, floor):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    found = []
    for i in range(box[0, 0], box[0, 1]):
        for j in range(box[1, 0], box[1, 1]):
            for k in range(box[2, 0], box[2, 1]):
                if response[i, j, k] >= floor and _is_peak(response, i, j, k):
                    found.append((i, j, k))  # noqa: PERF401 (numba knows no generator here)
    return found


def _maxima(response: Field, box: Places, floor: np.float32) -> Places:
    found = _collect(response, box, floor)
    return np.array(found, np.int64) if len(found) else _NOWHERE


def _values(field: Field, places: Places, step: tuple[int, int, int]) -> Floats:
    """Return a field's values beside places; beyond a side, those of the side."""
    beside = np.clip(places + step, 0, np.array(field.shape) - 1)
    return np.asarray(field[tuple(beside.T)], np.float64)


def _around(field: Field, places: Places) -> Floats:
    """Return the highest value of a field at and around places."""
    cube = [(a, b, c) for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1)]
    highest = np.full(len(places), -np.inf)
    for step in cube:
        np.maximum(highest, _values(field, places, step), out=highest)
    return highest


def _roundness(smooth: Field, places: Places) -> Floats:
    """Return 1 for round peaks, less where the smallest second derivative is small, 0 where it has the other sign."""
    unit = np.eye(3, dtype=np.int64)
    hessian = np.empty((len(places), 3, 3))
    here = _values(smooth, places, (0, 0, 0))

    def at(step: npt.NDArray[np.int64]) -> Floats:
        return _values(smooth, places, (int(step[0]), int(step[1]), int(step[2])))

    for a in range(3):
        hessian[:, a, a] = at(2 * unit[a]) + at(-2 * unit[a]) - 2 * here
        for b in range(a):
            mixed = at(unit[a] + unit[b]) + at(-unit[a] - unit[b]) - at(unit[a] - unit[b]) - at(unit[b] - unit[a])
            hessian[:, a, b] = hessian[:, b, a] = mixed
    bends = -np.linalg.eigvalsh(hessian)
    mean = np.maximum(bends.mean(axis=1), 1e-30)
    return np.asarray(np.clip(bends.min(axis=1) / mean / ROUND, 0, 1))


def _between(response: Field, places: Places) -> Floats:
    """Return how far beside its node each peak lies, by a parabola along each axis."""
    here = _values(response, places, (0, 0, 0))
    shift = np.zeros((len(places), 3))
    for axis in range(3):
        step = (int(axis == 0), int(axis == 1), int(axis == 2))
        behind, ahead = _values(response, places, (-step[0], -step[1], -step[2])), _values(response, places, step)
        bend = 2 * here - behind - ahead
        inside = (places[:, axis] > 0) & (places[:, axis] < response.shape[axis] - 1) & (bend > 0)
        shift[inside, axis] = 0.5 * (ahead - behind)[inside] / bend[inside]
    return np.clip(shift, -0.5, 0.5)


def _alone(places: Floats, heights: Floats, apart: float) -> Flags:
    """Tell which peaks have no higher one nearer than `apart`; of equal ones the first in z, y, x counts."""
    keep = np.ones(len(places), np.bool_)
    if len(places) > 1:
        one, other = cKDTree(places).query_pairs(apart, output_type="ndarray").T
        order = np.lexsort((*places.T[::-1], -heights))
        rank = np.empty(len(places), np.int64)
        rank[order] = np.arange(len(places))
        keep[np.where(rank[one] > rank[other], one, other)] = False
    return keep


def borders_of(first: Corner, last: Corner, whole: Corner) -> Borders:
    """Return which sides of a box of nodes are borders of the volume."""
    z, y, x = ((a == 0, b == n) for a, b, n in zip(first, last, whole, strict=True))
    return z, y, x
