"""Pieces of slabs joined to those of the whole, one slab after the other.

What no longer reaches the last plane is finished, so only the pieces on that plane are held to be joined; of the
finished ones the largest are kept.
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
class PartRows:
    """Pieces, or parts of them, a row each.

    Attributes
    ----------
    serial : ndarray of int64
        The piece's place among all slabs' pieces; of what is joined the lowest.
    label, voxels : ndarray of int64
    sums : ndarray of float64, (rows, 3)
        Sum of the voxels' positions.
    start, stop : ndarray of int32, (rows, 3)
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
        """Return the mean positions, rounded so that the order of summing does not show."""
        centroid: npt.NDArray[np.float64] = np.round(self.sums / np.maximum(self.voxels, 1)[:, None], 6)
        return centroid

    def chosen(self, which: npt.NDArray[Any]) -> PartRows:
        """Return some of the rows, by a mask or by their indices."""
        return PartRows(*(column[which] for column in self.columns))

    def with_more(self, others: Sequence[PartRows]) -> PartRows:
        """Return these rows and others after them."""
        every = zip(*(rows.columns for rows in (self, *others)), strict=True)
        return PartRows(*(np.concatenate(columns) for columns in every))

    def merged(self, group: Numbers) -> PartRows:
        """Put rows of the same group, counted from 0 on without gaps, together; all have the same label."""
        order = np.argsort(group, kind="stable")
        first = np.flatnonzero(np.diff(group[order], prepend=-1))
        ways = (np.minimum, np.minimum, np.add, np.add, np.minimum, np.maximum)
        columns = zip(ways, self.columns, strict=True)
        return PartRows(*(way.reduceat(column[order], first, axis=0) for way, column in columns))

    def by_size(self) -> Numbers:
        """Return the order of the pieces, the largest first; place decides between equals."""
        return np.lexsort((*self.centroid().T[::-1], *self.start.T[::-1], -self.voxels))

    @property
    def columns(self) -> tuple[npt.NDArray[Any], ...]:
        """The columns, in the order of the fields."""
        return self.serial, self.label, self.voxels, self.sums, self.start, self.stop


@dataclass(frozen=True, slots=True)
class Numbering:
    """Which number the pieces of each slab have.

    Attributes
    ----------
    bases : ndarray
        Serial of each slab's first piece, and the one after the last.
    serials : ndarray
        Of all that have a number, ascending.
    numbers : ndarray of uint32
    """

    bases: Numbers
    serials: Numbers
    numbers: npt.NDArray[np.uint32]

    def table(self, slab: int) -> npt.NDArray[np.uint32]:
        """Return the numbers of a slab's pieces, after that of the background; 0 where there is none."""
        base, end = self.bases[slab : slab + 2]
        here = slice(*np.searchsorted(self.serials, (base, end)))
        table = np.zeros(end - base + 1, np.uint32)
        table[self.serials[here] - base + 1] = self.numbers[here]
        return table


@dataclass(frozen=True, slots=True)
class Joined:
    """All pieces: rows by size, then those that stand for several, and how many each of these does."""

    rows: PartRows
    together: Numbers
    numbering: Numbering


class ComponentMerger:
    """Takes in the pieces of slab after slab.

    Parameters
    ----------
    connectivity : {6, 26}
    most : int or None
        How many keep a row of their own.
    """

    def __init__(self, connectivity: Connectivity, most: int | None) -> None:
        self._connectivity: Connectivity = connectivity
        self._most = most
        self._bases = [0]
        self._open = PartRows.none()
        self._seam: Planes | None = None
        self._finished: list[PartRows] = []
        self._small = PartRows.none()
        self._count: dict[int, int] = {}
        self._same: list[tuple[Numbers, Numbers]] = []

    def take(self, part: PartRows, pieces: Planes, labels: Planes) -> None:
        """Take in the next slab.

        Parameters
        ----------
        part : PartRows
            Its pieces, their serials counted from 0 on.
        pieces, labels : tuple of ndarray
            On its first and last plane: numbers from 1 on in the order of the rows, 0 for background; and labels.
        """
        base, held = self._bases[-1], len(self._open)
        self._bases.append(base + len(part))
        graph = SlabGraph(self._connectivity)
        graph.add(held + len(part))
        table = np.arange(held - 1, held + len(part))
        table[0] = -1
        if self._seam is not None:
            graph.touch(self._seam[0], table[pieces[0]], (self._seam[1], labels[0]))
        _, group = graph.groups()
        parts = self._open.with_more([replace(part, serial=part.serial + base)])
        joined = parts.merged(group)
        other = parts.serial != joined.serial[group]
        self._same.append((parts.serial[other], joined.serial[group[other]]))
        last = np.append(group, -1)[table[pieces[1]]]
        reaching = np.zeros(len(joined), np.bool_)
        reaching[last[last >= 0]] = True
        self._seam = np.append(np.cumsum(reaching) - 1, -1)[last], labels[1].copy()
        self._open = joined.chosen(reaching)
        self._finish(joined.chosen(~reaching))

    def finish(self) -> Joined:
        """Return the pieces; nothing is taken in after it."""
        self._finish(self._open)
        found = PartRows.none().with_more(self._finished)
        found = self._listed(found.chosen(found.by_size()))
        numbers = np.arange(1, len(found) + 1, dtype=np.uint32)
        serials, numbers = self._with_same(found.serial, numbers)
        together = np.array([self._count[label] for label in self._small.label.tolist()], np.int64)
        return Joined(found.with_more([self._small]), together, Numbering(np.array(self._bases), serials, numbers))

    def _finish(self, rows: PartRows) -> None:
        self._finished.append(rows)
        if self._most is not None and sum(map(len, self._finished)) > 2 * self._most:
            found = PartRows.none().with_more(self._finished)
            self._finished = [self._listed(found.chosen(found.by_size()))]

    def _listed(self, rows: PartRows) -> PartRows:
        """Return the rows that are kept; the others are put together by label."""
        if self._most is None or len(rows) <= self._most:
            return rows
        small = rows.chosen(np.arange(self._most, len(rows)))
        for label, count in zip(*(found.tolist() for found in np.unique(small.label, return_counts=True)), strict=True):
            self._count[label] = self._count.get(label, 0) + count
        small = self._small.with_more([small])
        self._small = small.merged(np.unique(small.label, return_inverse=True)[1])
        return rows.chosen(np.arange(self._most))

    def _with_same(self, serials: Numbers, numbers: npt.NDArray[np.uint32]) -> tuple[Numbers, npt.NDArray[np.uint32]]:
        """Give what was joined to a numbered piece its number too; return all by their serials."""
        order = np.argsort(serials)
        serials, numbers = serials[order], numbers[order]
        other, root = (np.concatenate([pair[side] for pair in self._same] or [self._open.serial]) for side in (0, 1))
        order = np.argsort(other)
        other, root = other[order], root[order]
        while (again := _found(other, root)).any():
            root[again] = root[np.searchsorted(other, root[again])]
        known = _found(serials, root)
        more = numbers[np.searchsorted(serials, root[known])]
        serials, numbers = np.concatenate([serials, other[known]]), np.concatenate([numbers, more])
        order = np.argsort(serials)
        return serials[order], numbers[order]


def _found(ascending: Numbers, values: Numbers) -> npt.NDArray[np.bool_]:
    at = np.minimum(np.searchsorted(ascending, values), max(ascending.size - 1, 0))
    return ascending[at] == values if ascending.size else np.zeros(values.size, np.bool_)
