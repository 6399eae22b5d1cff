"""A bank of oriented line filters for rods of a given diameter, hollow or solid.

Across the line, a filter is the mean over a disc of the diameter minus the mean over the ring around it, so that hollow
tubes and solid rods of the same mass give the same response; along the line it is a Gaussian. The response of each
orientation is normalized by its own noise. The missing wedge reduces signal and noise of an orientation alike, so that
the normalized filters are matched to the data for any tilt range.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numba as nb
import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy import special

from cryomamba_inference.directions import hemisphere_directions

Field = npt.NDArray[np.float32]
Spectrum = npt.NDArray[np.complex64]
Borders = tuple[tuple[bool, bool], tuple[bool, bool], tuple[bool, bool]]
"""Which sides of a box of nodes, first and last along z, y, x, are borders of the volume."""
_ALL_BORDERS: Borders = ((True, True), (True, True), (True, True))
Directions = npt.NDArray[np.uint8]

DIRECTIONS = 40  # orientations
_DISC_DIAMETERS = 1.1  # outer diameter of the disc, in filament diameters
_RING_DIAMETERS = 1.7  # outer diameter of the ring
_EDGE_SOFTNESS = 0.2  # standard deviation of the blur of disc and ring, in radii
_SIGMA_ALONG = 1.0  # standard deviation along the line, in diameters
_REACH_SIGMAS = 2.8  # length of a filter to either side, in standard deviations
_RADII = 1024  # samples of the radial table
_REFLECTION_WEIGHT = 0.5  # of densities reflected at the borders of the volume
_MIN_NOISE = 0.8  # bounds of the noise of an orientation, relative to the median of all
_MAX_NOISE = 1.25


@dataclass(frozen=True)
class LineBank:
    """Filters for one diameter.

    Attributes
    ----------
    diameter : float
        In nodes.
    middles, deviations : arrays of shape (DIRECTIONS,), float32
        Median and scaled MAD of the response of each orientation; 0 and 1 before :meth:`calibrated`.
    """

    diameter: float
    medians: Field = field(default_factory=lambda: np.zeros(DIRECTIONS, np.float32))
    deviations: Field = field(default_factory=lambda: np.ones(DIRECTIONS, np.float32))

    @property
    def directions(self) -> Field:
        """Unit vectors (DIRECTIONS, 3), z, y, x, over a hemisphere."""
        return hemisphere_directions(DIRECTIONS)

    @property
    def reach(self) -> int:
        """Radius of the filters in nodes."""
        return math.ceil(_REACH_SIGMAS * _SIGMA_ALONG * self.diameter)

    def calibrated(self, samples: list[Field]) -> LineBank:
        """Return a bank calibrated to the noise of each orientation in sample fields."""
        found: list[list[Field]] = [[] for _ in range(DIRECTIONS)]
        for sample in samples:
            for number, response in self._responses(sample, _ALL_BORDERS):
                found[number].append(response[::2, ::2, ::2].reshape(-1))
        values = [np.concatenate(parts) for parts in found]
        medians = np.array([np.median(one) for one in values], np.float32)
        spreads = np.array([1.4826 * np.median(np.abs(one - at)) for one, at in zip(values, medians, strict=True)])
        # Bounded, because in the missing wedge nearly all noise is missing, and a bundle of filaments resembles noise.
        spreads = np.clip(spreads, _MIN_NOISE * np.median(spreads), _MAX_NOISE * np.median(spreads))
        return replace(self, medians=medians, deviations=spreads.astype(np.float32))

    def strongest(self, density: Field, borders: Borders, signs: tuple[int, ...]) -> list[tuple[Field, Directions]]:
        """Return the strongest response and its orientation, for bright (sign 1) or dark (−1) lines.

        Responses are in standard deviations of the noise. At the volume's borders the density is extrapolated by a
        reflection of reduced weight: a full one would double lines along the border, none would shift them away from
        it. At other sides the outer `reach` nodes of the result are invalid.
        """
        found = [(np.full(density.shape, -np.inf, np.float32), np.zeros(density.shape, np.uint8)) for _ in signs]
        if not (self.deviations > 0).all():
            return [(np.zeros(density.shape, np.float32), direction_map) for _, direction_map in found]
        for number, response in self._responses(density, borders):
            for sign, (best, direction_map) in zip(signs, found, strict=True):
                _update_maximum(
                    response,
                    self.medians[number],
                    np.float32(sign / self.deviations[number]),
                    number,
                    best,
                    direction_map,
                )
        return found

    def _responses(self, density: Field, borders: Borders) -> Iterator[tuple[int, Field]]:
        """Yield the index and the response of each orientation, not normalized."""
        pads = [(self.reach if a else 0, self.reach if b else 0) for a, b in borders]
        padded = np.pad(density, pads, mode="symmetric") * np.float32(_REFLECTION_WEIGHT)
        z, y, x = (slice(first, first + n) for n, (first, _) in zip(density.shape, pads, strict=True))
        padded[z, y, x] = density
        shape = tuple(scipy.fft.next_fast_len(n, real=True) for n in padded.shape)
        spectrum = np.asarray(scipy.fft.rfftn(padded, shape), np.complex64)
        kernels = _line_kernels(shape, self.diameter)
        for number, direction in enumerate(self.directions):
            yield number, scipy.fft.irfftn(kernels.filtered(spectrum, direction), shape, overwrite_x=True)[z, y, x]


@lru_cache(maxsize=8)
def _line_kernels(shape: tuple[int, ...], diameter: float) -> _LineKernels:
    return _LineKernels(shape, diameter)


class _LineKernels:
    """The line filters on the wave vectors of a padded field, in the layout of ``rfftn``, in radians per node."""

    def __init__(self, shape: tuple[int, ...], diameter: float) -> None:
        last = len(shape) - 1
        axes = [(scipy.fft.rfftfreq if a == last else scipy.fft.fftfreq)(n) for a, n in enumerate(shape)]
        self._axes = [2 * np.pi * f for f in axes]
        self._along = _SIGMA_ALONG * diameter
        # Tabulated by the squared wave number across the line: smooth, and without a root.
        self._highest = 1.001 * sum(float(np.square(axis).max()) for axis in self._axes)
        self._across = _across(np.sqrt(np.linspace(0, self._highest, _RADII)), diameter / 2)

    def filtered(self, spectrum: Spectrum, direction: Field) -> Spectrum:
        out = np.empty_like(spectrum)
        scale = (_RADII - 1) / self._highest
        z, y, x = self._axes
        _filtered(spectrum, z, y, x, direction, self._across, scale, 0.5 * self._along**2, out)
        return out


@nb.njit(cache=True, nogil=True)
def _update_maximum(response, median, scale, number, best, direction_map):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    for i in range(best.shape[0]):
        for j in range(best.shape[1]):
            for k in range(best.shape[2]):
                value = (response[i, j, k] - median) * scale
                if value > best[i, j, k]:
                    best[i, j, k] = value
                    direction_map[i, j, k] = number


@nb.njit(cache=True, nogil=True)
def _filtered(spectrum, z, y, x, axis, across, scale, decay, out):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    for i in range(len(z)):
        for j in range(len(y)):
            for k in range(len(x)):
                along = z[i] * axis[0] + y[j] * axis[1] + x[k] * axis[2]
                along *= along
                position = max(z[i] * z[i] + y[j] * y[j] + x[k] * x[k] - along, 0.0) * scale
                lower = min(int(position), len(across) - 2)
                kernel = across[lower] + (position - lower) * (across[lower + 1] - across[lower])
                out[i, j, k] = spectrum[i, j, k] * np.float32(kernel * math.exp(-decay * along))


def _across(wave: npt.NDArray[np.float64], radius: float) -> Field:
    """Return the transfer function across the line: mean over a disc minus mean over a ring, with soft edges."""

    def disc(size: float) -> npt.NDArray[np.float64]:
        at = np.maximum(wave * size, 1e-9)
        return np.asarray(2 * special.j1(at) / at)

    inner, outer = _DISC_DIAMETERS * radius, _RING_DIAMETERS * radius
    ring = (outer**2 * disc(outer) - inner**2 * disc(inner)) / (outer**2 - inner**2)
    return np.asarray((disc(inner) - ring) * np.exp(-0.5 * (_EDGE_SOFTNESS * radius * wave) ** 2), np.float32)
