"""The plate bank's answer on the nodes of a whole volume, and the finer nodes that sections are cut from."""

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

from cryomamba_inference.filters.common.grid import CoarseGrid, Corner, spans
from cryomamba_inference.filters.common.node_map import NodeMap
from cryomamba_inference.filters.membrane.plates import ALL_BORDERS, Borders

if TYPE_CHECKING:
    from cryomamba_inference.filters.membrane.model import MembraneModel

Field = npt.NDArray[np.float32]
Directions = npt.NDArray[np.uint8]
BOX_NODES = 100


@dataclass(frozen=True, slots=True)
class PlateBox:
    """What is known of a box of nodes.

    Attributes
    ----------
    response : array of shape (z, y, x), float32
        The bank's strongest response.
    direction : array of shape (z, y, x), uint8
        Which of its directions that was.
    first : tuple of int
        The box's first node.
    borders : three pairs of bool
        Which sides are borders of the volume, or to be taken for them.
    density : array of shape (z, y, x), float32
        Densities of the whole volume on finer nodes.
    density_step_A : float
        Distance of those in Å.
    """

    response: Field
    direction: Directions
    first: Corner
    borders: Borders
    density: Field
    density_step_A: float


@dataclass(frozen=True, slots=True)
class PlateMap:
    """The bank's answer on all nodes (float32 and uint8), and densities (float32) on finer ones, of a volume."""

    response: NodeMap
    direction: NodeMap
    density: NodeMap
    density_step_A: float

    @classmethod
    def empty(cls, grid: CoarseGrid, fine: CoarseGrid, folder: Path | None) -> PlateMap:
        """Make the files, in a folder."""
        shape = grid.node_shape
        maps = NodeMap(shape, folder), NodeMap(shape, folder, np.uint8), NodeMap(fine.node_shape, folder)
        return cls(*maps, fine.step_A)

    @property
    def shape(self) -> tuple[int, ...]:
        """Nodes of the volume."""
        return self.response.array.shape

    def box(self, where: Sequence[slice], borders: Borders = ALL_BORDERS) -> PlateBox:
        """Return a box of nodes."""
        z, y, x = (side.start for side in where)
        inside = tuple(where)
        response, direction = np.asarray(self.response.array[inside]), np.asarray(self.direction.array[inside])
        return PlateBox(response, direction, (z, y, x), borders, self.density.array, self.density_step_A)


def plate_tasks(model: MembraneModel, nodes: Field, plates: PlateMap) -> list[Callable[[], None]]:
    """Return what fills responses and directions from the densities on the nodes of the whole volume, box by box."""
    ranges = [spans(size, BOX_NODES) for size in nodes.shape]
    if math.prod(map(len, ranges)) == 1 and len(nodes) > 4 * model.bank.reach:
        # One box keeps one thread busy; in two there is hardly more to do.
        ranges[0] = spans(len(nodes), -(-len(nodes) // 2))

    def respond(box: tuple[tuple[int, int], ...]) -> None:
        reach = model.bank.reach
        padded = [(max(a - reach, 0), min(b + reach, n)) for (a, b), n in zip(box, nodes.shape, strict=True)]
        z, y, x = ((a == 0, b == n) for (a, b), n in zip(box, nodes.shape, strict=True))
        # What lies beyond a border within the reach is reflected; what lies beyond the box is read.
        density = model.clean(np.asarray(nodes[_slices(padded)]), (padded[0][0], padded[1][0], padded[2][0]))
        found = model.bank.strongest(density, (z, y, x))
        # The answer is shorter than what was read by the reach, but not at borders.
        starts = [w if first else w + reach for (w, _), (first, _) in zip(padded, (z, y, x), strict=True)]
        inner = tuple(slice(a - start, b - start) for (a, b), start in zip(box, starts, strict=True))
        plates.response.array[_slices(box)] = found[0][inner]
        plates.direction.array[_slices(box)] = found[1][inner]

    return [partial(respond, box) for box in product(*ranges)]


def _slices(box: Sequence[tuple[int, int]]) -> tuple[slice, ...]:
    return tuple(slice(first, last) for first, last in box)
