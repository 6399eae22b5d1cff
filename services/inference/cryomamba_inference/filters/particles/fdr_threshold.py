"""The pick threshold, from the peak heights alone: mixture model and target-decoy false discovery rate (FDR). Pure.

Particles of one size have similar heights; other objects are more numerous the lower they are. So the heights are
modelled as a mixture of a mode and a tail (expectation maximisation: Dempster, Laird and Rubin, 1977), which gives for
each peak the probability that it is a particle, and so the height with the best expected F1. A volume without particles
has no mode: one is only accepted if it increases the likelihood enough and is separate from the tail; otherwise only
the highest peaks of the tail remain. Noise has peaks of both signs: those of the opposite sign are decoys, whose number
above a height estimates the number of false peaks (target-decoy: Elias and Gygi, 2007; the count plus one: Barber and
Candès, 2015).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_MAX_FDR, _MAX_FDR_WITHOUT_MODE = 0.4, 0.15
_DECOY_MARGIN = 1.3  # threshold relative to the highest decoy, if no height has an acceptable FDR
# Heights are in standard deviations of the noise.
_MIN_HEIGHT = 4.5  # minimum of that threshold
_TAIL_FROM = 2.5  # lower peaks are not modelled
_MIN_PEAKS = 4  # for a fit
_BIN_WIDTH = 0.01  # of the logarithm of the height
_HEADROOM = 1.2  # histogram range relative to the highest peak
_START_QUANTILES = (0.3, 0.5, 0.7, 0.85, 0.95, 0.985)  # lower ends of the mode at which fits start
_ITERATIONS = 80
_MAX_STEEPNESS = 50.0
_MODE_WIDTHS = (0.08, 0.25)  # bounds of the standard deviation of the logarithm of the height
_LOWER_SHARE, _LOWER_FROM = 0.25, 0.4  # share of reduced heights in the mode, and their minimum relative to its centre
_MIN_LIKELIHOOD_GAIN = 8.0  # of the log likelihood, for a mode to be accepted
_MAX_VALLEY = 0.8  # density between tail and mode, relative to the mode
_TAIL_SHARE = 0.09  # of the tail that is kept without a mode
_TINY = 1e-300  # against division by zero


def find_threshold_height(peaks: Floats, decoys: Floats) -> float:
    """Return the threshold of the peak height in standard deviations of the noise.

    Parameters
    ----------
    peaks, decoys : arrays of shape (n,)
        Heights of peaks with the contrast of the particles, and with the opposite one.
    """
    peaks, decoys = np.sort(peaks), np.sort(decoys)
    fallback = max(_DECOY_MARGIN * float(decoys[-1]), _MIN_HEIGHT) if decoys.size else _MIN_HEIGHT
    start_height, share = _mode_start(peaks)
    tried = np.unique(peaks[peaks >= start_height])
    above = peaks.size - np.searchsorted(peaks, tried)
    false = decoys.size - np.searchsorted(decoys, tried)
    good = tried[(1 + false) <= share * above]
    return float(good[0]) if good.size else fallback


def _mode_start(peaks: Floats) -> tuple[float, float]:
    """Return the height at which the mode of the particles starts (or the top of the tail), and the maximum FDR."""
    peaks = peaks[peaks > _TAIL_FROM]
    if peaks.size < _MIN_PEAKS:
        return _MIN_HEIGHT, _MAX_FDR_WITHOUT_MODE
    counted = _Histogram.of(peaks)
    tail_only = counted.fit_tail()
    modes = [found for start in _START_QUANTILES if (found := counted.fit_mode(start)).stands_out]
    best = max(modes, key=lambda one: one.likelihood, default=None)
    if best is None or best.likelihood < tail_only.likelihood + _MIN_LIKELIHOOD_GAIN or best.valley > _MAX_VALLEY:
        return float(counted.below[np.searchsorted(np.cumsum(tail_only.tail), 1 - _TAIL_SHARE)]), _MAX_FDR_WITHOUT_MODE
    return counted.best_threshold(best), _MAX_FDR


@dataclass(frozen=True, slots=True)
class _Mixture:
    """A fit: the densities of tail and mode at each height, the centre of the mode, and the log likelihood."""

    heights: Floats
    tail: Floats
    mode: Floats
    middle: float
    likelihood: float

    @property
    def stands_out(self) -> bool:
        # If all peaks are particles, there is no tail.
        return float((self.tail * (self.heights - self.middle)).sum()) <= 0

    @property
    def valley(self) -> float:
        """Minimum density below the mode relative to the mode: 0 if separate, 1 if there is no valley."""
        both = self.tail + self.mode
        at = int(np.abs(self.heights - self.middle).argmin())
        return float(both[: at + 1].min() / max(both[at], _TINY))


@dataclass(frozen=True, slots=True)
class _Histogram:
    """A histogram of peak heights: lower edge and centre of each logarithmic bin, and the counts."""

    below: Floats
    heights: Floats
    counts: Floats

    @classmethod
    def of(cls, peaks: Floats) -> _Histogram:
        """Make a histogram of sorted peaks, with empty bins above the highest."""
        edges = np.arange(0, np.log(_HEADROOM * peaks[-1] / _TAIL_FROM) + _BIN_WIDTH, _BIN_WIDTH)
        counts, _ = np.histogram(np.log(peaks / _TAIL_FROM), edges)
        middles = 0.5 * (edges[1:] + edges[:-1])
        return cls(_TAIL_FROM * np.exp(edges[:-1]), _TAIL_FROM * np.exp(middles), counts.astype(np.float64))

    def fit_tail(self) -> _Mixture:
        tail = _Tail(self.heights)
        for _ in range(_ITERATIONS):
            tail.fit(self.counts)
        return self._fitted(tail.part, np.zeros_like(tail.part), 0.0)

    def fit_mode(self, start: float) -> _Mixture:
        """Fit tail and mode, starting with the peaks above a quantile as the mode."""
        logs, order = np.log(self.heights), np.cumsum(self.counts) / self.counts.sum()
        tail, share = _Tail(self.heights), 1 - start
        middle, width = float(logs[np.searchsorted(order, 0.5 * (1 + start))]), 0.15
        tail.fit(self.counts * (order <= start))
        for _ in range(_ITERATIONS):
            mode, lower = self._mode(middle, width)
            both = (1 - share) * tail.part + share * (mode + lower) + _TINY
            in_mode, in_tail = self.counts * share * mode / both, self.counts * (1 - share) * tail.part / both
            if not in_mode.sum() > _TINY or not in_tail.sum() > _TINY:
                break
            share = 1 - float(in_tail.sum() / self.counts.sum())
            middle = float((in_mode * logs).sum() / in_mode.sum())
            width = float(np.clip(np.sqrt((in_mode * (logs - middle) ** 2).sum() / in_mode.sum()), *_MODE_WIDTHS))
            tail.fit(in_tail)
        mode, lower = self._mode(middle, width)
        return self._fitted((1 - share) * tail.part, share * (mode + lower), float(np.exp(middle)))

    def _fitted(self, tail: Floats, mode: Floats, middle: float) -> _Mixture:
        likelihood = float((self.counts * np.log(tail + mode + _TINY)).sum())
        return _Mixture(self.heights, tail, mode, middle, likelihood)

    def _mode(self, middle: float, width: float) -> tuple[Floats, Floats]:
        """Return a lognormal mode, and below it particles cut by the border or with neighbours in their shell."""
        mode = np.exp(-0.5 * ((np.log(self.heights) - middle) / width) ** 2)
        highest = np.exp(middle)
        lower = self.heights * ((self.heights <= highest) & (self.heights >= _LOWER_FROM * highest))
        return (1 - _LOWER_SHARE) * mode / mode.sum(), _LOWER_SHARE * lower / max(float(lower.sum()), _TINY)

    def best_threshold(self, found: _Mixture) -> float:
        """Return the height with the best expected F1; peaks above the mode are at least as likely particles."""
        belongs = found.mode / (found.mode + found.tail + _TINY)
        likely = np.where(self.heights > found.middle, np.maximum(belongs, 0.5), belongs)
        right = np.cumsum((self.counts * likely)[::-1])
        quality = 2 * right / (np.cumsum(self.counts[::-1]) + right[-1])
        return float(self.below[::-1][quality.argmax()])


class _Tail:
    """A tail exp(−a h − b h²), a and b not negative; `part` is the probability of each bin."""

    def __init__(self, heights: Floats) -> None:
        above = heights - _TAIL_FROM
        self._heights, self._falls = heights, np.stack([above, above**2])
        self._steepness = np.array([1.0, 0.0])
        self.part = self._parts()

    def fit(self, counts: Floats) -> None:
        """Make a Newton step towards the maximum-likelihood parameters for the counts of peaks."""
        wanted = self._falls @ counts / counts.sum()
        there = self._falls @ self.part
        spread = (self._falls * self.part) @ self._falls.T - np.outer(there, there)
        step = np.linalg.solve(spread + _TINY * np.eye(2), there - wanted)
        steep, curvature = self._steepness + np.clip(step, -0.5, 0.5)
        if curvature < 0 or steep < 0:
            # With one parameter at its bound, only the other is fitted.
            one = 0 if curvature < 0 else 1
            moved = self._steepness[one] + np.clip((there - wanted)[one] / max(spread[one, one], _TINY), -0.5, 0.5)
            steep, curvature = (moved, 0.0) if one == 0 else (0.0, moved)
        self._steepness = np.clip([steep, curvature], 0, _MAX_STEEPNESS)
        self.part = self._parts()

    def _parts(self) -> Floats:
        falls = self._steepness @ self._falls
        # The width of a bin is proportional to its height.
        part = np.exp(falls.min() - falls) * self._heights
        return np.asarray(part / part.sum())
