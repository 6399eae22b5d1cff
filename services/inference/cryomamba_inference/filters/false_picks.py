"""Where to cut between picks and what merely looks like one, seen from the scores alone. Pure.

Particles of one size have about one height; of what else is there, the more the lower. So the heights are taken for a
mixture of a bump and a tail (fitted by expectation maximisation: Dempster, Laird and Rubin, 1977), which says of each
peak how likely it is a particle, and so at which height F1 can be expected to be best. Noise alone has such a mixture,
too, but it has peaks of either sign: those of the sign that the particles do not have are decoys, whose number above a
height tells how many of the peaks there are false (target and decoy, as in Elias and Gygi, 2007; the count plus one is
Barber and Candès', 2015).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_FALSE_SHARE = 0.4
_GAP = 1.3
_LEAST = 4.5
_TAIL_FROM = 2.5
_FEWEST = 4
_BIN = 0.01
_ROUNDS = 60
_STARTS = (0.5, 0.7, 0.85, 0.95)
_WIDTHS = (0.08, 0.25)
_STEEPEST = 20.0
_EASED = 0.85


def find_height(peaks: Floats, decoys: Floats) -> float:
    """Return the height in deviations from which on a peak is believed.

    Parameters
    ----------
    peaks, decoys : arrays of shape (n,)
        Heights of peaks with the particles' sign, and with the other.
    """
    peaks, decoys = np.sort(peaks), np.sort(decoys)
    far = max(_GAP * float(decoys[-1]), _LEAST) if decoys.size else _LEAST
    tried = np.unique(peaks[peaks >= _bump_from(peaks)])
    above = peaks.size - np.searchsorted(peaks, tried)
    false = decoys.size - np.searchsorted(decoys, tried)
    good = tried[(1 + false) <= _FALSE_SHARE * above]
    return float(good[0]) if good.size else far


def _bump_from(peaks: Floats) -> float:
    """Return the height at which the bump of the particles begins, whether or not it is one."""
    peaks = peaks[peaks > _TAIL_FROM]
    if peaks.size < _FEWEST:
        return _LEAST
    # A million peaks say no more than how many there are in each hundredth of their height.
    count, edges = np.histogram(np.log(peaks / _TAIL_FROM), np.arange(0, np.log(peaks[-1] / _TAIL_FROM) + _BIN, _BIN))
    heights = _TAIL_FROM * np.exp(0.5 * (edges[1:] + edges[:-1]))[count > 0]
    weights = count[count > 0].astype(np.float64)
    bumps = [_fit(heights, weights, start) for start in _STARTS]
    bump = max(bumps, key=lambda one: one.likelihood)
    # Particles that a face cuts, or whose neighbours fill the shell, are lower than a bump of the others allows.
    return _EASED * _best_cut(heights, weights, bump)


@dataclass(frozen=True, slots=True)
class _Bump:
    """A fit: the height in the bump's middle, how likely each height belongs to it, and the fit's log likelihood."""

    middle: float
    belongs: Floats
    likelihood: float


def _fit(heights: Floats, weights: Floats, start: float) -> _Bump:
    """Fit a lognormal bump on an exponential tail, from a bump at a quantile of the heights."""
    logs, above, total = np.log(heights), heights - _TAIL_FROM, weights.sum()
    order = np.cumsum(weights) / total
    middle, width, share = float(logs[np.searchsorted(order, start)]), 0.15, 0.3
    low = order <= 0.7
    steep = float(weights[low].sum() / max(float((weights * above)[low].sum()), 1e-6))
    belongs, both = np.zeros_like(heights), np.ones_like(heights)
    for _ in range(_ROUNDS):
        bump = share * np.exp(-0.5 * ((logs - middle) / width) ** 2) / (width * np.sqrt(2 * np.pi) * heights)
        both = bump + (1 - share) * steep * np.exp(-steep * above) + 1e-300
        belongs = bump / both
        mine, others = weights * belongs, weights * (1 - belongs)
        if mine.sum() < 1e-6:
            break
        share = float(np.clip(mine.sum() / total, 1e-4, 0.999))
        middle = float((mine * logs).sum() / mine.sum())
        width = float(np.clip(np.sqrt((mine * (logs - middle) ** 2).sum() / mine.sum()), *_WIDTHS))
        steep = min(float(others.sum() / max((others * above).sum(), 1e-6)), _STEEPEST)
    return _Bump(float(np.exp(middle)), belongs, float((weights * np.log(both)).sum()))


def _best_cut(heights: Floats, weights: Floats, bump: _Bump) -> float:
    """Return the height above which the expected F1 is best; what is higher than the bump is no worse than it."""
    likely = np.where(heights > bump.middle, np.maximum(bump.belongs, 0.5), bump.belongs)
    right = np.cumsum((weights * likely)[::-1])
    quality = 2 * right / (np.cumsum(weights[::-1]) + right[-1])
    return float(heights[::-1][quality.argmax()])
