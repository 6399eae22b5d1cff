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

from cryomamba.masks.component_merge import ComponentMerger, Joined, Numbering, ComponentRows
from cryomamba.masks.slab_graph import Connectivity, Numbers
from cryomamba.masks.slabs import Labels, LabelSource, Step
from cryomamba.optional_imports import import_optional

Ids = npt.NDArray[np.uint32]
Components = npt.NDArray[np.unsignedinteger[Any]]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Instances:
    """The pieces of a mask; piece ``n`` (from 1 on, the largest first) is row ``n - 1`` of each table.

    Where a mask has more than are wanted, the smaller ones are put together in further rows, one for each label in
    ascending order; the number of such a piece is that row's.

    Attributes
    ----------
    source : LabelSource
        The mask.
    connectivity : {6, 26}
    label : ndarray
        Each piece's label.
    voxels : ndarray
    centroid : ndarray, (rows, 3)
        Mean voxel position z, y, x.
    start, stop : ndarray, (rows, 3)
        Box: first voxel, and the one after the last, along z, y, x.
    together : ndarray
        How many pieces each of the further rows stands for; usually empty.
    """

    source: LabelSource
    connectivity: Connectivity
    label: Numbers
    voxels: Numbers
    centroid: Floats
    start: npt.NDArray[np.int32]
    stop: npt.NDArray[np.int32]
    together: Numbers
    _numbering: Numbering = field(repr=False)

    def __len__(self) -> int:
        return self.voxels.size - self.together.size

    @property
    def count(self) -> int:
        """Number of all pieces, also of those that share a row."""
        return len(self) + int(self.together.sum())

    def slabs(self) -> Iterator[tuple[Labels, Ids]]:
        """Yield each slab's labels with the pieces' numbers, 0 for background; valid until the next are asked for."""
        for labels, components, table in self.parts():
            yield labels, table[components]

    def parts(self) -> Iterator[tuple[Labels, Components, Ids]]:
        """Yield each slab's labels, its own pieces, and which number each of those has; of the background it is 0.

        So ``table[components]`` is what :meth:`slabs` yields, for whoever needs few of the numbers.
        """
        for number, labels in enumerate(self.source.slabs()):
            components = _components(labels, self.connectivity)
            table = self._numbering.table(number)
            if self.together.size:
                unlisted = 1 + np.flatnonzero(table[1:] == 0)
                of = _labels_of(components, labels, table.size - 1)[unlisted - 1]
                table[unlisted] = len(self) + 1 + np.searchsorted(self.label[len(self) :], of)
            yield labels, components, table


def find_instances(
    source: LabelSource, *, connectivity: Connectivity = 26, most: int | None = None, step: Step | None = None
) -> Instances:
    """Find the connected pieces of each label; pieces of different labels are never one.

    Memory is that of a slab, of the pieces that are listed (some 100 bytes each), and of what joins them across slabs.

    Parameters
    ----------
    source : LabelSource
    connectivity : {6, 26}
        Whether voxels touch by faces only, or by edges and corners too.
    most : int, optional
        How many have a row of their own, the largest; all if not given.
    step : callable, optional
        Called with the fraction done after each slab; may raise to stop.

    Raises
    ------
    InvalidRequestError
        ``engine_unavailable``: cc3d or scipy is not installed.
    """
    joiner, z = ComponentMerger(connectivity, most), 0
    for labels in source.slabs():
        components = _components(labels, connectivity)
        joiner.take(_measure(components, labels, z), (components[0], components[-1]), (labels[0], labels[-1]))
        # The next ones need their room.
        del components
        z += len(labels)
        if step is not None:
            step(z / source.shape[0])
    return _instances(source, connectivity, joiner.finish())


def _instances(source: LabelSource, connectivity: Connectivity, found: Joined) -> Instances:
    rows = found.rows
    return Instances(
        source,
        connectivity,
        rows.label,
        rows.voxels,
        rows.centroid(),
        rows.start,
        rows.stop,
        found.together,
        found.numbering,
    )


def _components(labels: Labels, connectivity: Connectivity) -> Components:
    if not labels.any():
        return np.zeros(labels.shape, np.uint32)
    found, count = import_optional("cc3d").connected_components(labels, connectivity=connectivity, return_N=True)
    pieces: Components = found.astype(np.min_scalar_type(count), copy=False)
    return pieces


def _measure(components: Components, labels: Labels, z: int) -> ComponentRows:
    if not components.any():
        return ComponentRows.none()
    found = import_optional("cc3d").statistics(components, no_slice_conversion=True)
    voxels = found["voxel_counts"][1:].astype(np.int64)
    boxes = found["bounding_boxes"][1:].astype(np.int32)
    offset = np.array([z, 0, 0], np.int32)
    return ComponentRows(
        serial=np.arange(voxels.size),
        label=_labels_of(components, labels, voxels.size),
        voxels=voxels,
        sums=(found["centroids"][1:].astype(np.float64) + offset) * voxels[:, None],
        start=boxes[:, 0::2] + offset,
        stop=boxes[:, 1::2] + 1 + offset,
    )


def _labels_of(components: Components, labels: Labels, count: int) -> Numbers:
    if not count:
        return np.empty(0, np.int64)
    lowest, highest = int(labels[components > 0].min()), int(labels.max())
    if lowest == highest:
        return np.full(count, highest, np.int64)
    of = np.zeros(count + 1, np.int64)
    of[components.reshape(-1)] = labels.reshape(-1)
    return of[1:]
