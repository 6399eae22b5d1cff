"""Where to cut between picks and what merely looks like one, seen from the scores alone. Pure.

Particles of one size have about one height; of what else is there, the more the lower. So the heights are taken for a
mixture of a bump and a tail (fitted by maximum likelihood), which says of each peak how likely it is a particle, and so
at which height F1 can be expected to be best. A volume without particles has no bump: it is only believed if it makes
the heights much more likely, stands above the tail and apart from it; else nothing but the tail's few highest is left.
Noise alone has peaks of either sign: those of the sign that the particles do not have are decoys, whose number above a
height tells how many of the peaks there are false (target and decoy, as in Elias and Gygi, 2007; the count plus one is
Barber and Candès', 2015).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

Floats = npt.NDArray[np.float64]

_FALSE_SHARE = 0.4
_GAP = 1.3
_LEAST = 4.5
_TAIL_FROM = 2.5
_FEWEST = 4
_BIN = 0.01
_ROOM = 1.2
_STARTS = (0.3, 0.5, 0.7, 0.85, 0.95, 0.985)
_NEAR = 0.4
_WIDTHS = (0.08, 0.25)
_LOWER_SHARE, _LOWER_FROM = 0.25, 0.4
_GAIN = 8.0
_VALLEY = 0.8
_TOP = 0.07
_NEVER = 1e-300


def find_height(peaks: Floats, decoys: Floats) -> float:
    """Return the height in deviations from which on a peak is believed.

    Parameters
    ----------
    peaks, decoys : arrays of shape (n,)
        Heights of peaks with the particles' sign, and with the other.
    """
    peaks, decoys = np.sort(peaks), np.sort(decoys)
    far = max(_GAP * float(decoys[-1]), _LEAST) if decoys.size else _LEAST
    tried = np.unique(peaks[peaks >= _particles_from(peaks)])
    above = peaks.size - np.searchsorted(peaks, tried)
    false = decoys.size - np.searchsorted(decoys, tried)
    good = tried[(1 + false) <= _FALSE_SHARE * above]
    return float(good[0]) if good.size else far


def _particles_from(peaks: Floats) -> float:
    """Return the height at which the bump of the particles begins; without one, that of the tail's highest."""
    peaks = peaks[peaks > _TAIL_FROM]
    if peaks.size < _FEWEST:
        return _LEAST
    counted = _Counted.of(peaks)
    alone = counted.fit_tail()
    bumps = [found for start in _STARTS if (found := counted.fit_bump(start)).stands_out]
    best = max(bumps, key=lambda one: one.likelihood, default=None)
    if best is None or best.likelihood < alone.likelihood + _GAIN or best.valley > _VALLEY:
        return float(counted.below[np.searchsorted(np.cumsum(alone.tail), 1 - _TOP)])
    return counted.best_cut(best)


@dataclass(frozen=True, slots=True)
class _Mixture:
    """A fit: which part of all peaks each height has as tail and as bump, the bump's middle, the log likelihood."""

    heights: Floats
    tail: Floats
    bump: Floats
    middle: float
    likelihood: float

    @property
    def stands_out(self) -> bool:
        """Whether the bump lies above the tail and is not its lower part."""
        return float((self.tail * self.heights).sum() / self.tail.sum()) < self.middle

    @property
    def valley(self) -> float:
        """How far heights thin out below the bump: 0 if there are none between, 1 if there is no valley."""
        both = self.tail + self.bump
        at = int(np.abs(self.heights - self.middle).argmin())
        return float(both[: at + 1].min() / both[at])


