"""The way from a density to a tomogram."""

import numpy as np
from numpy.typing import NDArray

from cryomamba.synth.imaging import noise, processing
from cryomamba.synth.imaging.frequencies import Voxel, measured_frequencies, squared_frequencies
from cryomamba.synth.imaging.reconstruction import reconstruct
from cryomamba.synth.imaging.spec import ImagingSpec
from cryomamba.synth.imaging.transfer import contrast_transfer, membrane_gain
from cryomamba.synth.wedge import apply_wedge

Volume = NDArray[np.float32]


def image(density: Volume, voxel_size_A: Voxel, spec: ImagingSpec, seed: int) -> Volume:
    """Return the tomogram of a density.

    The defaults need about twice the memory of the density; contrast transfer, colours of noise and filters transform
    the whole volume and need some six times as much.

    Parameters
    ----------
    density : array of shape (z, y, x), float32
        Dense matter is positive; 1 is a membrane's leaflet. It is not changed. With ``spec.crop`` its grid is that much
        finer than the result's.
    voxel_size_A : tuple of float
        Voxel size of the density in Å, z, y, x.
    spec : ImagingSpec
        What happens to it.
    seed : int
        Seed of all random choices; the same arguments give the same tomogram.

    Returns
    -------
    array of shape (z, y, x), float32
        Mean about 0, a leaflet about -1 (1 for bright contrast), unless it is rounded to int8, sloped or padded.
    """
    volume = np.array(density, np.float32)
    images = np.random.default_rng([seed, 1])
    if spec.reconstruction == "fourier":
        volume = _filtered(volume, voxel_size_A, spec, images)
    else:
        volume = reconstruct(volume, voxel_size_A, spec, images)
    z, y, x = voxel_size_A
    volume = processing.fourier_crop(volume, spec.crop)
    return _processed(volume, (z * spec.crop, y * spec.crop, x * spec.crop), spec)


def _filtered(volume: Volume, voxel_size_A: Voxel, spec: ImagingSpec, rng: np.random.Generator) -> Volume:
    """Return the density with contrast transfer, noise and missing wedge, all applied to its frequencies."""
    deviation = noise.noise_deviation(spec, voxel_size_A)
    if spec.defocus_um is None and not spec.b_factor_A2 and spec.noise_spectrum == "white":
        noise.add_white_noise(volume, deviation, rng)
        return _without_wedge(volume, voxel_size_A, spec)
    transfer = contrast_transfer(squared_frequencies(volume.shape, voxel_size_A), spec)
    transfer *= np.float32(membrane_gain(spec, float(np.cbrt(np.prod(voxel_size_A)))))
    spectrum = np.fft.rfftn(volume) * transfer
    grains = np.zeros_like(volume)
    noise.add_white_noise(grains, deviation, rng)
    noise_spectrum = np.fft.rfftn(grains)
    noise.colour_noise(noise_spectrum, volume.shape, voxel_size_A, spec)
    volume = np.fft.irfftn(spectrum + noise_spectrum, volume.shape, axes=(0, 1, 2)).astype(np.float32)
    return _without_wedge(volume, voxel_size_A, spec)


def _without_wedge(volume: Volume, voxel_size_A: Voxel, spec: ImagingSpec) -> Volume:
    if spec.max_tilt_deg is None:
        return volume
    if spec.dual_axis:
        spectrum = np.fft.rfftn(volume) * measured_frequencies(volume.shape, voxel_size_A, spec)
        return np.fft.irfftn(spectrum, volume.shape, axes=(0, 1, 2)).astype(np.float32)
    z, y, x = voxel_size_A
    if spec.tilt_axis == "y":
        apply_wedge(volume, (z, y, x), spec.max_tilt_deg)
    else:
        apply_wedge(volume.swapaxes(1, 2), (z, x, y), spec.max_tilt_deg)
    return volume


def _processed(volume: Volume, voxel_size_A: Voxel, spec: ImagingSpec) -> Volume:
    if spec.denoised is not None:
        volume = processing.denoise(volume, voxel_size_A, spec.denoised)
    volume -= np.float32(volume.mean(dtype=np.float64))
    if spec.contrast == "dark":
        np.negative(volume, out=volume)
    processing.add_slope(volume, spec.slope)
    if any(spec.padding) or spec.corners_deg:
        processing.pad(volume, spec)
    return volume if spec.rounded is None else processing.rounded(volume, spec.rounded)
