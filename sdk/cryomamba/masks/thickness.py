"""Thickness of a mask on its medial axis.

A voxel is on the medial axis if no neighbour is farther from the mask's edge: the ridge of the distance transform
(Blum, 1967). Distances are exact (Felzenszwalb and Huttenlocher, 2012, as in "edt"). The sub-voxel position of the
axis comes from the distances on either side.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from cryomamba.geometry import Spacing
from cryomamba.masks.slabs import Labels
from cryomamba.optional_imports import import_optional

LIMIT_A: Final = 400.0
_HALO_MAX: Final = 24
# Distances are to the centre of the nearest voxel outside, which is on average this far (in voxels, for both sides
# together) beyond the edge.
_BEYOND_EDGE: Final = 0.8
_TILE_VOXELS: Final = 8 * 1024 * 1024
# Most objects are thin: a margin of this fraction of the reach suffices for them, at half the cost.
_NEAR: Final = 0.4

Coordinates = tuple[npt.NDArray[np.intp], ...]
FlatIndices = npt.NDArray[np.int32]
Voxels = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float32]


def thickness_halo(voxel_size_A: Spacing) -> int:
    """Return the number of planes, at most 24, needed on either side of a slab to measure up to ``LIMIT_A``."""
    return min(math.ceil(LIMIT_A / 2 / voxel_size_A[0]) + 1, _HALO_MAX)


def medial_thickness(
    labels: Labels, core: slice, voxel_size_A: Spacing, *, threads: int = 1
) -> Iterator[tuple[FlatIndices, Floats]]:
    """Yield the thickness at the voxels of the medial axis in a window's core, in several parts.

    Parameters
    ----------
    labels : ndarray
        Window (z, y, x) with :func:`thickness_halo` planes before and after the core, as far as the volume reaches.
        Labels are measured separately. The mask is continued beyond the volume's border.
    core : slice
        The planes to measure.
    voxel_size_A : tuple of float
    threads : int

    Yields
    ------
    voxels : ndarray of int32
        Flat indices in the core of voxels on the medial axis.
    thickness : ndarray
        Å at each, limited by the halo.
    """
    shape = (core.stop - core.start, *labels.shape[1:])
    reach_A = thickness_halo(voxel_size_A) * voxel_size_A[0]
    for rows, columns in _tiles(labels.shape, math.ceil(_NEAR * reach_A / min(voxel_size_A[1:])) + 1):
        tile = (core, rows, columns)
        if not labels[tile].any():
            continue
        distance = _distances(labels, tile, voxel_size_A, _NEAR * reach_A, threads)
        # A larger margin can only bring the edge nearer, so the margin that is needed is known now.
        if (farthest := float(distance.max())) > _NEAR * reach_A:
            distance = _distances(labels, tile, voxel_size_A, min(farthest, reach_A), threads)
        np.minimum(distance, np.float32(reach_A), out=distance)
        (z, y, x), thickness = _measure(distance, voxel_size_A)
        yield np.ravel_multi_index((z, y + rows.start, x + columns.start), shape).astype(np.int32), thickness


def _tiles(shape: tuple[int, ...], margin: int) -> Iterator[tuple[slice, slice]]:
    """Yield square tiles of a window's planes that have about ``_TILE_VOXELS`` voxels with their margin."""
    side = max(math.isqrt(_TILE_VOXELS // shape[0]) - 2 * margin, margin)
    for y in range(0, shape[1], side):
        for x in range(0, shape[2], side):
            yield slice(y, min(y + side, shape[1])), slice(x, min(x + side, shape[2]))


def _distances(labels: Labels, tile: tuple[slice, ...], voxel_size_A: Spacing, reach_A: float, threads: int) -> Floats:
    """Return the distances to the mask's edge in a tile and one voxel around it, exact up to the reach.

    At the window's border, its last voxels are repeated.
    """
    near = [
        slice(max(side.start - math.ceil(reach_A / size) - 1, 0), side.stop + math.ceil(reach_A / size) + 1)
        for side, size in zip(tile, voxel_size_A, strict=True)
    ]
    distance: Floats = import_optional("edt").edt(
        np.ascontiguousarray(labels[tuple(near)]), anisotropy=voxel_size_A, black_border=False, parallel=threads
    )
    missing = [(int(side.start == 0), int(side.stop == size)) for side, size in zip(tile, labels.shape, strict=True)]
    inner = tuple(
        slice(side.start - at.start - 1 + first, side.stop - at.start + 1 - last)
        for side, at, (first, last) in zip(tile, near, missing, strict=True)
    )
    return np.pad(distance[inner], missing, "edge")


def _measure(distance: Floats, voxel_size_A: Spacing) -> tuple[Coordinates, Floats]:
    """Return a tile's voxels on the medial axis and the thickness there, from distances with one voxel around it."""
    core = np.zeros(distance.shape, np.bool_)
    core[1:-1, 1:-1, 1:-1] = distance[1:-1, 1:-1, 1:-1] > 0
    ridge, half = _ridge(distance, np.flatnonzero(core))
    beyond = _BEYOND_EDGE * math.prod(voxel_size_A) ** (1 / 3)
    thickness: Floats = np.maximum(2 * half - beyond, beyond).astype(np.float32)
    z, y, x = np.unravel_index(ridge, distance.shape)
    return (z - 1, y - 1, x - 1), thickness


def _ridge(distance: Floats, voxels: Voxels) -> tuple[Voxels, Floats]:
    """Return the voxels that are local maxima of the distance, and half the thickness there.

    Voxels are flat indices, none of them at the edge of `distance`. Half the thickness is the distance plus the offset
    of the true axis from the voxel, which is half the difference of the distances on either side.
    """
    strides = (distance.shape[1] * distance.shape[2], distance.shape[2], 1)
    flat = distance.reshape(-1)
    steps = [int(np.dot(step, strides)) for step in itertools.product((-1, 0, 1), repeat=3) if any(step)]
    for step in sorted(steps, key=abs):
        voxels = voxels[flat[voxels] >= flat[voxels + step]]
    off = np.zeros(voxels.size, np.float32)
    for step in strides:
        np.maximum(off, np.abs(flat[voxels + step] - flat[voxels - step]) / 2, out=off)
    return voxels, flat[voxels] + off
