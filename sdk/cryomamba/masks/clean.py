"""Cleaning of masks, slab by slab: remove small components, keep some components, fill holes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cryomamba.errors import NotFoundError
from cryomamba.masks.instances import Instances, find_instances
from cryomamba.masks.slabs import Labels, LabelSource, Progress
from cryomamba.optional_imports import import_optional


def remove_small_components(
    source: LabelSource, min_volume_nm3: float, *, progress: Progress | None = None
) -> LabelSource:
    """Return the mask without components below a volume (nm³); voxels have 26 neighbours."""
    instances = find_instances(source, progress=progress)
    return _keep(instances, instances.voxels * source.voxel_volume_nm3 >= min_volume_nm3 * (1 - 1e-9))


def keep_components(source: LabelSource, numbers: Collection[int], *, progress: Progress | None = None) -> LabelSource:
    """Return the mask with only these components, which are numbered from 1, the largest.

    Raises
    ------
    NotFoundError
        There is no such component.
    """
    instances = find_instances(source, progress=progress)
    for number in numbers:
        if not 0 < number <= len(instances):
            raise NotFoundError(
                f"There is no component {number}; the mask has {len(instances)}.",
                hint="Components are numbered by size, 1 is the largest; 'cryomamba measure' lists them.",
            )
    keep = np.zeros(len(instances), np.bool_)
    keep[np.array(sorted(numbers), np.int64) - 1] = True
    return _keep(instances, keep)


def fill_holes(source: LabelSource, *, progress: Progress | None = None) -> LabelSource:
    """Return the mask with its holes filled: background components (6 neighbours) that do not reach the border.

    A hole gets the label of the voxel before its first one along x: the surrounding label, if there is only one.
    """
    background = source.map(lambda labels: (labels == 0).view(np.uint8))
    regions = find_instances(background, connectivity=6, progress=progress)
    inside = (regions.start > 0).all(axis=1) & (regions.stop < np.array(source.shape)).all(axis=1)
    fill = np.zeros(len(regions) + 1, np.uint32)
    missing: npt.NDArray[np.bool_] = np.array(inside)
    z = 0
    for labels, (_, ids) in zip(source.slabs(), regions.slabs(), strict=True):
        for number in np.flatnonzero(missing & (regions.start[:, 0] >= z) & (regions.start[:, 0] < z + len(ids))):
            (top, row, left), (_, bottom, right) = regions.start[number], regions.stop[number]
            plane = ids[top - z, row:bottom, left:right] == number + 1
            y, x = np.argwhere(plane)[0]
            fill[number + 1] = labels[top - z, row + y, left + x - 1]
            missing[number] = False
        z += len(ids)

    def slabs() -> Iterator[Labels]:
        for labels, (_, ids) in zip(source.slabs(), regions.slabs(), strict=True):
            filled = fill[ids].astype(labels.dtype)
            yield np.where(labels == 0, filled, labels)

    return replace(source, slabs=slabs)


def fill_holes_in_planes(source: LabelSource) -> LabelSource:
    """Return the mask with the holes of each z plane filled, for membranes that are closed within planes only.

    A hole gets the label of the voxel before its first one along x.
    """

    def filled(labels: Labels) -> Labels:
        return np.stack([_filled_plane(plane) for plane in labels]) if labels.any() else labels

    return source.map(filled)


def _filled_plane(plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
    regions = import_optional("cc3d").connected_components((plane == 0).view(np.uint8), connectivity=4)
    border = np.unique(np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]]))
    numbers, first = np.unique(regions, return_index=True)
    hole = ~np.isin(numbers, border) & (numbers > 0)
    fill = np.zeros(int(regions.max()) + 1, plane.dtype)
    fill[numbers[hole]] = plane.reshape(-1)[first[hole] - 1]
    return np.where(plane == 0, fill[regions], plane)


def _keep(instances: Instances, keep: npt.NDArray[np.bool_]) -> LabelSource:
    table = np.concatenate([[False], keep])

    def slabs() -> Iterator[Labels]:
        for labels, ids in instances.slabs():
            yield labels * table[ids]

    return replace(instances.source, slabs=slabs)
