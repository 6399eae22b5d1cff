"""Which pieces of neighbouring slabs are one."""

from __future__ import annotations

import itertools
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cryomamba.optional_imports import import_optional

Connectivity = Literal[6, 26]
Numbers = npt.NDArray[np.int64]


class SlabGraph:
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
        # Most of a plane is background, so the rest is listed once; the edge around spares looking for borders.
        solid = np.flatnonzero(above >= 0)
        upper, width = above.reshape(-1)[solid], above.shape[1]
        wide = np.pad(below, 1, constant_values=-1).reshape(-1)
        above_labels = (above if labels is None else labels[0]).reshape(-1)[solid]
        below_labels = wide if labels is None else np.pad(labels[1], 1).reshape(-1)
        middle = solid + 2 * (solid // width) + width + 3
        for dy, dx in sorted(itertools.product(self._offsets, repeat=2), key=lambda step: (step != (0, 0), step)):
            beside = middle + (dy * (width + 2) + dx)
            lower = wide[beside]
            both = lower >= 0
            if labels is not None:
                both &= below_labels[beside] == above_labels
            # Both numbers in one; along a row most pairs are like the one before.
            pairs = (upper[both] << 32) | lower[both]
            self._pairs.append(np.unique(pairs[np.diff(pairs, prepend=-1) != 0]))
            if (dy, dx) == (0, 0):
                # What touches straight below touches what is beside that as well: within a slab those are one piece.
                upper, middle = upper[~both], middle[~both]
                above_labels = above_labels[~both]

    def groups(self) -> tuple[int, Numbers]:
        """Return how many separate things there are, and which one each piece belongs to."""
        if not self.count:
            return 0, np.empty(0, np.int64)
        pairs = np.unique(np.concatenate(self._pairs)) if self._pairs else np.empty(0, np.int64)
        edges = (np.ones(pairs.size, np.bool_), (pairs >> 32, pairs & 0xFFFFFFFF))
        graph = import_optional("scipy.sparse").coo_array(edges, shape=(self.count, self.count))
        found, group = import_optional("scipy.sparse.csgraph").connected_components(graph, directed=False)
        return int(found), group.astype(np.int64)
