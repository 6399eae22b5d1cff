"""A bank of oriented ridge (plate) filters.

The kernel is the second derivative of a Gaussian along the normal and a Gaussian in the plane; the response of a node
is the maximum over all orientations. The angular dependence is truncated after the spherical harmonics of order
`ORDER`, so that the response in every orientation is a weighted sum of a few filtered copies of the field (steerable
filters: Freeman and Adelson, IEEE PAMI 1991).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numba as nb
import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy.special import eval_legendre

from cryomamba_inference.filters.common.grid import ALL_BORDERS, Borders, hemisphere_directions

Field = npt.NDArray[np.float32]
Directions = npt.NDArray[np.uint8]
Spectrum = npt.NDArray[np.complex64]

ORDER = 6
_CHUNK_NODES = 8192  # nodes per matrix product, to stay in the cache
_RADII = 512  # samples of the radial table
_ANGLES = 64  # nodes of the quadrature over the angle
_PLUS = np.float32(1)


@dataclass(frozen=True)
class PlateBank:
    """Filters of one size in many orientations.

    Attributes
    ----------
    step_A : float
        Distance between nodes in Å.
    across_A, in_plane_A : float
        Standard deviations of the Gaussians in Å.
    normals : array of shape (n, 3), float32
        Unit normals of the plates, z, y, x; at most 256.
    """

    step_A: float
    across_A: float
    in_plane_A: float
    normals: Field

    @property
    def reach(self) -> int:
        """Radius of the kernels in nodes."""
        return int(np.ceil(3.6 * max(self.in_plane_A, self.across_A) / self.step_A))

    def strongest(self, field: Field, borders: Borders = ALL_BORDERS) -> tuple[Field, Directions]:
        """Return the strongest response of each node and the index of its orientation.

        Parameters
        ----------
        field : array of shape (z, y, x), float32
        borders : three pairs of bool
            Sides at which the field is extrapolated by reflection. At other sides the results are `reach` nodes shorter
            than the field.
        """
        edges = [(0 if a else self.reach, 0 if b else self.reach) for a, b in borders]
        z, y, x = (slice(a, n - b) for n, (a, b) in zip(field.shape, edges, strict=True))
        basis = self._filtered(field, borders, (z, y, x))
        best, direction = _best_of(basis.reshape(len(basis), -1), self._weights)
        return best.reshape(basis.shape[1:]), direction.reshape(basis.shape[1:])

    def extremes(self, field: Field, fraction: float) -> tuple[float, float]:
        """Return the `share` quantiles of the strongest responses of a field and of its negative."""
        basis = self._filtered(field, ALL_BORDERS, (slice(None), slice(None), slice(None)))
        flat = basis.reshape(len(basis), -1)
        bright, dark = (
            float(np.quantile(_best_of(flat, sign * self._weights)[0], fraction)) for sign in (_PLUS, -_PLUS)
        )
        return bright, dark

    def _filtered(self, field: Field, borders: Borders, part: tuple[slice, slice, slice]) -> Field:
        spectrum, padded, inner = self._spectrum(field, borders)
        kernels = _plate_kernels(padded, self.step_A, self.across_A, self.in_plane_A)
        basis = np.empty((len(self._basis), *field[part].shape), np.float32)
        product, kernel = np.empty_like(spectrum), np.empty(spectrum.shape, np.float32)
        for normal, copy in zip(self._basis, basis, strict=True):
            np.multiply(spectrum, kernels.plate(normal, kernel), out=product)
            copy[...] = scipy.fft.irfftn(product, padded, overwrite_x=True)[inner][part]
        return basis

    @cached_property
    def _basis(self) -> Field:
        return hemisphere_directions((ORDER + 1) * (ORDER + 2) // 2)

    @cached_property
    def _weights(self) -> Field:
        """Weights (n, basis) of the basis responses in the response of each normal."""
        basis_monomials, target_monomials = _monomials(self._basis), _monomials(self.normals)
        return np.asarray(np.linalg.solve(basis_monomials.T, target_monomials.T).T, np.float32)

    def _spectrum(self, field: Field, borders: Borders) -> tuple[Spectrum, tuple[int, ...], tuple[slice, ...]]:
        before = [self.reach if first else 0 for first, _ in borders]
        after = [self.reach if last else 0 for _, last in borders]
        needed = [n + a + b for n, a, b in zip(field.shape, before, after, strict=True)]
        padded = tuple(scipy.fft.next_fast_len(n, real=True) for n in needed)
        pads = [(b, size - n - b) for n, size, b in zip(field.shape, padded, before, strict=True)]
        inner = tuple(slice(b, b + n) for n, b in zip(field.shape, before, strict=True))
        spectrum = np.asarray(scipy.fft.rfftn(np.pad(field, pads, mode="symmetric")), np.complex64)
        return spectrum, padded, inner


def _monomials(vectors: Field) -> npt.NDArray[np.float64]:
    """Return all monomials z^a y^b x^c of degree `ORDER`; on the sphere they span the even harmonics up to it."""
    z, y, x = vectors.astype(np.float64).T
    powers = [(a, b, ORDER - a - b) for a in range(ORDER + 1) for b in range(ORDER + 1 - a)]
    return np.stack([z**a * y**b * x**c for a, b, c in powers], axis=1)


def _best_of(basis: Field, weights: Field) -> tuple[Field, Directions]:
    best = np.empty(basis.shape[1], np.float32)
    direction = np.empty(basis.shape[1], np.uint8)
    for start in range(0, basis.shape[1], _CHUNK_NODES):
        part = slice(start, start + _CHUNK_NODES)
        _keep_best(weights @ basis[:, part], best[part], direction[part])
    return best, direction


@nb.njit(cache=True, nogil=True)
def _keep_best(responses, best, direction):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    best[:] = responses[0]
    # An index as wide as the response lets the compiler vectorize.
    winner = np.zeros(best.size, np.float32)
    for row in range(1, responses.shape[0]):
        name = np.float32(row)
        for at in range(best.size):
            better = responses[row, at] > best[at]
            winner[at] = name if better else winner[at]
            best[at] = responses[row, at] if better else best[at]
    for at in range(best.size):
        direction[at] = np.uint8(winner[at])


@lru_cache(maxsize=8)
def _radial(across_A: float, in_plane_A: float, highest: float) -> Field:
    """Return coefficients (radii, ORDER / 2 + 1) of the even powers of the cosine between wave vector and normal."""
    radii = np.linspace(0, highest, _RADII)[:, None]
    nodes, weights = np.polynomial.legendre.leggauss(_ANGLES)
    along = (radii * nodes) ** 2
    plate = across_A**2 * along * np.exp(-0.5 * (across_A**2 * along + in_plane_A**2 * (radii**2 - along)))
    powers = np.zeros((_RADII, ORDER // 2 + 1))
    for order in range(0, ORDER + 1, 2):
        fraction = (plate * weights * eval_legendre(order, nodes)).sum(axis=1) * (2 * order + 1) / 2
        coefficients = np.polynomial.legendre.leg2poly([0] * order + [1])[::2]
        powers[:, : len(coefficients)] += fraction[:, None] * coefficients
    return powers.astype(np.float32)


@lru_cache(maxsize=2)
def _plate_kernels(shape: tuple[int, ...], step_A: float, across_A: float, in_plane_A: float) -> _PlateKernels:
    return _PlateKernels(shape, step_A, across_A, in_plane_A)


class _PlateKernels:
    """The transfer functions of the plate filters on the wave vectors of a padded field, in the layout of ``rfftn``."""

    def __init__(self, shape: tuple[int, ...], step_A: float, across_A: float, in_plane_A: float) -> None:
        last = len(shape) - 1
        axes = [(scipy.fft.rfftfreq if a == last else scipy.fft.fftfreq)(n, step_A) for a, n in enumerate(shape)]
        # Tapered before the Nyquist frequency, so that the kernels are short in space.
        tapers = [np.cos(np.pi * np.clip(2 * np.abs(f) * step_A - 0.6, 0, 0.4) / 0.8) ** 2 for f in axes]
        self._z, self._y, self._x = (_along(2 * np.pi * f, axis) for axis, f in enumerate(axes))
        taper = _along(tapers[0], 0) * _along(tapers[1], 1) * _along(tapers[2], 2)
        square = self._z**2 + self._y**2 + self._x**2
        highest = float(np.sqrt(3) * np.pi / step_A) * 1.001
        position = np.sqrt(square) * np.float32((_RADII - 1) / highest)
        lower = position.astype(np.int32)
        fraction = position - lower
        table = _radial(across_A, in_plane_A, highest)
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
