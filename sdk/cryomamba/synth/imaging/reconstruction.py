"""Tilt series of a density and its reconstruction: weighted back-projection and SIRT.

Every image has the contrast transfer of the microscope and white noise of its own. Two things are left out: the
defocus does not change across a tilted image, and thicker views get as many electrons as others.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cryomamba.synth.imaging.frequencies import Voxel, measured_frequencies, measured_share
from cryomamba.synth.imaging.noise import noise_deviation
from cryomamba.synth.imaging.spec import ImagingSpec
from cryomamba.synth.imaging.tilt_series import Field, Grid, Positions, add_back_projection, project, tilt_angles
from cryomamba.synth.imaging.transfer import contrast_transfer, membrane_gain

_CUTOFF, _FALLOFF = 0.4, 0.05
"""The ramp filter falls off from this frequency on as a Gaussian of this standard deviation, in cycles per pixel."""
_TRIAL_WIDTH = 8
"""Voxels along the tilt axis of the volume from which the deviation of reconstructed noise is measured."""


def reconstruct(density: Field, voxel_size_A: Voxel, spec: ImagingSpec, rng: np.random.Generator) -> Field:
    """Return the reconstruction of a ZYX density from the tilt series that `spec` describes."""
    parts = [_one_series(density, voxel_size_A, spec, axis, rng) for axis in spec.tilt_axes]
    if len(parts) == 1:
        return parts[0]
    total: NDArray[np.complexfloating] = np.zeros(1, np.complex64)
    count: NDArray[np.float32] = np.zeros(1, np.float32)
    for part, axis in zip(parts, spec.tilt_axes, strict=True):
        alone = spec.model_copy(update={"tilt_axis": axis, "dual_axis": False})
        measured = measured_frequencies(density.shape, voxel_size_A, alone)
        total = total + np.fft.rfftn(part) * measured
        count = count + measured.astype(np.float32)
    return np.fft.irfftn(total / np.maximum(count, 1), density.shape, axes=(0, 1, 2)).astype(np.float32)


def _one_series(density: Field, voxel_size_A: Voxel, spec: ImagingSpec, axis: str, rng: np.random.Generator) -> Field:
    """Return the reconstruction from one series."""
    z_size, y_size, x_size = voxel_size_A
    u_size, v_size = (x_size, y_size) if axis == "y" else (y_size, x_size)
    volume = density.swapaxes(1, 2) if axis == "y" else density
    volume = np.ascontiguousarray(volume - volume.mean(), np.float32)
    grid = Grid(volume.shape[0], volume.shape[1], z_size / u_size)
    angles = tilt_angles(spec.max_tilt_deg or 0.0, spec.tilt_step_deg)
    deviation = _series_deviation(density.shape, voxel_size_A, spec) / _noise_gain(grid, angles)
    pictures = _pictures(volume, grid, angles, (u_size, v_size), spec)
    for picture in pictures:
        picture += np.float32(deviation) * rng.standard_normal(picture.shape, np.float32)
    if spec.reconstruction == "wbp":
        made = back_projected(pictures, grid, angles)
    else:
        made = sirt(pictures, grid, angles, spec.sirt_iterations)
    return np.ascontiguousarray(made.swapaxes(1, 2)) if axis == "y" else made


def _pictures(
    volume: Field, grid: Grid, angles: Positions, pixel_A: tuple[float, float], spec: ImagingSpec
) -> list[Field]:
    """Return the images of a series; the specimen continues beyond the volume, by reflection."""
    margin = _margin(grid)
    wide = np.pad(volume, ((0, 0), (margin, margin), (0, 0)), mode="reflect")
    wide_grid = Grid(grid.depth, grid.width + 2 * margin, grid.z_over_u)
    pictures = [project(wide, wide_grid, angle, grid.width) for angle in angles]
    if spec.defocus_um is None and not spec.b_factor_A2:
        return pictures
    ku, kv = np.fft.fftfreq(grid.width, pixel_A[0]), np.fft.rfftfreq(volume.shape[2], pixel_A[1])
    transfer = contrast_transfer(ku[:, None] ** 2 + kv**2, spec) * np.float32(membrane_gain(spec, pixel_A[0]))
    shape = pictures[0].shape
    return [np.fft.irfft2(np.fft.rfft2(p) * transfer, shape, axes=(0, 1)).astype(np.float32) for p in pictures]


def back_projected(pictures: Sequence[Field], grid: Grid, angles: Positions) -> Field:
    """Return the weighted back-projection (z, u, v) of images (u, v): a ramp filter, then back-projection.

    Densities that the series measures keep their scale: the integral over the angles is that of the inverse Radon
    transform (Radermacher, in Frank, Electron Tomography, 2006).
    """
    pixels = len(pictures[0])
    length = 2 * pixels
    frequency = np.fft.rfftfreq(length)
    weight = frequency * np.exp(-0.5 * (np.maximum(frequency - _CUTOFF, 0) / _FALLOFF) ** 2)
    step = float(angles[1] - angles[0]) if len(angles) > 1 else np.pi
    ramp = (weight * step).astype(np.float32)[:, None]
    volume = np.zeros((grid.depth, grid.width, pictures[0].shape[1]), np.float32)
    for picture, angle in zip(pictures, angles, strict=True):
        spectrum = np.fft.rfft(picture, length, axis=0) * ramp
        filtered = np.fft.irfft(spectrum, length, axis=0)[:pixels].astype(np.float32)
        add_back_projection(volume, grid, float(angle), filtered)
    return volume


def sirt(pictures: Sequence[Field], grid: Grid, angles: Positions, iterations: int) -> Field:
    """Return the reconstruction (z, u, v) after some iterations of SIRT, from 0 (Gilbert, J. Theor. Biol. 1972).

    It is computed for a wider volume, because tilted images show what lies beside the volume.
    """
    margin = _margin(grid)
    pixels, shape = len(pictures[0]), (grid.depth, grid.width + 2 * margin, pictures[0].shape[1])
    grid = Grid(shape[0], shape[1], grid.z_over_u)
    lengths = [project(np.ones((*shape[:2], 1), np.float32), grid, angle, pixels) for angle in angles]
    seen = np.zeros((*shape[:2], 1), np.float32)
    for angle in angles:
        add_back_projection(seen, grid, float(angle), np.ones((pixels, 1), np.float32))
    volume = np.zeros(shape, np.float32)
    for _ in range(iterations):
        change = np.zeros_like(volume)
        for picture, angle, length in zip(pictures, angles, lengths, strict=True):
            rest = np.asarray((picture - project(volume, grid, angle, pixels)) / np.maximum(length, 1), np.float32)
            add_back_projection(change, grid, float(angle), rest)
        volume += change / np.maximum(seen, 1)
    return volume[:, margin : shape[1] - margin]


def _series_deviation(shape: tuple[int, ...], voxel_size_A: Voxel, spec: ImagingSpec) -> float:
    """Return the deviation of the noise in the reconstruction from one series.

    Where two series measure the same frequencies their mean counts, so that each of them may have more noise.
    """
    whole = measured_share(shape, voxel_size_A, spec)
    variance = noise_deviation(spec, voxel_size_A) ** 2 * whole
    if spec.dual_axis:
        series = [spec.model_copy(update={"tilt_axis": a, "dual_axis": False}) for a in spec.tilt_axes]
        both = sum(measured_share(shape, voxel_size_A, one) for one in series) - whole
        variance *= 0.5 * (whole + both) / (whole - 0.5 * both)
    return float(np.sqrt(variance))


def _margin(grid: Grid) -> int:
    """Return how many voxels of the specimen count on either side of the volume."""
    return min(grid.depth // 2, grid.width - 1)


def _noise_gain(grid: Grid, angles: Positions) -> float:
    """Return the standard deviation that white noise of deviation 1 has after weighted back-projection."""
    rng = np.random.default_rng(0)
    pictures = [rng.standard_normal((grid.width, _TRIAL_WIDTH), np.float32) for _ in angles]
    return float(back_projected(pictures, grid, angles).std())
