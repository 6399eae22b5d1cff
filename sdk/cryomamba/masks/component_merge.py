"""Connected components of slabs merged to those of the whole mask, one slab after the other.

Only components that reach the last plane so far can still grow, so only they are held open; of the finished ones, the
largest are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from cryomamba.masks.slab_graph import Connectivity, Numbers, SlabGraph

Planes = tuple[npt.NDArray[Any], npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class ComponentRows:
    """Components, or parts of them, one per row.

    Attributes
    ----------
    serial : ndarray of int64
        Number of the component among those of all slabs; of merged ones the lowest.
    label, voxels : ndarray of int64
    sums : ndarray of float64, (rows, 3)
        Sum of the voxel positions (z, y, x).
    start, stop : ndarray of int32, (rows, 3)
        Bounding box.
    """

    serial: Numbers
    label: Numbers
    voxels: Numbers
    sums: npt.NDArray[np.float64]
    start: npt.NDArray[np.int32]
    stop: npt.NDArray[np.int32]

    @classmethod
    def none(cls) -> Self:
        """Return no rows."""
        nothing, boxes = np.empty(0, np.int64), np.empty((0, 3), np.int32)
        return cls(nothing, nothing, nothing, np.empty((0, 3)), boxes, boxes)

    def __len__(self) -> int:
        return self.serial.size

    def centroid(self) -> npt.NDArray[np.float64]:
        """Return the mean positions, rounded so that they do not depend on the order of summation."""
        return np.round(self.sums / np.maximum(self.voxels, 1)[:, None], 6)

    def select(self, which: npt.NDArray[Any]) -> ComponentRows:
        """Return some of the rows, by a boolean mask or by indices."""
        return ComponentRows(*(column[which] for column in self.columns))

    def concatenate(self, others: Sequence[ComponentRows]) -> ComponentRows:
        """Return these rows followed by others."""
        every = zip(*(rows.columns for rows in (self, *others)), strict=True)
        return ComponentRows(*(np.concatenate(columns) for columns in every))

    def merge(self, group: Numbers) -> ComponentRows:
        """Merge rows of the same group into one; groups are numbered from 0 without gaps, each of a single label."""
        order = np.argsort(group, kind="stable")
        first = np.flatnonzero(np.diff(group[order], prepend=-1))
        reductions = (np.minimum, np.minimum, np.add, np.add, np.minimum, np.maximum)
        columns = zip(reductions, self.columns, strict=True)
        return ComponentRows(*(reduction.reduceat(column[order], first, axis=0) for reduction, column in columns))

    def by_size(self) -> Numbers:
        """Return the order of the components, the largest first; ties are broken by position."""
        return np.lexsort((*self.centroid().T[::-1], *self.start.T[::-1], -self.voxels))

    @property
    def columns(self) -> tuple[npt.NDArray[Any], ...]:
        """The columns, in the order of the fields."""
        return self.serial, self.label, self.voxels, self.sums, self.start, self.stop


@dataclass(frozen=True, slots=True)
class Numbering:
    """The final numbers of each slab's components.

    Attributes
    ----------
    bases : ndarray
        Serial of each slab's first component, and the one after the last.
    serials : ndarray
        Serials of all components that have a number, ascending.
    numbers : ndarray of uint32
    """

    bases: Numbers
    serials: Numbers
    numbers: npt.NDArray[np.uint32]

    def table(self, slab: int) -> npt.NDArray[np.uint32]:
        """Return the lookup table from a slab's own labels to final numbers; 0 for background and unlisted ones."""
        base, end = self.bases[slab : slab + 2]
        here = slice(*np.searchsorted(self.serials, (base, end)))
        table = np.zeros(end - base + 1, np.uint32)
        table[self.serials[here] - base + 1] = self.numbers[here]
        return table


@dataclass(frozen=True, slots=True)
class MergedComponents:
    """All components: the listed ones by size, then one row per label for the others, and how many those stand for."""

    rows: ComponentRows
    unlisted: Numbers
    numbering: Numbering


