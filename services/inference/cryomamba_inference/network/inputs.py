"""What the network sees of a prepared volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cryomamba.engines.api import Slices
from cryomamba_inference.network.contrast import DARK
from cryomamba_inference.network.density import normalized
from cryomamba_inference.network.sheets import normalized_sheets
from cryomamba_inference.volume_preparation.grid import Field, WorkingGrid
from cryomamba_inference.volume_preparation.node_map import NodeMap
from cryomamba_inference.volume_preparation.scale import Scale


@dataclass(frozen=True, slots=True)
class Inputs:
    """Densities and plate maps of a whole volume, on disk.

    Attributes
    ----------
    nodes : NodeMap
        Densities (z, y, x) on the grid without slow gradients, float32.
    padding : NodeMap
        Nodes (z, y, x) that were not measured, bool.
    sheets : NodeMap
        Plate maps (MAPS, z / 2, y / 2, x / 2) of densities where dense matter is dark, float16.
    scale : Scale
        Of the nodes.
    sheet_scales : sequence of Scale
        Of each plate map.
    """

    grid: WorkingGrid
    nodes: NodeMap
    padding: NodeMap
    sheets: NodeMap
    scale: Scale
    sheet_scales: Sequence[Scale] = ()

    def density(self, box: Slices) -> Field:
        """Return normalized densities of a box of nodes, where dense matter is dark."""
        return normalized(np.array(self.nodes.array[box]), self.padding.array[box], self.scale, DARK)

    def view(self, sign: int, box: Slices) -> tuple[Field, Field]:
        """Return normalized densities and plate maps of a box that begins at even nodes, for a sign of dense matter."""
        field = self.density(box)
        z, y, x = (slice(s.start // 2, -(-s.stop // 2)) for s in box)
        sheets = normalized_sheets(self.sheets.array[:, z, y, x], self.sheet_scales)
        if sign == DARK:
            return field, sheets
        # In the inverted volume sheets of higher and of lower density change places.
        pairs = sheets.reshape(-1, 2, *sheets.shape[1:])[:, ::-1]
        return -field, np.ascontiguousarray(pairs.reshape(sheets.shape))
