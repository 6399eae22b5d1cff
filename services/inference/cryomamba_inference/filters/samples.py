"""Places of a volume of nodes at which an engine learns levels and noise."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cryomamba_inference.filters.blobs import Borders, borders_of
from cryomamba_inference.filters.grid import Corner

Field = npt.NDArray[np.float32]
_SIDE = 64
_WHOLE = 8 * _SIDE**3


def sample_boxes(shape: Corner) -> list[tuple[Corner, Corner]]:
    """Return first and one-past-last node of boxes: all of a small volume, else eight places spread over it."""
    if np.prod(shape) <= _WHOLE:
        return [((0, 0, 0), shape)]
    places = []
    for size in shape:
        side = min(size, _SIDE)
        places.append([(first, first + side) for first in sorted({(size - side) // 4, 3 * (size - side) // 4})])
    return [((z[0], y[0], x[0]), (z[1], y[1], x[1])) for z, y, x in itertools.product(*places)]


@dataclass(frozen=True, slots=True)
class Sample:
    """A box of nodes: densities, its first node, and which of its sides are borders of the volume."""

    field: Field
    first: Corner
    borders: Borders


def samples(nodes: Field) -> list[Sample]:
    """Return copies of the sample boxes of a volume of nodes, which may be a memory map."""
    shape: Corner = (nodes.shape[0], nodes.shape[1], nodes.shape[2])
    return [
        Sample(np.array(nodes[a[0] : b[0], a[1] : b[1], a[2] : b[2]]), a, borders_of(a, b, shape))
        for a, b in sample_boxes(shape)
    ]
