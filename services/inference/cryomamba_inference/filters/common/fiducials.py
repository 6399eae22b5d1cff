"""Gold fiducials and their missing-wedge streaks.

A gold bead is so dense that its streaks resemble membranes far away. As in the CLEAN algorithm (Högbom, 1974), the
densities that the tilt series has blurred into the observed ones are estimated with its point spread function (PSF),
and their blurred image is subtracted. The fiducials of the whole volume are kept in memory; they are few nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numba as nb
import numpy as np
import numpy.typing as npt
import scipy.fft

from cryomamba_inference.filters.common.grid import Corner, spans

Field = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
NodeIndices = npt.NDArray[np.int64]

_PSF_REACH_A = 800.0  # Å from a bead to which streaks are removed
_ROUNDS = 20  # iterations of the deconvolution
_GAIN = 1.4  # relaxation factor of one iteration
_SLAB_NODES = 4_000_000
# A fiducial exceeds this many robust standard deviations of the density, and this multiple of this quantile.
_FIDUCIAL_DEVIATIONS = 8.0
_FIDUCIAL_QUANTILE = 0.985
_FIDUCIAL_CONTRAST = 2.5
_MAX_NODES = 200_000  # more dense nodes are not treated as fiducials


@dataclass(frozen=True)
class Fiducials:
    """The deconvolved fiducials of the whole volume.

    Attributes
    ----------
    nodes : array of shape (n, 3), int64
        Node numbers z, y, x, ascending.
    amounts : array of shape (n,), float32
        Densities that the tilt series has blurred into the observed ones.
    spread : array of shape (2 r + 1, 2 r + 1), float32
        Point spread function of the tilt series in a (z, x) plane.
    """

    nodes: NodeIndices
    amplitudes: Field
    psf: Field

    def remove(self, field: Field, first: Corner) -> Field:
        """Return a copy of a field from node `first` on, without fiducials (set to 0) and their streaks."""
        residual = field.copy()
        if len(self.nodes):
            positions = self.nodes - np.asarray(first)
            size, radius = np.asarray(field.shape), len(self.psf) // 2
            near = ((positions >= (-radius, 0, -radius)) & (positions < size + np.array((radius, 0, radius)))).all(
                axis=1
            )
            _subtract(residual, positions[near], self.amplitudes[near], self.psf)
            residual[_near_fiducials(field.shape, positions)] = 0
        return residual


def _near_fiducials(shape: tuple[int, ...], positions: NodeIndices) -> Flags:
    size = np.asarray(shape)
    within = ((positions >= -1) & (positions <= size)).all(axis=1)
    padded = np.zeros(size + 2, np.bool_)
    padded[tuple((positions[within] + 1).T)] = True
    return _dilate(padded)[1:-1, 1:-1, 1:-1]


@nb.njit(cache=True, nogil=True)
def _subtract(field, positions, amplitudes, psf):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    depth, _, width = field.shape
    radius = psf.shape[0] // 2
    for n in range(amplitudes.size):
        z, y, x = positions[n]
        left, right = max(x - radius, 0), min(x + radius + 1, width)
        for i in range(max(z - radius, 0), min(z + radius + 1, depth)):
            row = psf[i - z + radius]
            for k in range(left, right):
                field[i, y, k] -= amplitudes[n] * row[k - x + radius]


@dataclass(frozen=True, slots=True)
class FiducialModel:
    """Observed densities of fiducials and of the nodes next to them, independent of the missing wedge.

    Attributes
    ----------
    nodes : array of shape (n, 3), int64
        Node numbers z, y, x, ascending.
    measured : array of shape (n,), float32
        Density above the background.
    """

    nodes: NodeIndices
    measured: Field

    def deconvolve(self, *, step_A: float, tilt_deg: float | None) -> Fiducials:
        """Deconvolve with the PSF of a tilt series to ±`tilt_deg` about y; None for no missing wedge."""
        if not 0 < len(self.nodes) <= _MAX_NODES:
            return no_fiducials()
        psf = _psf(step_A, tilt_deg)
        return Fiducials(self.nodes, _amplitudes(self.nodes, self.measured, psf), psf)

    def residual_power(self, field: Field, *, step_A: float, tilt_deg: float) -> float:
        """Return the sum of squares of this model's field after fiducials and streaks are removed."""
        fiducials = self.deconvolve(step_A=step_A, tilt_deg=tilt_deg)
        return float(np.square(fiducials.remove(field, (0, 0, 0))).sum())


