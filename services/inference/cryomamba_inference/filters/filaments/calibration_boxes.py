"""Boxes of a volume from which an engine estimates density levels and noise."""

from __future__ import annotations

import itertools

import numpy as np

from cryomamba.geometry import Shape

_SIDE = 64  # nodes
_WHOLE_NODES = 8 * _SIDE**3


def calibration_boxes(shape: Shape) -> list[tuple[Shape, Shape]]:
    """Return first and one-past-last node of boxes: the whole of a small volume, else eight boxes spread over it."""
    if np.prod(shape) <= _WHOLE_NODES:
        return [((0, 0, 0), shape)]
    ranges = []
    for size in shape:
        side = min(size, _SIDE)
        ranges.append([(first, first + side) for first in sorted({(size - side) // 4, 3 * (size - side) // 4})])
    return [((z[0], y[0], x[0]), (z[1], y[1], x[1])) for z, y, x in itertools.product(*ranges)]
