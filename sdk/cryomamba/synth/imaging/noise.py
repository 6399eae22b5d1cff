"""Noise of the images and its colour."""

import numpy as np
from numpy.typing import NDArray

from cryomamba.synth.imaging.frequencies import Voxel, frequency_axes
from cryomamba.synth.imaging.spec import ImagingSpec

Volume = NDArray[np.float32]
_REFERENCE_VOXEL_A3 = 1000.0
_RED_A = 60.0
"""The power of red noise has fallen to a half at this wavelength."""
_RED_FLOOR = 0.1
"""The part of the power of red noise that does not fall."""


def noise_deviation(spec: ImagingSpec, voxel_size_A: Voxel) -> float:
    """Return the standard deviation of the noise in a voxel, before the missing wedge."""
    return float(spec.noise * np.sqrt(_REFERENCE_VOXEL_A3 / np.prod(voxel_size_A)))


def add_white_noise(volume: Volume, deviation: float, rng: np.random.Generator) -> None:
    """Add noise to a ZYX volume in place, plane by plane."""
    for plane in volume:
        plane += np.float32(deviation) * rng.standard_normal(plane.shape, np.float32)


def colour_noise(
    spectrum: NDArray[np.complexfloating], shape: tuple[int, ...], voxel_size_A: Voxel, spec: ImagingSpec
) -> None:
    """Give the spectrum of white noise the colour of `spec`, in place; the standard deviation stays.

    Blue noise has a power that is proportional to the frequency across the tilt axis, as a ramp filter leaves it.
    """
    if spec.noise_spectrum == "white":
        return
    kz, ky, kx = frequency_axes(shape, voxel_size_A)
    if spec.noise_spectrum == "blue":
        across = ky if spec.tilt_axis == "x" else kx
        power = np.sqrt(kz**2 + across**2)
    else:
        power = _RED_FLOOR + (1 - _RED_FLOOR) / (1 + (kz**2 + ky**2 + kx**2) * _RED_A**2)
    spectrum *= np.sqrt(power / power.mean()).astype(np.float32)
