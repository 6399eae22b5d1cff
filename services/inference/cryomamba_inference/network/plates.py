"""Oriented plate filters: how strongly the density around a node resembles a dark or a bright sheet.

The kernel is the second derivative of a Gaussian along the normal and a Gaussian in the plane; the response of a node
is the maximum over all orientations. The angular dependence is truncated after the spherical harmonics of order
`ORDER`, so that the response in every orientation is a weighted sum of a few filtered copies of the field (steerable
filters: Freeman and Adelson, IEEE PAMI 1991). All lengths are in nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy.special import eval_legendre

from cryomamba.engines.api import Slices
from cryomamba_inference.directions import hemisphere_directions
from cryomamba_inference.volume_preparation.grid import Field

Spectrum = npt.NDArray[np.complex64]

ORDER = 6
ORIENTATIONS = 90
_REACH = 3.0  # radius of a kernel, in its larger standard deviation
_CHUNK_NODES = 8192  # nodes per matrix product, to stay in the cache
_RADII = 512  # samples of the radial table
_ANGLES = 64  # nodes of the quadrature over the angle


@dataclass(frozen=True)
class PlateBank:
    """Filters of one size in many orientations.

    Attributes
    ----------
    across, in_plane : float
        Standard deviations of the Gaussians in nodes.
    """

    across: float
    in_plane: float

    @property
    def reach(self) -> int:
        """Radius of the kernels in nodes."""
        return int(np.ceil(_REACH * max(self.in_plane, self.across)))

    def extremes(self, field: Field, inner: Slices) -> tuple[Field, Field]:
        """Return the strongest responses to sheets of higher and of lower density, on the inner nodes of a field.

        The field is taken as periodic: what is within `reach` of a side is influenced by the opposite side.
        """
        basis = self._filtered(field, inner)
        flat = basis.reshape(len(basis), -1)
        high, low = (np.empty(flat.shape[1], np.float32) for _ in range(2))
        for start in range(0, flat.shape[1], _CHUNK_NODES):
            part = slice(start, start + _CHUNK_NODES)
            responses = self._weights @ flat[:, part]
            responses.max(axis=0, out=high[part])
            responses.min(axis=0, out=low[part])
        return high.reshape(basis.shape[1:]), -low.reshape(basis.shape[1:])

    def _filtered(self, field: Field, inner: Slices) -> Field:
        spectrum = np.asarray(scipy.fft.rfftn(field), np.complex64)
        kernels = _plate_kernels(field.shape, self.across, self.in_plane)
        basis = np.empty((len(self._basis), *field[inner].shape), np.float32)
        product, kernel = np.empty_like(spectrum), np.empty(spectrum.shape, np.float32)
        for normal, copy in zip(self._basis, basis, strict=True):
            np.multiply(spectrum, kernels.plate(normal, kernel), out=product)
            copy[...] = scipy.fft.irfftn(product, field.shape, overwrite_x=True)[inner]
        return basis

    @cached_property
    def _basis(self) -> Field:
        return hemisphere_directions((ORDER + 1) * (ORDER + 2) // 2)

    @cached_property
    def _weights(self) -> Field:
        """Weights (n, basis) of the basis responses in the response of each orientation."""
        basis, targets = _monomials(self._basis), _monomials(hemisphere_directions(ORIENTATIONS))
        return np.asarray(np.linalg.solve(basis.T, targets.T).T, np.float32)


def _monomials(vectors: Field) -> npt.NDArray[np.float64]:
    """Return all monomials z^a y^b x^c of degree `ORDER`; on the sphere they span the even harmonics up to it."""
    z, y, x = vectors.astype(np.float64).T
    powers = [(a, b, ORDER - a - b) for a in range(ORDER + 1) for b in range(ORDER + 1 - a)]
    return np.stack([z**a * y**b * x**c for a, b, c in powers], axis=1)


@lru_cache(maxsize=8)
def _radial(across: float, in_plane: float, highest: float) -> Field:
    """Return coefficients (radii, ORDER / 2 + 1) of the even powers of the cosine between wave vector and normal."""
    radii = np.linspace(0, highest, _RADII)[:, None]
    nodes, weights = np.polynomial.legendre.leggauss(_ANGLES)
    along = (radii * nodes) ** 2
    plate = across**2 * along * np.exp(-0.5 * (across**2 * along + in_plane**2 * (radii**2 - along)))
    powers = np.zeros((_RADII, ORDER // 2 + 1))
    for order in range(0, ORDER + 1, 2):
        fraction = (plate * weights * eval_legendre(order, nodes)).sum(axis=1) * (2 * order + 1) / 2
        coefficients = np.polynomial.legendre.leg2poly([0] * order + [1])[::2]
        powers[:, : len(coefficients)] += fraction[:, None] * coefficients
    return powers.astype(np.float32)


@lru_cache(maxsize=4)
def _plate_kernels(shape: tuple[int, ...], across: float, in_plane: float) -> _PlateKernels:
    return _PlateKernels(shape, across, in_plane)


class _PlateKernels:
    """The transfer functions of the plate filters on the wave vectors of a padded field, in the layout of ``rfftn``."""

    def __init__(self, shape: tuple[int, ...], across: float, in_plane: float) -> None:
        last = len(shape) - 1
        axes = [(scipy.fft.rfftfreq if a == last else scipy.fft.fftfreq)(n) for a, n in enumerate(shape)]
        # Tapered before the Nyquist frequency, so that the kernels are short in space.
        tapers = [np.cos(np.pi * np.clip(2 * np.abs(f) - 0.6, 0, 0.4) / 0.8) ** 2 for f in axes]
        self._z, self._y, self._x = (_along(2 * np.pi * f, axis) for axis, f in enumerate(axes))
        taper = _along(tapers[0], 0) * _along(tapers[1], 1) * _along(tapers[2], 2)
        square = self._z**2 + self._y**2 + self._x**2
        highest = float(np.sqrt(3) * np.pi) * 1.001
        position = np.sqrt(square) * np.float32((_RADII - 1) / highest)
        lower = position.astype(np.int32)
        fraction = position - lower
        table = _radial(across, in_plane, highest)
        square[0, 0, 0] = 1
        self._powers: list[Field] = []
        for power, column in enumerate(table.T):
            value = column[lower] * (1 - fraction) + column[np.minimum(lower + 1, _RADII - 1)] * fraction
            self._powers.append(value * taper / square**power)

    def plate(self, normal: Field, kernel: Field) -> Field:
        along = self._z * normal[0] + self._y * normal[1] + self._x * normal[2]
        along *= along
        np.multiply(self._powers[-1], along, out=kernel)
        for coefficients in self._powers[-2:0:-1]:
            kernel += coefficients
            kernel *= along
        kernel += self._powers[0]
        return kernel


def _along(values: npt.NDArray[np.float64], axis: int) -> Field:
    return values.astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
