"""Surfaces given by values on a lattice: any shape that can be written as a function of position."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cryomamba.synth.objects import Membrane
from cryomamba.synth.surfaces import Points

SPACING_A = 20.0
"""Distance of lattice points: half of what a membrane is thick, so that linear interpolation is within 1 Å."""
_MARGIN = 10
_ROUNDING = 0.8
"""Standard deviation in lattice points of the smoothing that rounds creases."""
Field = NDArray[np.float32]
_CORNERS = tuple(product((0, 1), repeat=3))


class SampledSurface:
    """The zero set of a function that is given on a regular lattice and interpolated linearly, with its gradient.

    Parameters
    ----------
    values : array of shape (z, y, x)
        Values in Å, smooth from point to point.
    spacing_A : tuple of float
        Distance of the points along z, y, x.
    origin_A : float
        Coordinate of the first point along each axis.
    """

    def __init__(self, values: Field, spacing_A: tuple[float, float, float], origin_A: float = 0.0) -> None:
        self._shape = np.array(values.shape)
        self._spacing, self._origin = np.asarray(spacing_A, np.float32), np.float32(origin_A)
        channels = np.stack([values, *np.gradient(values, *spacing_A)], axis=-1)
        self._channels = channels.reshape(-1, 4).astype(np.float32)

    def implicit(self, points: Points) -> tuple[Points, Points]:
        """Return the function's values (n,) and its gradients (n, 3) at `points` (n, 3)."""
        cell, share = self._cells((points - self._origin) / self._spacing, self._shape)
        strides = np.array([self._shape[1] * self._shape[2], self._shape[2], 1])
        first = cell @ strides
        weights = [(1 - t, t) for t in share.T]
        found = np.zeros((len(points), 4), np.float32)
        for a, b, c in _CORNERS:
            weight = weights[0][a] * weights[1][b] * weights[2][c]
            found += self._channels[first + np.dot((a, b, c), strides)] * weight[:, None]
        return found[:, 0], found[:, 1:]

    def planes(self, shape: tuple[int, int, int], voxel_size_A: tuple[float, float, float]) -> Iterator[Field]:
        """Yield values and gradients at the voxels of each z of a volume, as arrays of shape (y, x, 4)."""
        channels = self._channels.reshape(*self._shape, 4)
        places = (
            (np.arange(n) * v - self._origin) / s for n, v, s in zip(shape, voxel_size_A, self._spacing, strict=True)
        )
        axes = [self._cells(place, n) for place, n in zip(places, self._shape, strict=True)]
        (planes, up), (rows, along), (columns, across) = ((cell, share[:, None, None]) for cell, share in axes)
        for z, share in zip(planes, up, strict=True):
            plane = channels[z] * (1 - share) + channels[z + 1] * share
            plane = plane[rows] * (1 - along) + plane[rows + 1] * along
            across_rows = across.reshape(1, -1, 1)
            yield plane[:, columns] * (1 - across_rows) + plane[:, columns + 1] * across_rows

    @staticmethod
    def _cells(places: NDArray[np.floating], count: NDArray[np.int64]) -> tuple[NDArray[np.int64], Field]:
        """Return for places in units of the spacing the point below and the share of the way to the next one."""
        inside = np.clip(places, 0, count - 1 - 1e-3)
        cells = inside.astype(np.int64)
        return cells, np.asarray(inside - cells, np.float32)


