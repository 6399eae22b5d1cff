"""Histogram thresholds by Otsu, Yen and Li. Pure."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

Method = Literal["otsu", "yen", "li"]

_BINS = 512
_LI_STEPS = 100

Floats = npt.NDArray[np.float64]


def find_threshold(sample: npt.NDArray[np.float32], method: Method) -> float:
    """Return a threshold; voxels at it or above are the upper class.

    Parameters
    ----------
    sample : ndarray of float32
        Flat; values beyond the 0.01 and 99.99 percentiles are clipped, so that outliers do not stretch the histogram.
    method : {'otsu', 'yen', 'li'}
        Otsu, "A threshold selection method from gray-level histograms" (1979): maximum between-class variance.
        Yen, Chang and Chang, "A new criterion for automatic multilevel thresholding" (1995): maximum correlation.
        Li and Tam, "An iterative algorithm for minimum cross entropy thresholding" (1998).

    Returns
    -------
    float
        For a constant sample a value above it, so that there are no features.
    """
    # In 64 bits, neighbouring 32-bit numbers are far enough apart for bins between them, and none is too large.
    wide = sample.astype(np.float64)
    low, high = (float(value) for value in np.percentile(wide, (0.01, 99.99)))
    if not high - low > _BINS * math.ulp(max(abs(low), abs(high))):
        with np.errstate(over="ignore"):
            return float(np.nextafter(np.float32(sample.max()), np.float32(np.inf)))
    counts, edges = np.histogram(np.clip(wide, low, high), _BINS, (low, high))
    share = counts / counts.sum()
    match method:
        case "otsu":
            return float(edges[_otsu(share) + 1])
        case "yen":
            return float(edges[_yen(share) + 1])
        case "li":
            return float(edges[0] + (_li(share) - 0.5) * (edges[1] - edges[0]))


def _otsu(share: Floats) -> int:
    bins = np.arange(share.size)
    below = np.cumsum(share)[:-1]
    moment = np.cumsum(share * bins)[:-1]
    total = float(np.sum(share * bins))
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (total * below - moment) ** 2 / (below * (1 - below))
    between[~np.isfinite(between)] = -1
    # Empty bins between two classes make a plateau, of which the middle is taken.
    best = np.flatnonzero(between >= between.max() * (1 - 1e-12))
    return int(best[best.size // 2])


def _yen(share: Floats) -> int:
    below = np.cumsum(share)[:-1]
    square_below = np.cumsum(share**2)[:-1]
    square_above = np.cumsum(share[::-1] ** 2)[::-1][1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        criterion = 2 * np.log(below * (1 - below)) - np.log(square_below * square_above)
    criterion[~np.isfinite(criterion)] = -np.inf
    return int(np.argmax(criterion))


def _li(share: Floats) -> float:
    """Return the threshold in bins, the centre of the first being 1, so that it does not depend on the scale."""
    values = np.arange(1.0, share.size + 1)
    threshold = float(np.sum(share * values))
    for _ in range(_LI_STEPS):
        upper = values >= threshold
        if not share[upper].any() or not share[~upper].any():
            break
        above = float(np.average(values[upper], weights=share[upper]))
        below = float(np.average(values[~upper], weights=share[~upper]))
        following = (above - below) / (np.log(above) - np.log(below))
        if abs(following - threshold) <= 1e-9 * abs(following):
            break
        threshold = float(following)
    return threshold
