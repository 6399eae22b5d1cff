"""Contrast transfer of an electron microscope.

Frequencies are in 1/Å. Sign: dense matter keeps its sign at low frequencies. Reimer and Kohl, Transmission Electron
Microscopy, 5th edition, section 6.4.
"""

import numpy as np
from numpy.typing import NDArray

from cryomamba.synth.imaging.spec import ImagingSpec
from cryomamba.synth.profiles import bilayer_profile

_REFERENCE_A = 45.0
"""Thickness of the membrane whose contrast is kept."""
_REFERENCE_POINTS = 4096


def wavelength_A(voltage_kV: float) -> float:
    """Return the relativistic wavelength of electrons in Å."""
    volts = voltage_kV * 1000
    return float(12.2643 / np.sqrt(volts + 0.97848e-6 * volts**2))


def contrast_transfer(square: NDArray[np.floating], spec: ImagingSpec) -> NDArray[np.float32]:
    """Return the contrast transfer with its envelope at squared frequencies in 1/Å²."""
    envelope = np.exp(-0.25 * spec.b_factor_A2 * square)
    if spec.defocus_um is None:
        return np.asarray(envelope, np.float32)
    wavelength = wavelength_A(spec.voltage_kV)
    defocus = np.pi * wavelength * spec.defocus_um * 1e4 * square
    aberration = 0.5 * np.pi * spec.cs_mm * 1e7 * wavelength**3 * square**2
    transfer = np.sin(defocus - aberration + np.arcsin(spec.amplitude_contrast))
    if spec.phase_flipped:
        transfer = np.abs(transfer)
    return np.asarray(transfer * envelope, np.float32)


def membrane_gain(spec: ImagingSpec, voxel_A: float) -> float:
    """Return the factor by which contrast transfer is scaled, so that a flat membrane keeps its RMS contrast.

    The mean is left out of the contrast, and only frequencies that the voxels can hold count.
    """
    distance = np.arange(_REFERENCE_POINTS, dtype=np.float32) - _REFERENCE_POINTS // 2
    profile = bilayer_profile(distance, _REFERENCE_A, voxel_A / np.sqrt(12))
    frequency = np.fft.rfftfreq(_REFERENCE_POINTS, 1.0)
    power = np.abs(np.fft.rfft(profile)) ** 2 * ((frequency > 0) & (frequency <= 0.5 / voxel_A))
    kept = power * contrast_transfer(frequency**2, spec) ** 2
    return float(np.sqrt(power.sum() / kept.sum()))
