"""Which pieces of neighbouring slabs are one."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cryomamba.libraries import library

Connectivity = Literal[6, 26]
Numbers = npt.NDArray[np.int64]


class SeamGraph:
    """Pieces of slabs as the nodes of a graph, with an edge where two touch across a seam.

    Parameters
    ----------
    connectivity : {6, 26}
        Whether voxels touch by faces only, or by edges and corners too.
    """

    def __init__(self, connectivity: Connectivity = 26) -> None:
        self._offsets = (0,) if connectivity == 6 else (-1, 0, 1)
        self._pairs: list[Numbers] = []
        self.count = 0

    def add(self, count: int) -> int:
        """Add the pieces of a slab and return the number of the first; the others follow."""
        base, self.count = self.count, self.count + count
        return base

    def touch(self, above: Numbers, below: Numbers, labels: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None) -> None:
        """Join what touches between two planes (y, x) of piece numbers, −1 for background.

        With `labels`, their labels, only pieces of the same label are joined.
        """
        height, width = above.shape
        for dy in self._offsets:
            for dx in self._offsets:
                upper = (slice(max(dy, 0), height + min(dy, 0)), slice(max(dx, 0), width + min(dx, 0)))
                lower = (slice(max(-dy, 0), height + min(-dy, 0)), slice(max(-dx, 0), width + min(-dx, 0)))
                both = (above[upper] >= 0) & (below[lower] >= 0)
                if labels is not None:
                    both &= labels[0][upper] == labels[1][lower]
                # Both numbers in one, so that equal pairs are found by one sort.
                self._pairs.append(np.unique((above[upper][both] << 32) | below[lower][both]))

    def groups(self) -> tuple[int, Numbers]:
        """Return how many separate things there are, and which one each piece belongs to."""
        if not self.count:
            return 0, np.empty(0, np.int64)
        pairs = np.unique(np.concatenate(self._pairs)) if self._pairs else np.empty(0, np.int64)
        edges = (np.ones(pairs.size, np.bool_), (pairs >> 32, pairs & 0xFFFFFFFF))
        graph = library("scipy.sparse").coo_array(edges, shape=(self.count, self.count))
        found, group = library("scipy.sparse.csgraph").connected_components(graph, directed=False)
        return int(found), group.astype(np.int64)
