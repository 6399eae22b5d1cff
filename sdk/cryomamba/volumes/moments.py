"""Running count, minimum, maximum, mean and standard deviation of values that arrive in chunks. Pure."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_ROW = 4096
# Squares of smaller deviations underflow in 32 bits.
_SMALLEST_SPREAD = 1e-12
_ONES = np.ones(_ROW, np.float32)


class Moments:
    """Running minimum, maximum, mean and standard deviation.

    Each chunk is centred on the mean so far and summed in 32 bits over short rows, or in 64 bits where its values are
    so large or so close to each other that 32 bits do not hold the squares; rows and chunks are merged in 64 bits
    (Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979).
    That is as accurate as summing in 64 bits and as fast as ``numpy.sum``.

    Attributes
    ----------
    count : int
        Number of finite values.
    non_finite : int
        Number of NaN and infinite values, which are otherwise ignored.
    minimum, maximum, mean : float
        NaN before the first finite value.
    """

    def __init__(self) -> None:
        self.count = 0
        self.non_finite = 0
        self.minimum = math.nan
        self.maximum = math.nan
        self.mean = math.nan
        self._squares = 0.0
        self._scratch = np.empty(0, np.float32)

    @property
    def std(self) -> float:
        """Population standard deviation; NaN before the first finite value."""
        return math.sqrt(max(self._squares, 0.0) / self.count) if self.count else math.nan

    def add(self, values: NDArray[np.generic]) -> None:
        """Add a flat chunk of any real dtype."""
        if not values.size:
            return
        low, high = float(values.min()), float(values.max())
        if not math.isfinite(low + high) and not (math.isfinite(low) and math.isfinite(high)):
            kept = values[np.isfinite(values)]
            self.non_finite += values.size - kept.size
            if kept.size:
                self.add(kept)
            return
        centre = self.mean if self.count else float(values.mean(dtype=np.float64))
        total, squares = self._centred_sums(values, np.float32(centre))
        if not math.isfinite(squares) or 0 < high - low < _SMALLEST_SPREAD:
            wide = values.astype(np.float64) - centre
            total, squares = float(wide.sum()), float(np.vecdot(wide, wide))
        else:
            centre = float(np.float32(centre))
        self._merge(values.size, centre + total / values.size, squares - total * total / values.size)
        self.minimum = low if math.isnan(self.minimum) else min(self.minimum, low)
        self.maximum = high if math.isnan(self.maximum) else max(self.maximum, high)

    def _centred_sums(self, values: NDArray[np.generic], centre: np.float32) -> tuple[float, float]:
        if self._scratch.size < values.size:
            self._scratch = np.empty(values.size, np.float32)
        shifted = self._scratch[: values.size]
        with np.errstate(over="ignore", invalid="ignore"):
            np.subtract(values, centre, out=shifted, casting="unsafe")
            whole = values.size - values.size % _ROW
            rows, rest = shifted[:whole].reshape(-1, _ROW), shifted[whole:]
            # The dot product with ones is twice as fast as ``sum`` and, over short rows, as accurate.
            totals, squares = np.vecdot(rows, _ONES), np.vecdot(rows, rows)
            return (
                float(totals.sum(dtype=np.float64) + rest.sum()),
                float(squares.sum(dtype=np.float64) + np.vecdot(rest, rest)),
            )

    def _merge(self, count: int, mean: float, squares: float) -> None:
        if not self.count:
            self.count, self.mean, self._squares = count, mean, max(squares, 0.0)
            return
        total = self.count + count
        delta = mean - self.mean
        self._squares += max(squares, 0.0) + delta * delta * self.count * count / total
        self.mean += delta * count / total
        self.count = total
