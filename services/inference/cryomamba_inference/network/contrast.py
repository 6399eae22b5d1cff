"""Decides whether dense matter is dark or bright, by what the network recognizes in samples of either sign."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from cryomamba.engines.api import Slices
from cryomamba.geometry import Shape
from cryomamba_inference.network.model import Structure, probabilities
from cryomamba_inference.volume_preparation.grid import Field
from cryomamba_inference.volume_preparation.region import NodesInside

Inputs = tuple[Field, Field]
"""Normalized densities, and the plate maps at half the resolution."""
DARK, BRIGHT = -1, 1
SAMPLE_SIDE = 48  # nodes
_BOXES = 8
_WHOLE_NODES = 8 * SAMPLE_SIDE**3  # up to which the whole volume is the sample
_SURE = 0.9  # probability from which a node counts as recognized
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


class ContrastDecision:
    """Decides on the contrast of a volume: dark, as in raw tomograms, unless the evidence for bright is overwhelming.

    Parameters
    ----------
    view : callable
        Returns what the network sees of a box of nodes, given the sign of dense matter.
    boxes : sequence of tuple of slice
        Samples of the volume.
    inside : callable or None
        Which nodes count; None for all.
    """

    def __init__(
        self, view: Callable[[int, Slices], Inputs], boxes: Sequence[Slices], inside: NodesInside | None = None
    ) -> None:
        self._view, self._boxes, self._inside = view, boxes, inside
        self._found = {DARK: [(0, 0)] * len(boxes), BRIGHT: [(0, 0)] * len(boxes)}

    def tasks(self) -> list[Callable[[], None]]:
        """Return independent tasks; the decision is that of all."""
        return [partial(self._recognize, sign, index) for index in range(len(self._boxes)) for sign in (DARK, BRIGHT)]

    def result(self) -> Contrast:
        """Return the decision."""
        dark, bright = (self._share(sign) for sign in (DARK, BRIGHT))
        sign = BRIGHT if bright + _FLOOR > _OVERWHELMING * (dark + _FLOOR) else DARK
        return Contrast(sign, dark, bright)

    def _recognize(self, sign: int, index: int) -> None:
        box = self._boxes[index]
        recognized = probabilities(*self._view(sign, box), Structure.BACKGROUND) < 1 - _SURE
        counted = recognized if self._inside is None else recognized[self._inside(box)]
        self._found[sign][index] = (int(np.count_nonzero(counted)), counted.size)

    def _share(self, sign: int) -> float:
        found, total = np.sum(self._found[sign], axis=0)
        return float(found / max(total, 1))


def sample_boxes(shape: Shape, inside: NodesInside | None = None) -> list[Slices]:
    """Return boxes of nodes: the whole of a small volume, else eight spread over it or over its region."""
    if np.prod(shape) <= _WHOLE_NODES:
        return [(slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2]))]
    if inside is not None:
        return _boxes_in_region(shape, inside)
    ranges = []
    for size in shape:
        side = min(size, SAMPLE_SIDE)
        starts = sorted({(size - side) // 8 * 2, 3 * (size - side) // 8 * 2})
        ranges.append([slice(at, at + side) for at in starts])
    return list(itertools.product(*ranges))


def _boxes_in_region(shape: Shape, inside: NodesInside) -> list[Slices]:
    """Return eight boxes, evenly spaced among those of a grid that have at least half as much inside as the best."""
    ranges = ([slice(start, min(start + SAMPLE_SIDE, size)) for start in range(0, size, SAMPLE_SIDE)] for size in shape)
    boxes = [(z, y, x) for z, y, x in itertools.product(*ranges)]
    filled = np.array([np.count_nonzero(inside(box)) for box in boxes])
    best = np.flatnonzero((2 * filled >= filled.max()) & (filled > 0))
    count = min(_BOXES, len(best))
    return [boxes[best[(2 * index + 1) * len(best) // (2 * count)]] for index in range(count)]
