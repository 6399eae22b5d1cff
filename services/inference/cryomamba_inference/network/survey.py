"""Estimates from samples of a volume: how noisy it is, and how far the series was tilted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft

from cryomamba.volumes.metadata import VolumeWarning
from cryomamba_inference.network.contrast import BRIGHT, Contrast
from cryomamba_inference.network.wedge import NO_WEDGE, estimate_tilt
from cryomamba_inference.volume_preparation.grid import Field

_RING = (0.6, 0.85)  # of the highest frequency: where there is little but noise
_SMOOTH = 0.15
"""Noise below which a volume counts as denoised: phantoms have more, and less after a Gaussian of one voxel."""
_PADDED = 0.05  # share of a volume from which padding is worth a word


@dataclass(frozen=True, slots=True)
class Survey:
    """Estimates from samples of a volume.

    Attributes
    ----------
    noise : float
        Deviation of the noise as a share of that of the densities, to 1; 0 if there was nothing to measure.
    tilt_range_deg : float
        Maximum tilt angle about y; 90 if no missing wedge was found.
    padding : float
        Share of the volume that is constant.
    """

    noise: float
    tilt_range_deg: float
    padding: float

    def warnings(self, contrast: Contrast, *, decided: bool) -> Iterator[VolumeWarning]:
        """Yield what people should know of the volume; `decided` if nobody gave the contrast."""
        if decided and contrast.sign == BRIGHT:
            yield VolumeWarning(
                code="looks_inverted",
                message="The contrast looks inverted: features were taken as bright, unlike those of raw tomograms.",
                hint="If they are dark in your viewer, set contrast=dark.",
            )
        if 0 < self.noise < _SMOOTH:
            yield VolumeWarning(
                code="looks_denoised",
                message="The tomogram is very smooth; it looks denoised or low-pass filtered.",
                hint="Compare the mask with the tomogram. Where membranes are missing, segment the tomogram before "
                "denoising as well.",
            )
        if self.padding > _PADDED:
            yield VolumeWarning(
                code="looks_padded",
                message=f"{self.padding:.0%} of the tomogram is constant. This was taken as padding and left out.",
                hint="If this part should contain densities, check how the tomogram was reconstructed.",
            )


def survey(samples: Sequence[Field], highest: float, padding: float) -> Survey:
    """Return the estimates.

    Parameters
    ----------
    samples : sequence of arrays of shape (z, y, x), float32
        Densities on the working grid.
    highest : float
        Highest frequency in the volume, in 1 / node.
    padding : float
        Share of the volume that is constant.
    """
    usable = [field for field in samples if field.any()]
    return Survey(noise_share(usable, highest), estimate_tilt(usable) if usable else NO_WEDGE, padding)


def noise_share(samples: Sequence[Field], highest: float) -> float:
    """Return the deviation of the noise relative to that of all densities, 1 if they are nothing but white noise.

    The power of the noise is that of the finest details within planes, which a tilt series measures in all directions.
    """
    fine, whole = 0.0, 0.0
    for field in samples:
        power, radius = _plane_power(field)
        ring = power[(radius >= _RING[0] * highest) & (radius < _RING[1] * highest)]
        disc = power[(radius > 0) & (radius < _RING[1] * highest)]
        if ring.size and disc.size:
            fine += float(ring.mean())
            whole += float(disc.mean())
    return float(np.sqrt(min(fine / whole, 1.0))) if whole > 0 else 0.0


def _plane_power(field: Field) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Return the power spectrum within planes, averaged over them, and the frequency of each of its points."""
    windows = [np.hanning(size + 2)[1:-1].astype(np.float32) for size in field.shape[1:]]
    tapered = (field - field.mean(axis=(1, 2), keepdims=True)) * windows[0][:, None] * windows[1]
    power = (np.abs(scipy.fft.rfft2(tapered)) ** 2).mean(axis=0)
    radius = np.hypot(scipy.fft.fftfreq(field.shape[1])[:, None], scipy.fft.rfftfreq(field.shape[2]))
    return power, radius