@dataclass(frozen=True)
class Lattice:
    """Points that cover a volume of `extent_A` (z, y, x) and a margin around it."""

    extent_A: tuple[float, float, float]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of points along z, y, x."""
        z, y, x = (int(np.ceil(extent / SPACING_A)) + 2 * _MARGIN for extent in self.extent_A)
        return z, y, x

    @cached_property
    def axes(self) -> tuple[Field, Field, Field]:
        """Coordinates in Å along z, y, x, that broadcast to the lattice."""
        z, y, x = ((np.arange(n, dtype=np.float32) - _MARGIN) * np.float32(SPACING_A) for n in self.shape)
        return z[:, None, None], y[None, :, None], x[None, None, :]

    def along(self, direction: NDArray[np.floating], origin: NDArray[np.floating]) -> Field:
        """Return the coordinate in Å from `origin` along a unit `direction`, at each point."""
        a, b, c = (
            np.float32(d) * (axis - np.float32(o)) for d, axis, o in zip(direction, self.axes, origin, strict=True)
        )
        return np.asarray(a + b + c, np.float32)

    def noise(self, wavelength_A: float, rng: np.random.Generator) -> Field:
        """Draw a smooth random field of unit deviation with structures of about `wavelength_A`."""
        # Gaussian-filtered noise crosses zero once in π √2 standard deviations of the filter.
        sigma = wavelength_A / (2 * np.pi * np.sqrt(2)) / SPACING_A
        field = rng.standard_normal(self.shape, np.float32)
        field = ndimage.gaussian_filter(field, sigma, mode="wrap", truncate=3.5)
        return np.asarray((field - field.mean()) / field.std(), np.float32)

    def distance_from(self, points: Points) -> SampledSurface:
        """Return the distance in Å from scattered `points` (n, 3), to about half the spacing; it has no sides."""
        free = np.ones(self.shape, np.bool_)
        cells = np.rint(points / SPACING_A).astype(int) + _MARGIN
        cells = cells[((cells >= 0) & (cells < self.shape)).all(axis=1)]
        free[tuple(cells.T)] = False
        away = ndimage.distance_transform_edt(free, SPACING_A).astype(np.float32)
        return SampledSurface(away, (SPACING_A,) * 3, -_MARGIN * SPACING_A)

    def surface(self, values: Field) -> SampledSurface:
        """Return the zero set of `values`, with creases rounded."""
        rounded = ndimage.gaussian_filter(signed_distance(values), _ROUNDING)
        return SampledSurface(rounded, (SPACING_A,) * 3, -_MARGIN * SPACING_A)

    def membrane(self, values: Field, thickness_A: float) -> Membrane:
        """Return the membrane on the zero set of `values`."""
        middle = np.asarray(self.extent_A, np.float32) * np.float32(0.5)
        return Membrane(self.surface(values), thickness_A, middle, np.inf)


def signed_distance(values: Field) -> Field:
    """Return the distance in Å of each lattice point from the zero set of `values`, with their sign.

    A point next to the zero set knows it to first order; every other point takes the plane of the nearest of them. So
    it does not matter how fast the values change, nor where they come close to zero without reaching it.
    """
    positive, next_to = values > 0, _next_to_zero(values)
    if not next_to.any():
        return np.where(positive, np.float32(1e4), np.float32(-1e4))
    slopes = np.stack([slope[next_to] for slope in _slopes(values)], 1)
    lengths = np.maximum(np.linalg.norm(slopes, axis=1), 1e-9)
    heights = np.clip(values[next_to] / lengths, -SPACING_A, SPACING_A)
    planes = np.concatenate([slopes / lengths[:, None], heights[:, None]], 1).astype(np.float32)
    number = np.zeros(values.shape, np.int32)
    number[next_to] = np.arange(len(planes))
    nearest = ndimage.distance_transform_edt(~next_to, return_distances=False, return_indices=True)
    plane = planes[number[tuple(nearest)]]
    along, square = np.zeros(values.shape, np.float32), np.zeros(values.shape, np.float32)
    for axis, index in enumerate(np.ogrid[tuple(slice(n) for n in values.shape)]):
        offset = ((index - nearest[axis]) * SPACING_A).astype(np.float32)
        along += offset * plane[..., axis]
        square += offset * offset
    # To the side of the plane's point, further than to its neighbour, the plane says nothing.
    beyond = np.maximum(np.sqrt(np.maximum(square - along * along, 0)) - SPACING_A, 0)
    return np.asarray(np.where(positive, 1, -1) * np.hypot(plane[..., 3] + along, beyond), np.float32)


def _next_to_zero(values: Field) -> NDArray[np.bool_]:
    """Return which lattice points have a neighbour of the other sign."""
    positive, found = values > 0, np.zeros(values.shape, np.bool_)
    for axis in range(values.ndim):
        sides, marks = np.moveaxis(positive, axis, 0), np.moveaxis(found, axis, 0)
        changes = sides[1:] != sides[:-1]
        marks[1:] |= changes
        marks[:-1] |= changes
    return found


def smooth_minimum(a: Field, b: Field, rounding_A: float) -> Field:
    """Return the smaller of two values, with a crease that is rounded over `rounding_A` (polynomial smooth minimum)."""
    share = np.clip(0.5 + 0.5 * (b - a) / np.float32(rounding_A), 0, 1)
    return np.asarray(b + (a - b) * share - np.float32(rounding_A) * share * (1 - share), np.float32)


def smooth_maximum(a: Field, b: Field, rounding_A: float) -> Field:
    """Return the larger of two values, with a crease that is rounded over `rounding_A`."""
    return -smooth_minimum(-a, -b, rounding_A)


def _slopes(field: Field) -> list[Field]:
    return [np.asarray(np.gradient(field, SPACING_A, axis=axis), np.float32) for axis in range(3)]


def per_angstrom(field: Field) -> Field:
    """Return a field of any unit divided by its root mean square slope, so that it is in Å near its level sets."""
    squares = [np.square(slope).mean(dtype=np.float64) for slope in _slopes(field)]
    return np.asarray(field / np.float32(np.sqrt(sum(squares))), np.float32)
