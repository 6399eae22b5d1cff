"""Small pieces out, holes closed, one piece kept: each turns a mask into another, slab by slab."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cryomamba.errors import NotFoundError
from cryomamba.masks.instances import Instances, find_instances
from cryomamba.masks.slabs import Labels, LabelSource, Step
from cryomamba.optional_imports import import_optional


def remove_small_components(source: LabelSource, min_volume_nm3: float, *, step: Step | None = None) -> LabelSource:
    """Return the mask without pieces below a volume (nm³); voxels touch by faces, edges and corners."""
    instances = find_instances(source, step=step)
    return _chosen(instances, instances.voxels * source.voxel_volume_nm3 >= min_volume_nm3 * (1 - 1e-9))


def keep_components(source: LabelSource, numbers: Collection[int], *, step: Step | None = None) -> LabelSource:
    """Return the mask with these pieces alone, numbered from the largest, which is 1.

    Raises
    ------
    NotFoundError
        There is no such piece.
    """
    instances = find_instances(source, step=step)
    for number in numbers:
        if not 0 < number <= len(instances):
            raise NotFoundError(
                f"There is no piece {number}: the mask has {len(instances)}.",
                hint="Pieces are counted from the largest, which is 1; 'cryomamba measure' lists them.",
            )
    keep = np.zeros(len(instances), np.bool_)
    keep[np.array(sorted(numbers), np.int64) - 1] = True
    return _chosen(instances, keep)


def component_at(source: LabelSource, position: tuple[int, int, int], *, step: Step | None = None) -> LabelSource:
    """Return the piece that covers a voxel (z, y, x), alone.

    Raises
    ------
    NotFoundError
        The mask has nothing there.
    """
    instances = find_instances(source, step=step)
    z, first, number = position[0], 0, 0
    for _, ids in instances.slabs():
        if first <= z < first + len(ids):
            number = int(ids[z - first, position[1], position[2]])
            break
        first += len(ids)
    if not number:
        raise NotFoundError(
            f"The mask has nothing at voxel {position} (z, y, x).", hint="Give a voxel that lies on a piece."
        )
    keep = np.zeros(len(instances), np.bool_)
    keep[number - 1] = True
    return _chosen(instances, keep)


def fill_holes(source: LabelSource, *, step: Step | None = None) -> LabelSource:
    """Return the mask with its holes filled: background that no way over voxel faces leads out of.

    Background that reaches the volume's border is no hole. A hole takes the label that lies before its first voxel
    along x; where it is surrounded by one label, that is the one.
    """
    background = source.map(lambda labels: (labels == 0).view(np.uint8))
    rooms = find_instances(background, connectivity=6, step=step)
    inside = (rooms.start > 0).all(axis=1) & (rooms.stop < np.array(source.shape)).all(axis=1)
    fill = np.zeros(len(rooms) + 1, np.uint32)
    missing: npt.NDArray[np.bool_] = np.array(inside)
    z = 0
    for labels, (_, ids) in zip(source.slabs(), rooms.slabs(), strict=True):
        for number in np.flatnonzero(missing & (rooms.start[:, 0] >= z) & (rooms.start[:, 0] < z + len(ids))):
            (top, row, left), (_, bottom, right) = rooms.start[number], rooms.stop[number]
            plane = ids[top - z, row:bottom, left:right] == number + 1
            y, x = np.argwhere(plane)[0]
            fill[number + 1] = labels[top - z, row + y, left + x - 1]
            missing[number] = False
        z += len(ids)

    def slabs() -> Iterator[Labels]:
        for labels, (_, ids) in zip(source.slabs(), rooms.slabs(), strict=True):
            filled = fill[ids].astype(labels.dtype)
            yield np.where(labels == 0, filled, labels)

    return replace(source, slabs=slabs)


def fill_holes_in_planes(source: LabelSource) -> LabelSource:
    """Return the mask with the holes of each z plane filled, for membranes that are closed in the planes only.

    A hole takes the label that lies before its first voxel along x.
    """

    def filled(labels: Labels) -> Labels:
        return np.stack([_filled_plane(plane) for plane in labels]) if labels.any() else labels

    return source.map(filled)


def _filled_plane(plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
    rooms = import_optional("cc3d").connected_components((plane == 0).view(np.uint8), connectivity=4)
    border = np.unique(np.concatenate([rooms[0], rooms[-1], rooms[:, 0], rooms[:, -1]]))
    numbers, places = np.unique(rooms, return_index=True)
    hole = ~np.isin(numbers, border) & (numbers > 0)
    fill = np.zeros(int(rooms.max()) + 1, plane.dtype)
    fill[numbers[hole]] = plane.reshape(-1)[places[hole] - 1]
    return np.where(plane == 0, fill[rooms], plane)


def _chosen(instances: Instances, keep: npt.NDArray[np.bool_]) -> LabelSource:
    """Return the mask with those pieces alone."""
    table = np.concatenate([[False], keep])

    def slabs() -> Iterator[Labels]:
        for labels, ids in instances.slabs():
            yield labels * table[ids]

    return replace(instances.source, slabs=slabs)
