"""Frequencies of a volume in the layout of ``rfftn``, and which of them a tilt series measures."""

import numpy as np
from numpy.typing import NDArray

from cryomamba.synth.imaging.spec import ImagingSpec

Voxel = tuple[float, float, float]
Shape = tuple[int, ...]


def frequency_axes(
    shape: Shape, voxel_size_A: Voxel
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return kz, ky and kx in 1/Å, shaped so that they broadcast to the layout of ``rfftn``."""
    kz, ky = (np.fft.fftfreq(n, size).astype(np.float32) for n, size in zip(shape[:2], voxel_size_A[:2], strict=True))
    kx = np.fft.rfftfreq(shape[2], voxel_size_A[2]).astype(np.float32)
    return kz[:, None, None], ky[None, :, None], kx[None, None, :]


def squared_frequencies(shape: Shape, voxel_size_A: Voxel) -> NDArray[np.float32]:
    """Return k² in 1/Å² for every frequency."""
    kz, ky, kx = frequency_axes(shape, voxel_size_A)
    return np.asarray(kz * kz + ky * ky + kx * kx, np.float32)


def measured_frequencies(shape: Shape, voxel_size_A: Voxel, spec: ImagingSpec) -> NDArray[np.bool_]:
    """Return which frequencies at least one of the series measures; the zero frequency is measured."""
    kz, ky, kx = frequency_axes(shape, voxel_size_A)
    if spec.max_tilt_deg is None:
        return np.ones((shape[0], shape[1], kx.shape[-1]), np.bool_)
    steepest = np.float32(np.tan(np.radians(spec.max_tilt_deg)))
    across = {"y": kx, "x": np.abs(ky)}
    measured = np.zeros((shape[0], shape[1], kx.shape[-1]), np.bool_)
    for axis in spec.tilt_axes:
        measured |= np.abs(kz) <= across[axis] * steepest + np.float32(1e-9)
    return measured


def measured_share(shape: Shape, voxel_size_A: Voxel, spec: ImagingSpec) -> float:
    """Return the share of all frequencies that is measured."""
    measured = measured_frequencies(shape, voxel_size_A, spec)
    return float(np.average(measured.mean(axis=(0, 1)), weights=_multiplicity(shape[2])))


def _multiplicity(width: int) -> NDArray[np.float64]:
    """Return how many frequencies of the full transform each kx of the half one stands for."""
    counts = np.full(width // 2 + 1, 2.0)
    counts[0] = 1
    if width % 2 == 0:
        counts[-1] = 1
    return counts
