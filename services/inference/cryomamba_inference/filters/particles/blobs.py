"""A blob filter for a given diameter: the mean inside a ball minus the mean of the shell around it.

The response to a ball of the diameter is highest at its centre. It is lower the more of the shell is filled, by
neighbours, larger objects, membranes or filaments; smaller objects fill the ball less. As a difference of two means it
needs no template and hardly depends on the missing wedge. The edges are soft, because diameters are approximate and
particles only roughly spherical.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import product

import numba as nb
import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy.spatial import cKDTree

from cryomamba.geometry import Shape
from cryomamba_inference.filters.common.borders import Borders
from cryomamba_inference.volume_preparation.grid import spans

Field = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
NodeIndices = npt.NDArray[np.int64]

NODES_PER_DIAMETER = 7.0
FLOOR = 2.5
"""Minimum height of a peak in standard deviations of the noise."""
BOX_NODES = 128  # side of a box that is filtered at a time
_SHELL_DIAMETERS = 1.6  # outer diameter of the shell, in particle diameters
_EDGE_SOFTNESS = 0.08  # standard deviation of the blur of ball and shell, in diameters
_NO_NODES = np.empty((0, 3), np.int64)


@dataclass(frozen=True, slots=True)
class Peaks:
    """Peaks in a field of nodes.

    Attributes
    ----------
    positions : ndarray of float64, shape (n, 3)
        Nodes z, y, x, refined by parabolas.
    heights : ndarray of float64, shape (n,)
        In standard deviations above the median.
    densities : ndarray of float64, shape (n,)
        Maximum density of the 3 × 3 × 3 nodes around.
    """

    positions: Floats
    heights: Floats
    densities: Floats


@dataclass(frozen=True, slots=True)
class BlobFilter:
    """The filter and the noise of its response.

    Attributes
    ----------
    diameter : float
        In nodes.
    min_distance : float
        Minimum distance between peaks in nodes; of closer ones the highest is kept.
    level : float
        Median density.
    limit : float
        Densities are clipped to this distance from the level, so that gold does not dominate.
    median, deviation : float
        Median and scaled MAD of the response.
    """

    diameter: float
    min_distance: float
    level: float = 0.0
    limit: float = np.inf
    median: float = 0.0
    deviation: float = 1.0

    @property
    def reach(self) -> int:
        """Radius of the filter in nodes."""
        return math.ceil((0.5 * _SHELL_DIAMETERS + 4 * _EDGE_SOFTNESS) * self.diameter)

    @property
    def margin(self) -> int:
        """Nodes of responses around a box that decide which of its peaks survive."""
        return math.ceil(self.min_distance) + 3

    def response(self, nodes: Field) -> Field:
        """Return the response at each node; beyond the sides the density is the level."""
        field = np.clip(nodes - np.float32(self.level), -self.limit, self.limit)
        shape = tuple(scipy.fft.next_fast_len(n + self.reach, real=True) for n in field.shape)
        spectrum = scipy.fft.rfftn(field, shape)
        spectrum *= _transfer(shape, self.diameter)
        z, y, x = (slice(0, n) for n in field.shape)
        return np.asarray(scipy.fft.irfftn(spectrum, shape, overwrite_x=True)[z, y, x], np.float32)

    def peaks(self, response: Field, nodes: Field, first: Shape, borders: Borders, sign: int = 1) -> Peaks:
        """Return the peaks (of dark blobs for `sign` −1) in a box of responses that starts at node `first`.

        Peaks closer than `margin` to a side that is not a border of the volume are unreliable, as there may be higher
        ones outside.
        """
        if not self.deviation > 0:
            return Peaks(np.empty((0, 3)), np.empty(0), np.empty(0))
        height = (response - np.float32(self.median)) * np.float32(sign / self.deviation)
        edge = [(0 if a else 1, n if b else n - 1) for n, (a, b) in zip(response.shape, borders, strict=True)]
        found = _local_maxima(height, np.asarray(edge, np.int64), np.float32(FLOOR))
        heights = height[tuple(found.T)].astype(np.float64)
        # Fractions are added to node numbers of the whole volume, so that rounding is the same in every box.
        positions = (found + first) + _subnode_offsets(height, found)
        min_distance = _non_maximum_suppression(positions, heights, self.min_distance)
        densest = _neighbourhood_maximum((nodes - np.float32(self.level)) * np.float32(sign), found[min_distance])
        return Peaks(positions[min_distance], heights[min_distance], densest)


def response_tasks(blobs: BlobFilter, nodes: Field, out: Field) -> list[Callable[[], None]]:
    """Return tasks that fill `out` with the responses of a whole volume, box by box.

    The boxes depend on the volume only, so that responses are bit-identical for every tiling.
    """

    def response(box: tuple[tuple[int, int], ...]) -> None:
        padded = [
            (max(a - blobs.reach, 0), min(b + blobs.reach, n)) for (a, b), n in zip(box, nodes.shape, strict=True)
        ]
        found = blobs.response(np.asarray(nodes[tuple(slice(*side) for side in padded)]))
        inner = tuple(slice(a - low, b - low) for (a, b), (low, _) in zip(box, padded, strict=True))
        out[tuple(slice(*side) for side in box)] = found[inner]

    return [partial(response, box) for box in product(*(spans(size, BOX_NODES) for size in nodes.shape))]


@lru_cache(maxsize=4)
def _transfer(shape: tuple[int, ...], diameter: float) -> Field:
    """Return the transfer function, mean over the ball minus mean over the shell, in the layout of ``rfftn``."""
    last = len(shape) - 1
    axes = [(scipy.fft.rfftfreq if a == last else scipy.fft.fftfreq)(n) for a, n in enumerate(shape)]
    z, y, x = (2 * np.pi * axis for axis in axes)
    wave = np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2)
    soft = np.exp(-0.5 * (_EDGE_SOFTNESS * diameter * wave) ** 2)
    ball, filled = _ball(wave * (diameter / 2)), _ball(wave * (_SHELL_DIAMETERS * diameter / 2))
    scale = _SHELL_DIAMETERS**3 / (_SHELL_DIAMETERS**3 - 1)
    return np.asarray(scale * (ball - filled) * soft, np.float32)


def _ball(size: Floats) -> Floats:
    """Return the transfer function of the mean over a ball, for a radius of `size` radians of the wave."""
    at = np.maximum(size, 1e-2)
    return np.asarray(3 * (np.sin(at) - at * np.cos(at)) / at**3)


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


def _local_maxima(response: Field, box: NodeIndices, floor: np.float32) -> NodeIndices:
    found = _collect(response, box, floor)
    return np.array(found, np.int64) if len(found) else _NO_NODES


def _values(field: Field, positions: NodeIndices, step: tuple[int, int, int]) -> Floats:
    """Return a field's values one step from positions, extrapolated by its border values."""
    shifted = np.clip(positions + step, 0, np.array(field.shape) - 1)
    return np.asarray(field[tuple(shifted.T)], np.float64)


