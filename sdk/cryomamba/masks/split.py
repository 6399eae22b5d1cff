"""Touching things taken apart: a piece of a mask that narrows between its parts becomes several instances.

The usual way (Beucher and Lantuéjoul, 1979): the distance to the edge makes a hill of each part, the hills' tops are
the seeds, and a watershed runs between them. Hollow things (vesicles) are filled for that, and hollow again
after it.
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
from cryomamba.masks.slabs import Labels, LabelSource, Step
from cryomamba.optional_imports import import_optional

LARGEST_BOX: Final = 8 * 1024 * 1024
_MOST: Final = 0xFFFF
# Below so much of the smaller top's height, a dip between two tops is roughness of one thing.
_DIP: Final = 0.15
_FALL: Final = 0.05


Floats = npt.NDArray[np.floating[Any]]
Seeds = npt.NDArray[np.int32]


def split_instances(source: LabelSource, *, split: bool = True, step: Step | None = None) -> LabelSource:
    """Return the mask with a number for each thing instead of its label, the largest piece first.

    Parameters
    ----------
    source : LabelSource
    split : bool
        Take touching things apart; without it, each connected piece is one. Pieces whose box has more than 8
        million voxels stay whole, so that memory stays flat; so do sheets and nets, which have no tops to start from.
    step : callable, optional
        Called with the fraction done; may raise to stop.

    Raises
    ------
    InvalidRequestError
        ``too_large``: there are more than 65,535, the most that a mask can number.
    """
    tell = step or (lambda _: None)
    instances = find_instances(source, step=lambda done: tell(done * (0.5 if split else 1.0)))
    cuts = _cut_all(instances, source, tell) if split else {}
    total = len(instances) + sum(int(parts.max()) - 1 for _, parts in cuts.values())
    if total > _MOST:
        raise InvalidRequestError(
            f"There are {total:,} pieces; a mask can number {_MOST:,}.",
            code=ErrorCode.TOO_LARGE,
            hint="Remove small pieces first, with --min-volume.",
        )
    first = len(instances)
    more: dict[int, tuple[npt.NDArray[np.intp], npt.NDArray[np.uint16]]] = {}
    for number, (start, parts) in cuts.items():
        # The first part keeps the piece's number, the others come after all pieces.
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


def _cut_all(
    instances: Instances, source: LabelSource, tell: Step
) -> dict[int, tuple[npt.NDArray[np.intp], npt.NDArray[np.uint16]]]:
    """Return for each piece that falls into parts where its box begins and the parts' numbers in it."""
    extent = instances.stop - instances.start
    small = np.flatnonzero(extent.prod(axis=1) <= LARGEST_BOX)
    found = {}
    waiting = {int(row) for row in small if instances.voxels[row] > 1}
    held: dict[int, npt.NDArray[np.bool_]] = {}
    z = 0
    for _, ids in instances.slabs():
        last = z + len(ids)
        for row in sorted(row for row in waiting if instances.start[row, 0] < last):
            start, stop = instances.start[row], instances.stop[row]
            box = held.setdefault(row, np.zeros(tuple(stop - start), np.bool_))
            low, high = max(int(start[0]), z), min(int(stop[0]), last)
            here = ids[low - z : high - z, start[1] : stop[1], start[2] : stop[2]]
            box[low - start[0] : high - start[0]] = here == row + 1
            if stop[0] <= last:
                waiting.discard(row)
                parts = split_component(held.pop(row), source.voxel_size_A)
                if parts.max() > 1:
                    found[row + 1] = (start, parts)
        z = last
        tell(0.5 + 0.5 * z / source.shape[0])
    return found


def split_component(piece: npt.NDArray[np.bool_], voxel_size_A: Spacing) -> npt.NDArray[np.uint16]:
    """Return one connected piece (z, y, x) with its parts numbered from 1 on."""
    solid = np.pad(fill_holes(LabelSource.of_array(piece)).array() > 0, 1)
    distance = import_optional("edt").edt(solid, anisotropy=voxel_size_A)
    levels = np.arange(float(distance.max()), 0, -max(float(distance.max()) * _FALL, min(voxel_size_A) / 2))
    seeds, count = _tops(distance, levels, min(voxel_size_A))
    if count < 2:
        return piece.astype(np.uint16)
    parts = _flooded(distance, levels, seeds)[1:-1, 1:-1, 1:-1]
    return np.where(piece, parts, 0).astype(np.uint16)


def _tops(distance: Floats, levels: Floats, voxel_A: float) -> tuple[Seeds, int]:
    """Return the hills' tops as seeds: each hill that stands out from the dip towards a higher one."""
    ndimage = import_optional("scipy.ndimage")
    seeds = np.zeros(distance.shape, np.int32)
    count = 0
    # Water that falls level by level: a region without a seed gets one when it stands high enough above the water.
    for level in levels:
        regions, number = ndimage.label(distance >= level, np.ones((3, 3, 3)))
        every = np.arange(number + 1)
        tops, seeded = ndimage.maximum(distance, regions, every), ndimage.maximum(seeds, regions, every)
        new = (every > 0) & (seeded == 0) & (tops - level >= np.maximum(_DIP * tops, voxel_A))
        seeds += np.where(new, np.cumsum(new) + count, 0).astype(np.int32)[regions]
        count += int(new.sum())
    return seeds, count


def _flooded(distance: Floats, levels: Floats, seeds: Seeds) -> Seeds:
    """Let the seeds grow down their hills, level by level, until they meet; the higher number wins a draw."""
    ndimage = import_optional("scipy.ndimage")
    faces = ndimage.generate_binary_structure(3, 1)
    for level in (*levels, np.float32(1e-6)):
        free = (distance >= level) & (seeds == 0)
        while free.any():
            # Over faces first: over corners, the higher number would creep sideways with every level.
            grown = np.where(free, ndimage.maximum_filter(seeds, footprint=faces), 0)
            if not grown.any():
                grown = np.where(free, ndimage.maximum_filter(seeds, 3), 0)
            if not grown.any():
                break
            seeds = seeds + grown
            free &= seeds == 0
    return seeds