class ComponentMerger:
    """Merges the components of slab after slab.

    Parameters
    ----------
    connectivity : {6, 26}
    max_listed : int or None
        How many components keep a row of their own; all for None.
    """

    def __init__(self, connectivity: Connectivity, max_listed: int | None) -> None:
        self._connectivity: Connectivity = connectivity
        self._max_listed = max_listed
        self._bases = [0]
        self._open = ComponentRows.none()
        self._last_plane: Planes | None = None
        self._finished: list[ComponentRows] = []
        self._unlisted = ComponentRows.none()
        self._unlisted_counts: dict[int, int] = {}
        self._merged: list[tuple[Numbers, Numbers]] = []

    def add(self, rows: ComponentRows, components: Planes, labels: Planes) -> None:
        """Add the next slab.

        Parameters
        ----------
        rows : ComponentRows
            Its components, with serials counted from 0.
        components, labels : tuple of ndarray
            Its first and last plane: component labels from 1 on in the order of the rows, 0 for background; and mask
            labels.
        """
        base, count = self._bases[-1], len(self._open)
        self._bases.append(base + len(rows))
        graph = SlabGraph(self._connectivity)
        graph.add_nodes(count + len(rows))
        nodes = np.arange(count - 1, count + len(rows))
        nodes[0] = -1
        if self._last_plane is not None:
            graph.connect(self._last_plane[0], nodes[components[0]], (self._last_plane[1], labels[0]))
        _, group = graph.connected_components()
        parts = self._open.concatenate([replace(rows, serial=rows.serial + base)])
        merged = parts.merge(group)
        changed = parts.serial != merged.serial[group]
        self._merged.append((parts.serial[changed], merged.serial[group[changed]]))
        last = np.append(group, -1)[nodes[components[1]]]
        is_open = np.zeros(len(merged), np.bool_)
        is_open[last[last >= 0]] = True
        self._last_plane = np.append(np.cumsum(is_open) - 1, -1)[last], labels[1].copy()
        self._open = merged.select(is_open)
        self._finish(merged.select(~is_open))

    def finish(self) -> MergedComponents:
        """Return the components after the last slab."""
        self._finish(self._open)
        found = ComponentRows.none().concatenate(self._finished)
        found = self._keep_largest(found.select(found.by_size()))
        numbers = np.arange(1, len(found) + 1, dtype=np.uint32)
        serials, numbers = self._number_merged(found.serial, numbers)
        counts = np.array([self._unlisted_counts[label] for label in self._unlisted.label.tolist()], np.int64)
        numbering = Numbering(np.array(self._bases), serials, numbers)
        return MergedComponents(found.concatenate([self._unlisted]), counts, numbering)

    def _finish(self, rows: ComponentRows) -> None:
        self._finished.append(rows)
        if self._max_listed is not None and sum(map(len, self._finished)) > 2 * self._max_listed:
            found = ComponentRows.none().concatenate(self._finished)
            self._finished = [self._keep_largest(found.select(found.by_size()))]

    def _keep_largest(self, rows: ComponentRows) -> ComponentRows:
        if self._max_listed is None or len(rows) <= self._max_listed:
            return rows
        small = rows.select(np.arange(self._max_listed, len(rows)))
        for label, count in zip(*(found.tolist() for found in np.unique(small.label, return_counts=True)), strict=True):
            self._unlisted_counts[label] = self._unlisted_counts.get(label, 0) + count
        small = self._unlisted.concatenate([small])
        self._unlisted = small.merge(np.unique(small.label, return_inverse=True)[1])
        return rows.select(np.arange(self._max_listed))

    def _number_merged(
        self, serials: Numbers, numbers: npt.NDArray[np.uint32]
    ) -> tuple[Numbers, npt.NDArray[np.uint32]]:
        """Add the serials that were merged into a numbered component, with its number; return all by serial."""
        order = np.argsort(serials)
        serials, numbers = serials[order], numbers[order]
        merged, root = (np.concatenate([pair[side] for pair in self._merged] or [self._open.serial]) for side in (0, 1))
        order = np.argsort(merged)
        merged, root = merged[order], root[order]
        while (again := _contains(merged, root)).any():
            root[again] = root[np.searchsorted(merged, root[again])]
        known = _contains(serials, root)
        more = numbers[np.searchsorted(serials, root[known])]
        serials, numbers = np.concatenate([serials, merged[known]]), np.concatenate([numbers, more])
        order = np.argsort(serials)
        return serials[order], numbers[order]


def _contains(ascending: Numbers, values: Numbers) -> npt.NDArray[np.bool_]:
    at = np.minimum(np.searchsorted(ascending, values), max(ascending.size - 1, 0))
    return ascending[at] == values if ascending.size else np.zeros(values.size, np.bool_)
