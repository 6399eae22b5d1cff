"""Estimates the tilt range of a tilt series from the missing wedge in the power spectrum."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy import ndimage

Field = npt.NDArray[np.float32]
NO_WEDGE = 90.0
# Frequency bands: lower and upper limit in 1 / node, and the maximum ratio of the power in the wedge to that outside.
_BANDS = ((0.2, 0.4, 0.35), (0.06, 0.2, 0.1))
_BIN_DEG = 3.0
_MIN_TILT_DEG = 36.0  # smaller tilt ranges are not detected
_FILLED_SHARE = 0.1  # of the difference in power, above which an angle counts as measured
_PLATEAU = 5  # bins before the edge, for the power just before it falls


def estimate_tilt(blocks: Sequence[Field]) -> float:
    """Return the maximum tilt angle in degrees about y; 90 if there is no missing wedge.

    The power spectra of the blocks are averaged over the angle of (kz, kx) to the kx axis, in a band of high and one
    of lower frequencies. A missing wedge appears as a drop of the power beyond some angle.

    Parameters
    ----------
    blocks : sequence of arrays of shape (z, y, x), float32
        Densities on an isotropic grid.
    """
    for low, high, ratio in _BANDS:
        profile = _angular_power(blocks, (low, high))
        inside, outside = float(np.median(profile[: int(_MIN_TILT_DEG / _BIN_DEG)])), float(np.median(profile[-3:]))
        if inside > 0 and outside <= ratio * inside:
            return _wedge_edge(profile, inside, outside)
    return NO_WEDGE


def _wedge_edge(profile: npt.NDArray[np.float64], inside: float, outside: float) -> float:
    """Return the angle at which the power has dropped halfway to `outside`, from its level just before the drop.

    The search starts in the wedge, because strong features make the power vary in the measured part too.
    """
    filled = int(np.flatnonzero(profile > outside + _FILLED_SHARE * (inside - outside))[-1])
    half = 0.5 * (outside + float(np.median(profile[max(filled - _PLATEAU, 0) : filled])))
    last = int(np.flatnonzero(profile[: filled + 1] >= half)[-1])
    if last + 1 == len(profile):  # strong features along z: no drop is left
        return NO_WEDGE
    before, after = profile[last], profile[last + 1]
    angle = float(_BIN_DEG * (last + 0.5 + (before - half) / (before - after)))
    return angle if angle >= _MIN_TILT_DEG else NO_WEDGE


def _angular_power(blocks: Sequence[Field], band: tuple[float, float]) -> npt.NDArray[np.float64]:
    bins = int(90 / _BIN_DEG)
    total, count = np.zeros(bins), np.zeros(bins)
    for block in blocks:
        field = block - block.mean(dtype=np.float64).astype(np.float32)
        for axis, size in enumerate(field.shape):
            field = field * np.hanning(size + 2)[1:-1].astype(np.float32).reshape(
                [-1 if a == axis else 1 for a in range(3)]
            )
        power = np.abs(scipy.fft.rfftn(field)) ** 2
        kz = np.abs(scipy.fft.fftfreq(field.shape[0]))[:, None, None]
        ky = scipy.fft.fftfreq(field.shape[1])[None, :, None]
        kx = scipy.fft.rfftfreq(field.shape[2])[None, None, :]
        radius = np.sqrt(kz**2 + ky**2 + kx**2)
        used = (radius > band[0]) & (radius < band[1]) & (np.hypot(kz, kx) > 0.7 * radius)
        angle = np.broadcast_to(np.degrees(np.arctan2(kz, kx)) / _BIN_DEG, used.shape)[used].astype(np.int64)
        angle = np.minimum(angle, bins - 1)
        total += np.bincount(angle, power[used], bins)
        count += np.bincount(angle, minlength=bins)
    # In a small volume some bins are empty.
    nonempty = np.flatnonzero(count)
    if not nonempty.size:
        return np.zeros(bins)
    profile = np.interp(np.arange(bins), nonempty, total[nonempty] / count[nonempty])
    return ndimage.median_filter(profile, 3, mode="nearest")
