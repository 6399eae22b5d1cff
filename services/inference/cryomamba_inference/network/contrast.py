"""Decides whether dense matter is dark or bright, by what the network recognizes in samples of either sign."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cryomamba.engines.api import Slices
from cryomamba.geometry import Shape
from cryomamba_inference.network.grid import Field
from cryomamba_inference.network.model import Structure, probabilities

Inputs = tuple[Field, Field]
"""Normalized densities, and the plate maps at half the resolution."""
DARK, BRIGHT = -1, 1
SAMPLE_SIDE = 48  # nodes
_WHOLE_NODES = 8 * SAMPLE_SIDE**3  # up to which the whole volume is the sample
_SURE = 0.5  # probability from which a node counts as recognized
_FLOOR = 2e-4  # share of nodes that is recognized in noise
_OVERWHELMING = 3.0  # how many times as much must be recognized in bright as in dark


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
    def margin(self) -> float:
        """Return how many times as much is recognized in the chosen sign as in the other."""
        chosen, other = (self.dark, self.bright) if self.sign == DARK else (self.bright, self.dark)
        return (chosen + _FLOOR) / (other + _FLOOR)


def decide_contrast(view: Callable[[int, Slices], Inputs], shape: Shape) -> Contrast:
    """Return the contrast of a volume: dark, as in raw tomograms, unless the evidence for bright is overwhelming.

    Parameters
    ----------
    view : callable
        Returns what the network sees of a box of nodes, given the sign of dense matter.
    shape : tuple of int
        Nodes of the volume.
    """
    boxes = sample_boxes(shape)
    dark, bright = (_recognized([view(sign, box) for box in boxes]) for sign in (DARK, BRIGHT))
    sign = BRIGHT if bright + _FLOOR > _OVERWHELMING * (dark + _FLOOR) else DARK
    return Contrast(sign, dark, bright)


def sample_boxes(shape: Shape) -> list[Slices]:
    """Return boxes of nodes: the whole of a small volume, else eight spread over it."""
    if np.prod(shape) <= _WHOLE_NODES:
        return [(slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2]))]
    ranges = []
    for size in shape:
        side = min(size, SAMPLE_SIDE)
        starts = sorted({(size - side) // 8 * 2, 3 * (size - side) // 8 * 2})
        ranges.append([slice(at, at + side) for at in starts])
    return list(itertools.product(*ranges))


def _recognized(samples: list[Inputs]) -> float:
    found = total = 0
    for field, maps in samples:
        background = probabilities(field, maps, Structure.BACKGROUND)
        found += int((background < 1 - _SURE).sum())
        total += background.size
    return found / total