@dataclass(frozen=True, slots=True)
class _Counted:
    """Peaks counted by height: a million say no more than how many there are in each hundredth of their height.

    Attributes
    ----------
    below, heights : arrays of shape (n,)
        Where each bin begins, and its middle.
    counts : array of shape (n,)
    """

    below: Floats
    heights: Floats
    counts: Floats

    @classmethod
    def of(cls, peaks: Floats) -> _Counted:
        """Count sorted peaks, with empty bins above the highest."""
        edges = np.arange(0, np.log(_ROOM * peaks[-1] / _TAIL_FROM) + _BIN, _BIN)
        counts, _ = np.histogram(np.log(peaks / _TAIL_FROM), edges)
        middles = 0.5 * (edges[1:] + edges[:-1])
        return cls(_TAIL_FROM * np.exp(edges[:-1]), _TAIL_FROM * np.exp(middles), counts.astype(np.float64))

    def fit_tail(self) -> _Mixture:
        """Fit a tail without a bump."""
        found = [self._fitted(start, [(-6.0, 4.0)] * 2) for start in ([0.0, -4.0], [-2.0, 0.0])]
        return max(found, key=lambda one: one.likelihood)

    def fit_bump(self, start: float) -> _Mixture:
        """Fit a tail and a bump, from a bump of those above a quantile of the peaks."""
        half = 0.5 * (1 + start) * self.counts.sum()
        middle = float(np.log(self.heights[np.searchsorted(np.cumsum(self.counts), half)]))
        share = float(np.log((1 - start) / start))
        widths = (float(np.log(_WIDTHS[0])), float(np.log(_WIDTHS[1])))
        # Elsewhere is for another start: the lower part of a tail of many would draw every bump to it.
        bounds = [(-6.0, 4.0), (-6.0, 4.0), (-6.0, 6.0), (middle - _NEAR, middle + _NEAR), widths]
        return self._fitted([0.0, -4.0, share, middle, float(np.log(0.15))], bounds)

    def _fitted(self, start: list[float], bounds: list[tuple[float, float]]) -> _Mixture:
        def unlikely(values: Floats) -> float:
            tail, bump = self._mixed(values)
            return -float((self.counts * np.log(tail + bump + _NEVER)).sum())

        found = minimize(unlikely, start, method="L-BFGS-B", bounds=bounds)
        tail, bump = self._mixed(found.x)
        middle = float(np.exp(found.x[3])) if len(found.x) > 2 else 0.0
        return _Mixture(self.heights, tail, bump, middle, -float(found.fun))

    def _mixed(self, values: Floats) -> tuple[Floats, Floats]:
        """Return which part of all peaks each bin has as tail and as bump."""
        tail = self._tail(*np.exp(values[:2]))
        if len(values) == 2:
            return tail, np.zeros_like(tail)
        share = 1 / (1 + np.exp(-values[2]))
        return (1 - share) * tail, share * self._bump(values[3], np.exp(values[4]))

    def _tail(self, steep: float, bend: float) -> Floats:
        """Return a tail that falls at least as an exponential does; clutter of many sizes falls ever more steeply."""
        third = self.heights[np.searchsorted(np.cumsum(self.counts), 0.3 * self.counts.sum())]
        above = (self.heights - _TAIL_FROM) / max(2.8 * (third - _TAIL_FROM), 1e-3)
        falls = steep * above + bend * above**2
        # Bins are as wide as they are high.
        tail = np.exp(falls.min() - falls) * self.heights
        return np.asarray(tail / tail.sum())

    def _bump(self, middle: float, width: float) -> Floats:
        """Return a lognormal bump, and below it those that a face cuts or whose neighbours fill the shell."""
        bump = np.exp(-0.5 * ((np.log(self.heights) - middle) / width) ** 2)
        highest = np.exp(middle)
        lower = self.heights * ((self.heights <= highest) & (self.heights >= _LOWER_FROM * highest))
        return np.asarray((1 - _LOWER_SHARE) * bump / bump.sum() + _LOWER_SHARE * lower / max(lower.sum(), _NEVER))

    def best_cut(self, found: _Mixture) -> float:
        """Return the height above which the expected F1 is best; what is higher than the bump is no worse than it."""
        belongs = found.bump / (found.bump + found.tail + _NEVER)
        likely = np.where(self.heights > found.middle, np.maximum(belongs, 0.5), belongs)
        right = np.cumsum((self.counts * likely)[::-1])
        quality = 2 * right / (np.cumsum(self.counts[::-1]) + right[-1])
        return float(self.below[::-1][quality.argmax()])
