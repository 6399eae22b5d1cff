"""The connected pieces (instances) of a mask, found slab by slab and numbered by size.

Within a slab: Silversmith, "cc3d" (2021). The answer is that of the whole volume labelled in one piece, whatever the
depth of the slabs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cryomamba.libraries import library
from cryomamba.masks.seams import Connectivity, Numbers, SeamGraph
from cryomamba.masks.slabs import Labels, LabelSource, Step

Ids = npt.NDArray[np.uint32]
Components = npt.NDArray[np.unsignedinteger[Any]]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Instances:
    """The pieces of a mask; piece ``n`` (from 1 on, the largest first) is row ``n - 1`` of each table.

    Attributes
    ----------
    source : LabelSource
        The mask.
    connectivity : {6, 26}
    label : ndarray
        Each piece's label.
    voxels : ndarray
    centroid : ndarray, (count, 3)
        Mean voxel position z, y, x.
    start, stop : ndarray, (count, 3)
        Box: first voxel, and the one after the last, along z, y, x.
    """

    source: LabelSource
    connectivity: Connectivity
    label: Numbers
    voxels: Numbers
    centroid: Floats
    start: Numbers
    stop: Numbers
    _tables: list[Ids] = field(repr=False)

    def __len__(self) -> int:
        return self.voxels.size

    def slabs(self) -> Iterator[tuple[Labels, Ids]]:
        """Yield each slab's labels with the pieces' numbers, 0 for background; valid until the next are asked for."""
        for labels, components, table in self.parts():
            yield labels, table[components]

    def parts(self) -> Iterator[tuple[Labels, Components, Ids]]:
        """Yield each slab's labels, its own pieces, and which number each of those has; of the background it is 0.

        So ``table[components]`` is what :meth:`slabs` yields, for whoever needs few of the numbers.
        """
        for table, labels in zip(self._tables, self.source.slabs(), strict=True):
            yield labels, _components(labels, self.connectivity), table


def find_instances(source: LabelSource, *, connectivity: Connectivity = 26, step: Step | None = None) -> Instances:
    """Find the connected pieces of each label; pieces of different labels are never one.

    Parameters
    ----------
    source : LabelSource
    connectivity : {6, 26}
        Whether voxels touch by faces only, or by edges and corners too.
    step : callable, optional
        Called with the fraction done after each slab; may raise to stop.

    Raises
    ------
    InvalidRequestError
        ``engine_unavailable``: cc3d or scipy is not installed.
    """
    graph, parts = SeamGraph(connectivity), []
    seam: tuple[Numbers, npt.NDArray[Any]] | None = None
    z = 0
    for labels in source.slabs():
        components = _components(labels, connectivity)
        part = _measure(components, labels, z)
        base = graph.add(part.label.size)
        if part.label.size:
            table = np.arange(base - 1, base + part.label.size)
            table[0] = -1
            if seam is not None:
                graph.touch(seam[0], table[components[0]], (seam[1], labels[0]))
            seam = table[components[-1]], labels[-1].copy()
        else:
            seam = None
        parts.append(part)
        z += len(labels)
        if step is not None:
            step(z / source.shape[0])
    return _joined(source, connectivity, graph, parts)


@dataclass(frozen=True, slots=True)
class _Part:
    """The pieces of a slab: sums and boxes, without the background."""

    label: Numbers
    voxels: Numbers
    sums: Floats
    start: Numbers
    stop: Numbers


def _components(labels: Labels, connectivity: Connectivity) -> Components:
    if not labels.any():
        return np.zeros(labels.shape, np.uint32)
    found: Components = library("cc3d").connected_components(labels, connectivity=connectivity)
    return found


def _measure(components: Components, labels: Labels, z: int) -> _Part:
    if not components.any():
        nothing = np.empty(0, np.int64)
        return _Part(nothing, nothing, np.empty((0, 3)), np.empty((0, 3), np.int64), np.empty((0, 3), np.int64))
    found = library("cc3d").statistics(components, no_slice_conversion=True)
    voxels = found["voxel_counts"][1:].astype(np.int64)
    boxes = found["bounding_boxes"][1:].astype(np.int64)
    start, stop = boxes[:, 0::2], boxes[:, 1::2] + 1
    offset = np.array([z, 0, 0])
    return _Part(
        label=_labels_of(components, labels, voxels.size),
        voxels=voxels,
        sums=(found["centroids"][1:].astype(np.float64) + offset) * voxels[:, None],
        start=start + offset,
        stop=stop + offset,
    )


def _labels_of(components: Components, labels: Labels, count: int) -> Numbers:
    lowest, highest = int(labels[components > 0].min()), int(labels.max())
    if lowest == highest:
        return np.full(count, highest, np.int64)
    of = np.zeros(count + 1, np.int64)
    of[components.reshape(-1)] = labels.reshape(-1)
    return of[1:]


def _joined(source: LabelSource, connectivity: Connectivity, graph: SeamGraph, parts: list[_Part]) -> Instances:
    """Put the pieces of all slabs together and number them by size, so that the slabs' depth does not show."""
    found, group = graph.groups()
    label = np.zeros(found, np.int64)
    voxels = np.zeros(found, np.int64)
    sums = np.zeros((found, 3))
    start = np.full((found, 3), np.iinfo(np.int64).max)
    stop = np.zeros((found, 3), np.int64)
    first = 0
    for part in parts:
        here = group[first : first + part.label.size]
        first += part.label.size
        label[here] = part.label
        np.add.at(voxels, here, part.voxels)
        np.add.at(sums, here, part.sums)
        np.minimum.at(start, here, part.start)
        np.maximum.at(stop, here, part.stop)
    centroid = np.round(sums / np.maximum(voxels, 1)[:, None], 6)
    order = np.lexsort((*centroid.T[::-1], *start.T[::-1], -voxels))
    number = np.empty(found, np.uint32)
    number[order] = np.arange(1, found + 1)
    tables, first = [], 0
    for part in parts:
        tables.append(np.concatenate([[np.uint32(0)], number[group[first : first + part.label.size]]]))
        first += part.label.size
    return Instances(
        source, connectivity, label[order], voxels[order], centroid[order], start[order], stop[order], tables
    )
