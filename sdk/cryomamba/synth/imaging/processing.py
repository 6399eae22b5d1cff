"""What programs do to a tomogram after its reconstruction: cropping, filters, gradients, padding, rounding."""

import numpy as np
from numpy.typing import NDArray

from cryomamba.synth.imaging.frequencies import Voxel, squared_frequencies
from cryomamba.synth.imaging.spec import ImagingSpec

Volume = NDArray[np.float32]
_SHELLS = 64
_NEIGHBOURS = [(z, y, x) for z in (-1, 0, 1) for y in (-1, 0, 1) for x in (-1, 0, 1)]
_INT8_STEPS = 25.0
"""Steps of int8 in a standard deviation."""


def fourier_crop(volume: Volume, factor: int) -> Volume:
    """Return a volume on a grid coarser by a whole factor, with the frequencies that this grid can hold.

    The first voxels of both grids have the same centre. Voxels left over at the far ends are dropped.
    """
    if factor == 1:
        return volume
    z, y, x = (n // factor for n in volume.shape)
    spectrum = np.fft.rfftn(volume[: z * factor, : y * factor, : x * factor])
    for axis, size in enumerate((z, y)):
        keep = np.rint(np.fft.fftfreq(size, 1 / size)).astype(int)
        spectrum = np.take(spectrum, keep % spectrum.shape[axis], axis)
    spectrum = spectrum[:, :, : x // 2 + 1]
    for axis, size in enumerate((z, y, x)):
        if size % 2 == 0:
            np.moveaxis(spectrum, axis, 0)[size // 2] = 0
    cropped = np.fft.irfftn(spectrum, (z, y, x), axes=(0, 1, 2))
    return np.asarray(cropped / factor**3, np.float32)


def denoise(volume: Volume, voxel_size_A: Voxel, kind: str) -> Volume:
    """Return a filtered copy."""
    if kind == "wiener":
        return _wiener(volume, voxel_size_A)
    return _median(volume) if kind == "median" else _bilateral(volume)


def _wiener(volume: Volume, voxel_size_A: Voxel) -> Volume:
    """Weight every shell of frequencies by signal / (signal + noise); the highest tenth of the shells is noise."""
    spectrum = np.fft.rfftn(volume)
    square = squared_frequencies(volume.shape, voxel_size_A)
    shell = np.minimum(np.sqrt(square / square.max()) * _SHELLS, _SHELLS - 1).astype(np.int64).ravel()
    count = np.maximum(np.bincount(shell, minlength=_SHELLS), 1)
    power = np.bincount(shell, np.abs(spectrum.ravel()) ** 2, _SHELLS) / count
    floor = power[-_SHELLS // 10 :].mean()
    weight = np.clip(1 - floor / np.maximum(power, 1e-30), 0, 1)
    spectrum *= weight[shell].reshape(spectrum.shape).astype(np.float32)
    return np.fft.irfftn(spectrum, volume.shape, axes=(0, 1, 2)).astype(np.float32)


def _median(volume: Volume) -> Volume:
    """Return the median of three voxels along each axis in turn."""
    for axis, size in enumerate(volume.shape):
        padded = np.pad(volume, [(1, 1) if a == axis else (0, 0) for a in range(3)], mode="edge")
        first, middle, last = (np.take(padded, np.arange(o, o + size), axis) for o in range(3))
        volume = np.maximum(np.minimum(first, middle), np.minimum(np.maximum(first, middle), last))
    return volume


def _bilateral(volume: Volume) -> Volume:
    """Return the mean over 3 × 3 × 3 voxels, those of similar density above all (Tomasi and Manduchi, ICCV 1998)."""
    padded = np.pad(volume, 1, mode="edge")
    scale = np.float32(1 / (2 * (1.5 * volume.std()) ** 2 + 1e-30))
    total, weights = np.zeros_like(volume), np.zeros_like(volume)
    for offset in _NEIGHBOURS:
        other = padded[tuple(slice(1 + o, 1 + o + n) for o, n in zip(offset, volume.shape, strict=True))]
        weight = np.exp(-((other - volume) ** 2) * scale) * np.float32(np.exp(-0.5 * sum(o * o for o in offset)))
        total += weight * other
        weights += weight
    return total / weights


def add_slope(volume: Volume, slope: tuple[float, float, float]) -> None:
    """Add a linear gradient in place, in standard deviations of the volume over its length."""
    deviation = volume.std()
    for axis, steepness in enumerate(slope):
        if steepness:
            ramp = np.linspace(-0.5, 0.5, volume.shape[axis], dtype=np.float32) * np.float32(steepness * deviation)
            volume += ramp.reshape([-1 if a == axis else 1 for a in range(3)])


def measured_region(shape: tuple[int, int, int], spec: ImagingSpec) -> NDArray[np.bool_]:
    """Return which voxels (z, y, x) are measured: not constant margins or corners.

    Outside there is nothing to be found; a ground truth should have no labels there.
    """
    inside = np.ones(shape, np.bool_)
    for axis, fraction in enumerate(spec.padding):
        margin = round(0.5 * fraction * shape[axis])
        line = np.zeros(shape[axis], np.bool_)
        line[margin : shape[axis] - margin] = True
        inside &= line.reshape([-1 if a == axis else 1 for a in range(3)])
    if spec.corners_deg:
        y, x = (np.linspace(-1, 1, n) for n in shape[1:])
        cosine, sine = np.cos(np.radians(spec.corners_deg)), np.sin(np.radians(spec.corners_deg))
        turned_y, turned_x = cosine * y[:, None] + sine * x, cosine * x - sine * y[:, None]
        inside &= (np.abs(turned_y) <= 1) & (np.abs(turned_x) <= 1)
    return inside


def pad(volume: Volume, spec: ImagingSpec) -> None:
    """Set all that is not in the measured region to a constant, in place."""
    shape: tuple[int, int, int] = (volume.shape[0], volume.shape[1], volume.shape[2])
    value = volume.mean(dtype=np.float64) + spec.padding_value * volume.std(dtype=np.float64)
    volume[~measured_region(shape, spec)] = np.float32(value)


def rounded(volume: Volume, kind: str) -> Volume:
    """Return the values that a file of float16 or int8 would hold."""
    if kind == "float16":
        return volume.astype(np.float16).astype(np.float32)
    steps = np.rint((volume - volume.mean()) * (_INT8_STEPS / volume.std()))
    return np.asarray(np.clip(steps, -128, 127), np.float32)