def _neighbourhood_maximum(field: Field, positions: NodeIndices) -> Floats:
    """Return the maximum of a field over the 3 × 3 × 3 nodes around positions."""
    cube = [(a, b, c) for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1)]
    highest = np.full(len(positions), -np.inf)
    for step in cube:
        np.maximum(highest, _values(field, positions, step), out=highest)
    return highest


def _subnode_offsets(response: Field, positions: NodeIndices) -> Floats:
    here = _values(response, positions, (0, 0, 0))
    shift = np.zeros((len(positions), 3))
    for axis in range(3):
        step = (int(axis == 0), int(axis == 1), int(axis == 2))
        behind, ahead = _values(response, positions, (-step[0], -step[1], -step[2])), _values(response, positions, step)
        curvature = 2 * here - behind - ahead
        inside = (positions[:, axis] > 0) & (positions[:, axis] < response.shape[axis] - 1) & (curvature > 0)
        shift[inside, axis] = 0.5 * (ahead - behind)[inside] / curvature[inside]
    return np.clip(shift, -0.5, 0.5)


def _non_maximum_suppression(positions: Floats, heights: Floats, min_distance: float) -> Flags:
    """Return which peaks have no higher one within `min_distance`; ties are broken by z, y, x."""
    kept = np.ones(len(positions), np.bool_)
    if len(positions) > 1:
        one, other = cKDTree(positions).query_pairs(min_distance, output_type="ndarray").T
        order = np.lexsort((*positions.T[::-1], -heights))
        rank = np.empty(len(positions), np.int64)
        rank[order] = np.arange(len(positions))
        kept[np.where(rank[one] > rank[other], one, other)] = False
    return kept
