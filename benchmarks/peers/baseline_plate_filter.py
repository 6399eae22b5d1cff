"""The oriented plate bank as a plain SciPy script: the floor that the `membrane` engine has to leave behind.

A copy binned to about 25 Å, 90 plates (second derivative of a Gaussian across, σ 25 Å; Gaussian in the plane,
σ 100 Å) applied in Fourier space, running maximum, z-score, hysteresis at 4 and 8, nearest upsampling.
"""

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy import ndimage

ACROSS_A, IN_PLANE_A, DIRECTIONS, BINNED_A = 25.0, 100.0, 90, 25.0
LOW, HIGH, SMALLEST_VOXELS = 4.0, 8.0, 50


def hemisphere_directions(count: int) -> NDArray[np.float64]:
    """Return `count` normals (n, 3) spread over the half sphere by the Fibonacci lattice."""
    index = np.arange(count) + 0.5
    z = 1 - index / count
    angle = np.pi * (1 + 5**0.5) * index
    radius = np.sqrt(1 - z * z)
    return np.stack([z, radius * np.sin(angle), radius * np.cos(angle)], axis=1)


def binned(volume: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Average blocks of factor³ voxels; what is left over at the far borders is dropped."""
    z, y, x = (n // factor for n in volume.shape)
    cut = volume[: z * factor, : y * factor, : x * factor]
    return np.asarray(cut.reshape(z, factor, y, factor, x, factor).mean(axis=(1, 3, 5)), np.float32)


def z_scores(volume: NDArray[np.float32], voxel_size_A: float, *, dark: bool = True) -> NDArray[np.float32]:
    """Return the strongest plate response of each voxel of the binned copy, in deviations by median and MAD."""
    factor = max(1, round(BINNED_A / voxel_size_A))
    small = binned(volume, factor)
    spectrum = scipy.fft.rfftn(-small if dark else small, workers=2)
    step = voxel_size_A * factor
    axes = [2 * np.pi * scipy.fft.fftfreq(n, step).astype(np.float32) for n in small.shape[:2]]
    axes.append(2 * np.pi * scipy.fft.rfftfreq(small.shape[2], step).astype(np.float32))
    kz, ky, kx = axes[0][:, None, None], axes[1][None, :, None], axes[2]
    square = kz * kz + ky * ky + kx * kx
    best = np.full(small.shape, -np.inf, np.float32)
    for normal in hemisphere_directions(DIRECTIONS).astype(np.float32):
        along = (kz * normal[0] + ky * normal[1] + kx * normal[2]) ** 2
        plate = along * np.exp(-0.5 * (ACROSS_A**2 * along + IN_PLANE_A**2 * (square - along)))
        np.maximum(best, scipy.fft.irfftn(spectrum * plate, small.shape, workers=2), out=best)
    median = np.median(best)
    return np.asarray((best - median) / (1.4826 * np.median(np.abs(best - median))), np.float32)


def upsampled(small: NDArray[np.generic], shape: tuple[int, ...]) -> NDArray[np.generic]:
    """Repeat the voxels of a binned copy until it has `shape` again."""
    for axis, size in enumerate(shape):
        small = np.take(small, np.minimum(np.arange(size) * small.shape[axis] // size, small.shape[axis] - 1), axis)
    return small


def segment(volume: NDArray[np.float32], voxel_size_A: float, *, dark: bool = True) -> NDArray[np.bool_]:
    """Return the membranes of a ZYX volume."""
    scores = z_scores(volume, voxel_size_A, dark=dark)
    labels, _ = ndimage.label(scores >= LOW)
    strongest = ndimage.maximum(scores, labels, np.arange(labels.max() + 1))
    sizes = np.bincount(labels.ravel())
    keep = (np.asarray(strongest) >= HIGH) & (sizes >= SMALLEST_VOXELS)
    keep[0] = False
    return np.asarray(upsampled(keep[labels], volume.shape), np.bool_)
