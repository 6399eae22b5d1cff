"""Decides whether dense matter is dark or bright."""

from __future__ import annotations

from dataclasses import dataclass

DARK, BRIGHT = -1, 1
_FLOOR = 5e-4  # share of nodes that may be recognized where nothing is
_OVERWHELMING = 2.0  # how many times as much must be recognized in bright as in dark


@dataclass(frozen=True, slots=True)
class Contrast:
    """The sign of the densities of dense matter, and what speaks for it.

    Attributes
    ----------
    sign : int
        −1 where dense matter is dark, 1 where it is bright.
    dark, bright : float
        Share of the sampled nodes that the network recognizes as something, taken as dark and as bright.
    """

    sign: int
    dark: float
    bright: float

    @property
    def certainty(self) -> float:
        """Return 1 if nothing is recognized in the other sign, and 0 if no more is recognized in the chosen one."""
        return max(0.0, 1 - 1 / self.margin)

    @property
    def margin(self) -> float:
        """Return how many times as much is recognized in the chosen sign as in the other."""
        chosen, other = (self.dark, self.bright) if self.sign == DARK else (self.bright, self.dark)
        return (chosen + _FLOOR) / (other + _FLOOR)


def decide(dark: float, bright: float) -> Contrast:
    """Return the contrast of a volume: dark, as in raw tomograms, unless the evidence for bright is overwhelming.

    Parameters
    ----------
    dark, bright : float
        Shares of the samples that are recognized, taken as dark and as bright.
    """
    return Contrast(BRIGHT if bright + _FLOOR > _OVERWHELMING * (dark + _FLOOR) else DARK, dark, bright)
