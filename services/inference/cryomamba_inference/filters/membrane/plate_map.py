"""The plate filter response on the nodes of a whole volume, and the finer grid for density profiles."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cryomamba_inference.filters.common.grid import ALL_BORDERS, Borders, CoarseGrid, Corner, spans
from cryomamba_inference.filters.common.node_map import NodeMap

if TYPE_CHECKING:
    from cryomamba_inference.filters.membrane.model import MembraneModel

Field = npt.NDArray[np.float32]
Directions = npt.NDArray[np.uint8]
BOX_NODES = 100  # side of a box that is filtered at a time


@dataclass(frozen=True, slots=True)
class PlateBox:
    """Filter responses and densities of a box of nodes.

    Attributes
    ----------
    response : array of shape (z, y, x), float32
        Strongest response.
    direction : array of shape (z, y, x), uint8
        Index of its orientation.
    first : tuple of int
        First node of the box.
    borders : three pairs of bool
        Sides that are borders of the volume, or to be treated as such.
    density : array of shape (z, y, x), float32
        Densities of the whole volume on the finer grid.
    density_step_A : float
        Distance between its nodes in Å.
    """

    response: Field
    direction: Directions
    first: Corner
    borders: Borders
    density: Field
    density_step_A: float


@dataclass(frozen=True, slots=True)
class PlateMap:
    """Response (float32) and orientation (uint8) on the nodes of a volume, and densities (float32) on a finer grid."""

    response: NodeMap
    direction: NodeMap
    density: NodeMap
    density_step_A: float

    @classmethod
    def empty(cls, grid: CoarseGrid, fine: CoarseGrid, folder: Path | None) -> PlateMap:
        """Create the arrays in a directory."""
        shape = grid.node_shape
        maps = NodeMap(shape, folder), NodeMap(shape, folder, np.uint8), NodeMap(fine.node_shape, folder)
        return cls(*maps, fine.step_A)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the grid."""
        return self.response.array.shape

    def box(self, where: Sequence[slice], borders: Borders = ALL_BORDERS) -> PlateBox:
        """Return a box of nodes."""
        z, y, x = (side.start for side in where)
        inside = tuple(where)
        response, direction = np.asarray(self.response.array[inside]), np.asarray(self.direction.array[inside])
        return PlateBox(response, direction, (z, y, x), borders, self.density.array, self.density_step_A)


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
