"""The plate filter response on the nodes of a whole volume, and the finer grid for density profiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cryomamba_inference.filters.common.grid import ALL_BORDERS, Borders, CoarseGrid, Corner
from cryomamba_inference.filters.common.node_map import NodeMap

Field = npt.NDArray[np.float32]
Directions = npt.NDArray[np.uint8]


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
