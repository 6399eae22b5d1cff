"""The graph that links the components of neighbouring slabs."""

from __future__ import annotations

import itertools
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cryomamba.optional_imports import import_optional

Connectivity = Literal[6, 26]
Numbers = npt.NDArray[np.int64]


class SlabGraph:
    """A graph with the components of all slabs as nodes, and an edge where two touch between slabs.

    Parameters
    ----------
    connectivity : {6, 26}
        Whether voxels are neighbours over faces only, or over edges and corners too.
    """

    def __init__(self, connectivity: Connectivity = 26) -> None:
        self._offsets = (0,) if connectivity == 6 else (-1, 0, 1)
        self._pairs: list[Numbers] = []
        self.count = 0

    def add_nodes(self, count: int) -> int:
        """Add the components of a slab as nodes and return the first one's number; the others follow."""
        base, self.count = self.count, self.count + count
        return base

    def connect(self, above: Numbers, below: Numbers, labels: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None) -> None:
        """Add an edge for each pair of nodes that touch between two planes (y, x) of node numbers, −1 for background.

        With `labels`, the mask labels of both planes, only nodes of the same label are connected.
        """
        # Most of a plane is background, so foreground voxels are listed once; padding makes border checks unnecessary.
        solid = np.flatnonzero(above >= 0)
        upper, width = above.reshape(-1)[solid], above.shape[1]
        padded = np.pad(below, 1, constant_values=-1).reshape(-1)
        above_labels = (above if labels is None else labels[0]).reshape(-1)[solid]
        below_labels = padded if labels is None else np.pad(labels[1], 1).reshape(-1)
        centre = solid + 2 * (solid // width) + width + 3
        for dy, dx in sorted(itertools.product(self._offsets, repeat=2), key=lambda step: (step != (0, 0), step)):
            neighbour = centre + (dy * (width + 2) + dx)
            lower = padded[neighbour]
            both = lower >= 0
            if labels is not None:
                both &= below_labels[neighbour] == above_labels
            # Both numbers in one integer; along a row most pairs equal the one before.
            pairs = (upper[both] << 32) | lower[both]
            self._pairs.append(np.unique(pairs[np.diff(pairs, prepend=-1) != 0]))
            if (dy, dx) == (0, 0):
                # A voxel connected straight below is connected to that voxel's neighbours through it.
                upper, centre = upper[~both], centre[~both]
                above_labels = above_labels[~both]

    def connected_components(self) -> tuple[int, Numbers]:
        """Return the number of connected components of the graph, and the one that each node belongs to."""
        if not self.count:
            return 0, np.empty(0, np.int64)
        pairs = np.unique(np.concatenate(self._pairs)) if self._pairs else np.empty(0, np.int64)
        edges = (np.ones(pairs.size, np.bool_), (pairs >> 32, pairs & 0xFFFFFFFF))
        graph = import_optional("scipy.sparse").coo_array(edges, shape=(self.count, self.count))
        found, group = import_optional("scipy.sparse.csgraph").connected_components(graph, directed=False)
        return int(found), group.astype(np.int64)
