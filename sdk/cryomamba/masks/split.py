"""Splitting of touching objects: a component that narrows between its parts becomes several instances.

Watershed of the distance transform (Beucher and Lantuéjoul, 1979), seeded at its maxima. Hollow objects (vesicles) are
filled for that, and the filling is removed again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.geometry import Spacing
from cryomamba.masks.clean import fill_holes
from cryomamba.masks.instances import Instances, find_instances
from cryomamba.masks.slabs import Labels, LabelSource, Progress
from cryomamba.optional_imports import import_optional

LARGEST_BOX: Final = 8 * 1024 * 1024
_LABELS_MAX: Final = 0xFFFF
# A maximum needs this prominence, as a fraction of its height; less is roughness of one object.
_MIN_PROMINENCE: Final = 0.15
# Step between levels, as a fraction of the highest maximum.
_LEVEL_STEP: Final = 0.05

Floats = npt.NDArray[np.floating[Any]]
Seeds = npt.NDArray[np.int32]


def split_instances(source: LabelSource, *, split: bool = True, progress: Progress | None = None) -> LabelSource:
    """Return the mask with one label per object, numbered from the largest component.

    Parameters
    ----------
    source : LabelSource
    split : bool
        Split touching objects; otherwise each component is one object. Components whose bounding box has more than 8
        million voxels are not split, to bound the memory; nor are sheets and networks, which have no maxima.
    progress : callable, optional
        Called with the fraction done; may raise to stop.

    Raises
    ------
    InvalidRequestError
        ``too_large``: there are more than 65,535 objects, the most that a mask can label.
    """
    report = progress or (lambda _: None)
    instances = find_instances(source, progress=lambda done: report(done * (0.5 if split else 1.0)))
    divided = _split_all(instances, source, report) if split else {}
    total = len(instances) + sum(int(parts.max()) - 1 for _, parts in divided.values())
    if total > _LABELS_MAX:
        raise InvalidRequestError(
            f"There are {total:,} objects; a mask can label {_LABELS_MAX:,}.",
            code=ErrorCode.TOO_LARGE,
            hint="Remove small components first, for example with 'cryomamba clean --min-volume'.",
        )
    first = len(instances)
    more: dict[int, tuple[npt.NDArray[np.intp], npt.NDArray[np.uint16]]] = {}
    for number, (start, parts) in divided.items():
        # The first part keeps the component's number, the others are numbered after all components.
        table = np.concatenate([[0, number], np.arange(first + 1, first + int(parts.max()))]).astype(np.uint16)
        more[number] = (start, table[parts])
        first += int(parts.max()) - 1

    def slabs() -> Iterator[Labels]:
        z = 0
        for _, ids in instances.slabs():
            numbered = ids.astype(np.uint16)
            for start, parts in more.values():
                _paste(numbered, z, start, parts)
            z += len(ids)
            yield numbered

    return replace(source, slabs=slabs)


def _paste(slab: npt.NDArray[np.uint16], z: int, start: npt.NDArray[Any], parts: npt.NDArray[np.uint16]) -> None:
    first, last = max(int(start[0]), z), min(int(start[0]) + len(parts), z + len(slab))
    if first < last:
        _, height, width = parts.shape
        own = parts[first - int(start[0]) : last - int(start[0])]
        into = slab[first - z : last - z, start[1] : start[1] + height, start[2] : start[2] + width]
        into[own > 0] = own[own > 0]


def _split_all(
    instances: Instances, source: LabelSource, report: Progress
) -> dict[int, tuple[npt.NDArray[np.intp], npt.NDArray[np.uint16]]]:
    extent = instances.stop - instances.start
    small = np.flatnonzero(extent.prod(axis=1) <= LARGEST_BOX)
    found = {}
    pending = {int(row) for row in small if instances.voxels[row] > 1}
    boxes: dict[int, npt.NDArray[np.bool_]] = {}
    z = 0
    for _, ids in instances.slabs():
        last = z + len(ids)
        for row in sorted(row for row in pending if instances.start[row, 0] < last):
            start, stop = instances.start[row], instances.stop[row]
            box = boxes.setdefault(row, np.zeros(tuple(stop - start), np.bool_))
            low, high = max(int(start[0]), z), min(int(stop[0]), last)
            here = ids[low - z : high - z, start[1] : stop[1], start[2] : stop[2]]
            box[low - start[0] : high - start[0]] = here == row + 1
            if stop[0] <= last:
                pending.discard(row)
                parts = split_component(boxes.pop(row), source.voxel_size_A)
                if parts.max() > 1:
                    found[row + 1] = (start, parts)
        z = last
        report(0.5 + 0.5 * z / source.shape[0])
    return found


def split_component(component: npt.NDArray[np.bool_], voxel_size_A: Spacing) -> npt.NDArray[np.uint16]:
    """Return one component (z, y, x) with its parts numbered from 1."""
    solid = np.pad(fill_holes(LabelSource.of_array(component)).array() > 0, 1)
    distance = import_optional("edt").edt(solid, anisotropy=voxel_size_A)
    levels = np.arange(float(distance.max()), 0, -max(float(distance.max()) * _LEVEL_STEP, min(voxel_size_A) / 2))
    seeds, count = _maxima(distance, levels, min(voxel_size_A))
    if count < 2:
        return component.astype(np.uint16)
    parts = _watershed(distance, levels, seeds)[1:-1, 1:-1, 1:-1]
    return np.where(component, parts, 0).astype(np.uint16)


def _maxima(distance: Floats, levels: Floats, voxel_A: float) -> tuple[Seeds, int]:
    """Return the prominent maxima of the distance transform as numbered seeds, and their number."""
    ndimage = import_optional("scipy.ndimage")
    seeds = np.zeros(distance.shape, np.int32)
    count = 0
    # From the highest level down: a region without a seed gets one once its maximum is prominent enough.
    for level in levels:
        regions, number = ndimage.label(distance >= level, np.ones((3, 3, 3)))
        every = np.arange(number + 1)
        heights, seeded = ndimage.maximum(distance, regions, every), ndimage.maximum(seeds, regions, every)
        new = (every > 0) & (seeded == 0) & (heights - level >= np.maximum(_MIN_PROMINENCE * heights, voxel_A))
        seeds += np.where(new, np.cumsum(new) + count, 0).astype(np.int32)[regions]
        count += int(new.sum())
    return seeds, count


def _watershed(distance: Floats, levels: Floats, seeds: Seeds) -> Seeds:
    """Grow the seeds level by level until they meet; the higher number wins ties."""
    ndimage = import_optional("scipy.ndimage")
    faces = ndimage.generate_binary_structure(3, 1)
    for level in (*levels, np.float32(1e-6)):
        free = (distance >= level) & (seeds == 0)
        while free.any():
            # Faces first: over corners, higher numbers would spread sideways at every level.
            grown = np.where(free, ndimage.maximum_filter(seeds, footprint=faces), 0)
            if not grown.any():
                grown = np.where(free, ndimage.maximum_filter(seeds, 3), 0)
            if not grown.any():
                break
            seeds = seeds + grown
            free &= seeds == 0
    return seeds
