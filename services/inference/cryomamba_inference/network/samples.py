"""Samples of a volume: boxes of nodes that stand for all of it."""

from __future__ import annotations

import itertools

import numpy as np

from cryomamba.engines.api import Slices
from cryomamba.geometry import Shape
from cryomamba_inference.volume_preparation.region import NodesInside

SAMPLE_SIDE = 48  # nodes
_BOXES = 8
SAMPLE_NODES = _BOXES * SAMPLE_SIDE**3
"""In all boxes; a volume of up to so many nodes is the sample as a whole."""


def sample_boxes(shape: Shape, inside: NodesInside | None = None) -> list[Slices]:
    """Return boxes of nodes: the whole of a small volume, else eight spread over it or over its region."""
    if np.prod(shape) <= SAMPLE_NODES:
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
