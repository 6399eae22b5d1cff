"""Densities on a scale on which 32 bits are enough. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from cryomamba.volumes import Statistics

# Standard deviations between zero and the mean from which on the mean is subtracted before smoothing.
_FAR_MEAN: Final = 16.0
# Beyond these magnitudes, sums or squares of 32-bit numbers can overflow or underflow.
_LARGEST: Final = 1e12
_SMALLEST: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Scale:
    """How densities are shifted and scaled before they are filtered: not at all, unless their numbers require it.

    A small spread on a large offset would be lost in 32 bits as soon as neighbours are averaged, and numbers near the
    largest or smallest would overflow or underflow.

    Attributes
    ----------
    exponent : int
        Densities are divided by two to this power, which is exact.
    offset : float
        Then this is subtracted.
    """

    exponent: int = 0
    offset: float = 0.0

    @classmethod
    def of(cls, measured: Statistics | None) -> Self:
        """Return the scale for densities with these statistics."""
        if measured is None:
            return cls()
        largest = max(abs(measured.minimum), abs(measured.maximum))
        exponent = 0 if largest == 0 or _SMALLEST <= largest <= _LARGEST else math.frexp(largest)[1]
        far = abs(measured.mean) > _FAR_MEAN * measured.std
        return cls(exponent, float(np.float32(math.ldexp(measured.mean, -exponent))) if far else 0.0)

    def apply(self, data: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return densities on the scale; the same array if nothing has to be done."""
        if self.exponent:
            data = np.ldexp(data, np.int32(-self.exponent))
        return data - np.float32(self.offset) if self.offset else data

    def apply_to_number(self, value: float) -> float:
        """Return one density on the scale, rounded as the voxels are, so that comparisons stay true."""
        scaled = at_least(math.ldexp(value, -self.exponent))
        return float(scaled - np.float32(self.offset))

    def restore(self, value: float) -> float:
        """Return the density that a number on the scale stands for."""
        return math.ldexp(value + self.offset, self.exponent)


def at_least(value: float) -> np.float32:
    """Return the smallest 32-bit number that is not below `value`, so that comparing with it is exact."""
    with np.errstate(over="ignore"):
        rounded = np.float32(value)
        return np.nextafter(rounded, np.float32(np.inf)) if float(rounded) < value else rounded
