"""The region of a volume that is segmented, on the working grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cryomamba.engines.api import Slices
from cryomamba_inference.volume_preparation.grid import WorkingGrid

Flags = npt.NDArray[np.bool_]
NodesInside = Callable[[Slices], Flags]
"""Returns which nodes of a box are in the region that is segmented."""


@dataclass(frozen=True, slots=True)
class NodeRegion:
    """Which nodes are in the region.

    Attributes
    ----------
    grid : WorkingGrid
    within : callable
        Returns which voxels of a box are in the region.
    """

    grid: WorkingGrid
    within: NodesInside

    def inside(self, box: Slices) -> Flags:
        """Return for each node of a box whether the voxel nearest to it is in the region."""
        z, y, x = (self._nearest(axis, nodes) for axis, nodes in enumerate(box))
        first = (slice(z[0], z[-1] + 1), slice(y[0], y[-1] + 1), slice(x[0], x[-1] + 1))
        return self.within(first)[np.ix_(z - z[0], y - y[0], x - x[0])]

    def touches(self, box: Slices, margin: int) -> bool:
        """Return whether any node of a box, or less than `margin` nodes from it, is in the region."""
        z, y, x = (
            slice(max(nodes.start - margin, 0), min(nodes.stop + margin, count))
            for nodes, count in zip(box, self.grid.node_shape, strict=True)
        )
        return bool(self.inside((z, y, x)).any())

    def _nearest(self, axis: int, nodes: slice) -> npt.NDArray[np.int64]:
        voxels = np.arange(nodes.start, nodes.stop) * (self.grid.step_A / self.grid.voxel_size_A[axis])
        return np.minimum(np.rint(voxels).astype(np.int64), self.grid.shape[axis] - 1)