def fiducial_limit(values: Field, level: float) -> float:
    """Return the distance from `level` beyond which a density belongs to gold fiducials."""
    away = np.abs(values - np.float32(level))
    deviation = 1.4826 * float(np.median(away))
    return max(_FIDUCIAL_DEVIATIONS * deviation, _FIDUCIAL_CONTRAST * float(np.quantile(away, _FIDUCIAL_QUANTILE)))


def find_fiducials(nodes: Field, *, level: float, sign: float, limit: float) -> FiducialModel:
    """Find the nodes of a volume whose density above `level` (times `sign`) exceeds `limit`, and their neighbours.

    Parameters
    ----------
    nodes : array of shape (z, y, x), float32
        Densities on the nodes of the whole volume; may be a memory map.
    """
    found, dense = [], []
    planes = max(1, _SLAB_NODES // (nodes.shape[1] * nodes.shape[2]))
    for low, high in spans(len(nodes), planes):
        density = (nodes[low:high] - np.float32(level)) * np.float32(sign)
        # The neighbours hold part of the bead and cause streaks as well.
        dense_nodes = np.argwhere(_dilate(density > limit))
        dense.append(density[tuple(dense_nodes.T)])
        dense_nodes[:, 0] += low
        found.append(dense_nodes)
    return FiducialModel(np.concatenate(found), np.concatenate(dense))


def _dilate(mask: Flags) -> Flags:
    """Return the mask dilated by one node (6-connectivity)."""
    dilated = mask.copy()
    for axis in range(3):
        into, of = np.moveaxis(dilated, axis, 0), np.moveaxis(mask, axis, 0)
        into[1:] |= of[:-1]
        into[:-1] |= of[1:]
    return dilated


def no_fiducial_model() -> FiducialModel:
    """Return the model of a volume without fiducials."""
    return FiducialModel(np.empty((0, 3), np.int64), np.empty(0, np.float32))


def no_fiducials() -> Fiducials:
    """Return the fiducials of a volume without any."""
    return Fiducials(np.empty((0, 3), np.int64), np.empty(0, np.float32), np.ones((1, 1), np.float32))


@lru_cache(maxsize=4)
def _psf(step_A: float, tilt_deg: float | None) -> Field:
    if tilt_deg is None:
        return np.ones((1, 1), np.float32)
    radius = int(np.ceil(_PSF_REACH_A / step_A))
    size = 8 * radius
    kz, kx = scipy.fft.fftfreq(size)[:, None], scipy.fft.fftfreq(size)[None, :]
    kept = np.abs(kz) <= np.abs(kx) * np.tan(np.radians(tilt_deg)) + 1e-12
    plane = np.fft.fftshift(scipy.fft.ifft2(kept.astype(np.float64)).real)
    middle = slice(size // 2 - radius, size // 2 + radius + 1)
    return np.ascontiguousarray(plane[middle, middle], np.float32)


def _amplitudes(nodes: NodeIndices, measured: Field, psf: Field) -> Field:
    """Solve for the densities that were blurred into `measured`; the PSF does not connect nodes of different y."""
    order = np.argsort(nodes[:, 1], kind="stable")
    rows = np.concatenate([[0], np.flatnonzero(np.diff(nodes[order, 1])) + 1, [len(nodes)]])
    amplitudes = np.empty_like(measured)
    amplitudes[order] = _solve(nodes[order], measured[order], rows, psf, np.float32(_GAIN))
    return amplitudes


@nb.njit(cache=True, nogil=True)
def _solve(nodes, measured, rows, psf, gain):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    radius = psf.shape[0] // 2
    amplitude, blurred = np.zeros_like(measured), np.zeros_like(measured)
    for row in range(rows.size - 1):
        here = range(rows[row], rows[row + 1])
        for _ in range(_ROUNDS):
            for n in here:
                total = np.float32(0)
                for m in here:
                    z, x = nodes[n, 0] - nodes[m, 0] + radius, nodes[n, 2] - nodes[m, 2] + radius
                    if 0 <= z <= 2 * radius and 0 <= x <= 2 * radius:
                        total += psf[z, x] * amplitude[m]
                blurred[n] = total
            for n in here:
                amplitude[n] = max(amplitude[n] + gain * (measured[n] - blurred[n]), np.float32(0))
    return amplitude
