"""How thick a mask is, at the voxels that lie in its middle.

A voxel lies in the middle if no neighbour is further from the mask's edge (the ridge of the distance transform, after
Blum's medial axis, 1967). The distance is exact (Felzenszwalb and Huttenlocher, 2012, as in "edt"). Between two voxels
the middle is found from the distances on either side.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from cryomamba.libraries import library
from cryomamba.masks.slabs import Labels, strips
from cryomamba.records import Spacing

LIMIT_A: Final = 400.0
_HALO_MAX: Final = 24
# Distances end at the centre of the nearest voxel outside, on average so far (in voxels, both sides) behind the edge.
_BEHIND_EDGE: Final = 0.8
_DISTANCES: Final = 16 * 1024 * 1024

Places = tuple[npt.NDArray[np.intp], ...]
Spots = npt.NDArray[np.int32]
Voxels = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float32]


def thickness_halo(voxel_size_A: Spacing) -> int:
    """Return how many planes before and after a slab are needed to measure up to ``LIMIT_A``, at most 24."""
    return min(math.ceil(LIMIT_A / 2 / voxel_size_A[0]) + 1, _HALO_MAX)


def medial_thickness(
    labels: Labels, core: slice, voxel_size_A: Spacing, *, threads: int = 1
) -> Iterator[tuple[Spots, Floats]]:
    """Yield the thickness at the middle of what is in a window's core, in several parts.

    Parameters
    ----------
    labels : ndarray
        Window (z, y, x) with :func:`thickness_halo` planes before and after the core, as far as the volume has them.
        Each label is measured for itself. Beyond the volume's border the mask is taken to go on.
    core : slice
        The planes that count.
    voxel_size_A : tuple of float
    threads : int

    Yields
    ------
    voxels : ndarray of int32
        Flat indices in the core of voxels in the middle.
    thickness : ndarray
        Å at each; what is thicker than the halo lets one see reads as that.
    """
    limit = thickness_halo(voxel_size_A) * voxel_size_A[0]
    margin = math.ceil(limit / voxel_size_A[1]) + 1
    for rows in strips(labels.shape, margin, voxels=_DISTANCES):
        first = max(rows.start - margin, 0)
        strip = labels[:, first : rows.stop + margin]
        inner = slice(rows.start - first, rows.stop - first)
        if strip[core, inner].any():
            (z, y, x), thickness = _measure(strip, core, inner, voxel_size_A, threads)
            shape = (core.stop - core.start, *labels.shape[1:])
            yield np.ravel_multi_index((z, y + rows.start, x), shape).astype(np.int32), thickness


def _measure(labels: Labels, planes: slice, rows: slice, voxel_size_A: Spacing, threads: int) -> tuple[Places, Floats]:
    """Measure the planes and rows of a window; places count from their first ones."""
    limit = thickness_halo(voxel_size_A) * voxel_size_A[0]
    distance = library("edt").edt(
        np.ascontiguousarray(labels), anisotropy=voxel_size_A, black_border=False, parallel=threads
    )
    np.minimum(distance, np.float32(limit), out=distance)
    beside = (slice(max(planes.start - 1, 0), planes.stop + 1), slice(max(rows.start - 1, 0), rows.stop + 1))
    near = np.pad(distance[beside], 1, "edge")
    top, left = min(planes.start, 1) + 1, min(rows.start, 1) + 1
    core = np.zeros(near.shape, np.bool_)
    inner = (slice(top, top + planes.stop - planes.start), slice(left, left + rows.stop - rows.start), slice(1, -1))
    core[inner] = near[inner] > 0
    middle, half = _ridge(near, np.flatnonzero(core))
    behind = _BEHIND_EDGE * math.prod(voxel_size_A) ** (1 / 3)
    thickness: Floats = np.maximum(2 * half - behind, behind).astype(np.float32)
    z, y, x = np.unravel_index(middle, near.shape)
    return (z - top, y - left, x - 1), thickness


def _ridge(distance: Floats, voxels: Voxels) -> tuple[Voxels, Floats]:
    """Return those of the voxels that no neighbour is further from the edge than, and half the thickness there.

    Voxels are flat indices, none of them at the edge of `distance`. Half the thickness is the distance, and how far
    the true middle lies beside the voxel: half the difference of the distances on either side.
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
