"""Figures: what a benchmark measures, with its target and what it was compared with in the same run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure.

    Attributes
    ----------
    name : str
    value : float
    unit : str
        ``×`` for a ratio to the yardstick.
    target : float or None
    yardstick : str
        What the value was compared with in the same run; such figures depend least on the machine.
    at_least : bool
        Whether more is better.
    plot, series : str
        Where the figure is drawn, if at all, and to which line it belongs.
    x : float or None
        Its place along that line, such as the size of the volume.
    """

    name: str
    value: float
    unit: str
    target: float | None = None
    yardstick: str = ""
    at_least: bool = False
    plot: str = ""
    series: str = ""
    x: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None if there is none."""
        if self.target is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target

    @property
    def shown(self) -> str:
        return f"{number(self.value)} {self.unit}".rstrip()

    @property
    def target_shown(self) -> str:
        if self.target is None:
            return ""
        return f"{'at least' if self.at_least else 'at most'} {number(self.target)} {self.unit}".rstrip()

    @property
    def of_target(self) -> float | None:
        """The value as a share of its target; up to 1 the target is met."""
        if self.target is None or not self.target or not self.value:
            return None
        return self.target / self.value if self.at_least else self.value / self.target


def number(value: float) -> str:
    """Return a number with three significant digits, and without an exponent."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def row(figure: Figure) -> str:
    """Return a figure as a line of text."""
    verdict = {None: "", True: "met", False: "missed"}[figure.met]
    against = f"  against {figure.yardstick}" if figure.yardstick else ""
    target = figure.target_shown
    return f"{figure.name:<58}{figure.shown:>14}  {target:<20}{verdict:<7}{against}".rstrip()


def exponent(figures: Iterable[Figure]) -> float:
    """Return the slope of a line through the figures on logarithmic axes: 1 is proportional to x, 0 does not grow."""
    points = [(math.log(one.x), math.log(one.value)) for one in figures if one.x and one.value > 0]
    mean_x, mean_y = (sum(axis) / len(points) for axis in zip(*points, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return float(sum((x - mean_x) * (y - mean_y) for x, y in points) / spread)
