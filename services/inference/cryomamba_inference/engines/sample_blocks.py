"""Blocks of a volume from which a threshold is determined. Pure but for reading the region."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np

from cryomamba.engines.api import Inside, Slices
from cryomamba.geometry import Shape

_SIDE = 32  # voxels
_BLOCKS = 27


def sample_blocks(shape: Shape, within: Callable[[Slices], Inside] | None) -> list[Slices]:
    """Return the blocks to sample: the whole volume if it is small, else 27 blocks of 32³ voxels.

    They lie on a regular grid; with a region, they are evenly spaced among all blocks that have a voxel in it, so that
    a small region is found too. Only voxels inside should be used.
    """
    if math.prod(shape) <= _BLOCKS * _SIDE**3:
        return [(slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2]))]
    if within is None:
        return list(product(_three_spans(shape[0]), _three_spans(shape[1]), _three_spans(shape[2])))
    touching = list(_touching(shape, within))
    picked = sorted({int((number + 0.5) / _BLOCKS * len(touching)) for number in range(_BLOCKS)})
    return [touching[number] for number in picked]


def _three_spans(size: int) -> list[slice]:
    side = min(size, _SIDE)
    starts = sorted({round(at * (size - side)) for at in (1 / 6, 1 / 2, 5 / 6)})
    return [slice(start, start + side) for start in starts]


def _touching(shape: Shape, within: Callable[[Slices], Inside]) -> Iterator[Slices]:
    """Yield the blocks of a grid over the volume that have a voxel inside; reads one row of blocks at a time."""
    for z, y in product(_grid(shape[0]), _grid(shape[1])):
        columns = within((z, y, slice(0, shape[2]))).any(axis=(0, 1))
        found = np.logical_or.reduceat(columns, np.arange(0, shape[2], _SIDE))
        yield from ((z, y, x) for x, touches in zip(_grid(shape[2]), found, strict=True) if touches)


def _grid(size: int) -> list[slice]:
    return [slice(start, min(start + _SIDE, size)) for start in range(0, size, _SIDE)]
