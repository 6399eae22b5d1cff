"""Applying the plate filters to the nodes of a whole volume, box by box."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product

import numpy as np

from cryomamba_inference.filters.common.grid import spans
from cryomamba_inference.filters.membrane.model import MembraneModel
from cryomamba_inference.filters.membrane.plate_map import Field, PlateMap

BOX_NODES = 100  # side of a box that is filtered at a time


def plate_tasks(model: MembraneModel, nodes: Field, plates: PlateMap) -> list[Callable[[], None]]:
    """Return tasks that compute responses and orientations from the densities of the whole volume, box by box."""
    ranges = [spans(size, BOX_NODES) for size in nodes.shape]
    if math.prod(map(len, ranges)) == 1 and len(nodes) > 4 * model.bank.reach:
        # Two boxes use two threads at little extra cost.
        ranges[0] = spans(len(nodes), -(-len(nodes) // 2))

    def respond(box: tuple[tuple[int, int], ...]) -> None:
        reach = model.bank.reach
        padded = [(max(a - reach, 0), min(b + reach, n)) for (a, b), n in zip(box, nodes.shape, strict=True)]
        z, y, x = ((a == 0, b == n) for (a, b), n in zip(box, nodes.shape, strict=True))
        # Beyond a border of the volume the field is reflected; beyond the box it is read.
        density = model.clean(np.asarray(nodes[_slices(padded)]), (padded[0][0], padded[1][0], padded[2][0]))
        found = model.bank.strongest(density, (z, y, x))
        # The response is `reach` shorter than the data, except at borders.
        starts = [w if first else w + reach for (w, _), (first, _) in zip(padded, (z, y, x), strict=True)]
        inner = tuple(slice(a - start, b - start) for (a, b), start in zip(box, starts, strict=True))
        plates.response.array[_slices(box)] = found[0][inner]
        plates.direction.array[_slices(box)] = found[1][inner]

    return [partial(respond, box) for box in product(*ranges)]


def _slices(box: Sequence[tuple[int, int]]) -> tuple[slice, ...]:
    return tuple(slice(first, last) for first, last in box)
