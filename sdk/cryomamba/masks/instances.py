"""The connected components (instances) of a mask, found slab by slab and numbered by size.

Within a slab: Silversmith, "cc3d" (2021). The result equals that of the whole volume, whatever the depth of the slabs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cryomamba.masks.component_merge import ComponentMerger, ComponentRows, Numbering
from cryomamba.masks.slab_graph import Connectivity, Numbers
from cryomamba.masks.slabs import Labels, LabelSource, Progress
from cryomamba.optional_imports import import_optional

Ids = npt.NDArray[np.uint32]
Components = npt.NDArray[np.unsignedinteger[Any]]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Instances:
    """The components of a mask; component ``n`` (from 1, the largest first) is row ``n - 1`` of each column.

    If the number of listed components is limited, the smaller ones share further rows, one for each label in ascending
    order, and have that row's number.

    Attributes
    ----------
    source : LabelSource
        The mask.
    connectivity : {6, 26}
    label : ndarray
        Label of each component.
    voxels : ndarray
    centroid : ndarray, (rows, 3)
        Mean voxel position z, y, x.
    start, stop : ndarray, (rows, 3)
        Bounding box: first voxel, and the one after the last, along z, y, x.
    unlisted : ndarray
        Number of components in each of the further rows; usually empty.
    """

    source: LabelSource
    connectivity: Connectivity
    label: Numbers
    voxels: Numbers
    centroid: Floats
    start: npt.NDArray[np.int32]
    stop: npt.NDArray[np.int32]
    unlisted: Numbers
    _numbering: Numbering = field(repr=False)

    def __len__(self) -> int:
        return self.voxels.size - self.unlisted.size

    @property
    def count(self) -> int:
        """Number of all components, including unlisted ones."""
        return len(self) + int(self.unlisted.sum())

    def slabs(self) -> Iterator[tuple[Labels, Ids]]:
        """Yield each slab's labels and component numbers (0 for background), valid until the next request."""
        for labels, components, table in self.component_slabs():
            yield labels, table[components]

    def component_slabs(self) -> Iterator[tuple[Labels, Components, Ids]]:
        """Yield each slab's labels, its own component labels, and the table from those to numbers.

        ``table[components]`` is what :meth:`slabs` yields; looking up single voxels is cheaper.
        """
        for number, labels in enumerate(self.source.slabs()):
            components = _components(labels, self.connectivity)
            table = self._numbering.table(number)
            if self.unlisted.size:
                rest = 1 + np.flatnonzero(table[1:] == 0)
                of = _labels_of(components, labels, table.size - 1)[rest - 1]
                table[rest] = len(self) + 1 + np.searchsorted(self.label[len(self) :], of)
            yield labels, components, table


def find_instances(
    source: LabelSource,
    *,
    connectivity: Connectivity = 26,
    max_listed: int | None = None,
    progress: Progress | None = None,
) -> Instances:
    """Find the connected components of each label; voxels of different labels are never connected.

    Memory: one slab, the listed components (about 100 bytes each), and the links between slabs.

    Parameters
    ----------
    source : LabelSource
    connectivity : {6, 26}
        Whether voxels are neighbours over faces only, or over edges and corners too.
    max_listed : int, optional
        How many components, the largest, have a row of their own; default all.
    progress : callable, optional
        Called with the fraction done after each slab; may raise to stop.

    Raises
    ------
    InvalidRequestError
        ``engine_unavailable``: cc3d or scipy is not installed.
    """
    merger, z = ComponentMerger(connectivity, max_listed), 0
    for labels in source.slabs():
        components = _components(labels, connectivity)
        merger.add(_measure(components, labels, z), (components[0], components[-1]), (labels[0], labels[-1]))
        # Free the memory before the next slab is labelled.
        del components
        z += len(labels)
        if progress is not None:
            progress(z / source.shape[0])
    found = merger.finish()
    columns = (found.rows.label, found.rows.voxels, found.rows.centroid(), found.rows.start, found.rows.stop)
    return Instances(source, connectivity, *columns, found.unlisted, found.numbering)


def _components(labels: Labels, connectivity: Connectivity) -> Components:
    if not labels.any():
        return np.zeros(labels.shape, np.uint32)
    found, count = import_optional("cc3d").connected_components(labels, connectivity=connectivity, return_N=True)
    components: Components = found.astype(np.min_scalar_type(count), copy=False)
    return components


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
