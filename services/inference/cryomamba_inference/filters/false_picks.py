"""Where to cut between picks and what merely looks like one, seen from the scores alone. Pure.

Noise, and the fringes that a missing wedge leaves, have peaks of either sign: those of the sign that the particles do
not have are decoys, whose number at a height tells how many of the peaks there are false (target and decoy, as in
Elias and Gygi, 2007; the count plus one is Barber and Candès', 2015). Clutter has the right sign; above what the decoys
allow, Otsu's threshold (1979) on the logarithm of the heights looks for a gap between clutter and particles.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_FALSE_SHARE = 0.1
_GAP = 1.3
_LEAST = 4.5
_TRIED_FROM = 3.5
_CLUTTER_FROM = 0.9
_CLUTTER_LEAST = 4.3
_APART = 0.7
_TRUST = 0.7


def find_height(peaks: Floats, decoys: Floats) -> float:
    """Return the height in deviations from which on a peak is believed.

    Parameters
    ----------
    peaks, decoys : arrays of shape (n,)
        Heights of peaks with the particles' sign, and with the other.
    """
    believed = _without_decoys(np.sort(peaks), np.sort(decoys))
    strong = np.log(np.sort(peaks[peaks > max(_CLUTTER_FROM * believed, _CLUTTER_LEAST)]))
    if strong.size < 2:
        return believed
    gap, apart = otsu(strong)
    return max(believed, believed + _TRUST * (float(np.exp(gap)) - believed)) if apart > _APART else believed


def _without_decoys(peaks: Floats, decoys: Floats) -> float:
    """Return the least height above which so few are decoys, or one that no decoy comes near."""
    tried = np.unique(peaks[peaks > _TRIED_FROM])
    above = peaks.size - np.searchsorted(peaks, tried)
    false = decoys.size - np.searchsorted(decoys, tried)
    good = tried[(1 + false) <= _FALSE_SHARE * above]
    far = max(_GAP * float(decoys[-1]), _LEAST) if decoys.size else _LEAST
    return min(float(good[0]), far) if good.size else far


def otsu(ascending: Floats) -> tuple[float, float]:
    """Return the middle of the gap that splits values into the two most different groups, and how different they are.

    The second number is their share of the variance: 1 for two values, 0.75 for a single even spread.
    """
    count = ascending.size
    sums = np.cumsum(ascending)
    below = np.arange(1, count)
    apart = sums[:-1] / below - (sums[-1] - sums[:-1]) / (count - below)
    between = below * (count - below) * apart**2 / count**2
    at = int(between.argmax())
    spread = float(ascending.var())
    return float(ascending[at] + ascending[at + 1]) / 2, float(between[at]) / spread if spread > 0 else 0.0
