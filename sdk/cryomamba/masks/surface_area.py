"""Surface area of a mask: its voxel faces, each weighted by the cosine between its normal and the surface's.

Counting faces overestimates an oblique surface by up to three quarters. Here the area of a face is multiplied by the
cosine between its normal and that of the surface, the gradient of the mask smoothed with a Gaussian. Planes are exact
in any direction, balls and shells to about 1.5 %. Coeurjolly, Flin, Teytaud and Tougne, "Multigrid
convergence and surface area estimation" (2003); normals as in Lenoir, Malgouyres and Revenu (1996).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import numpy as np
import numpy.typing as npt

from cryomamba.geometry import Spacing
from cryomamba.masks.slabs import Labels, strips
from cryomamba.optional_imports import import_optional

METHOD: Final = "voxel faces weighted by the normals of the smoothed mask (Coeurjolly et al. 2003)"
HALO: Final = 5
_SIGMA: Final = 1.1
_TRUNCATE: Final = 2.5
_VOXELS: Final = 4 * 1024 * 1024

Coordinates = tuple[npt.NDArray[np.intp], ...]
FlatIndices = npt.NDArray[np.int32]
Voxels = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float32]


def face_areas(
    labels: Labels, core: slice, voxel_size_A: Spacing, *, threads: int = 1
) -> Iterator[tuple[FlatIndices, Floats]]:
    """Yield the surface area of the voxels in a window's core, in several parts.

    Each label has its own surface, also where two labels touch. Faces on the volume's border do not count.

    Parameters
    ----------
    labels : ndarray
        Window (z, y, x) with ``HALO`` planes before and after the core, as far as the volume reaches.
    core : slice
        The planes to measure.
    voxel_size_A : tuple of float
    threads : int

    Yields
    ------
    voxels : ndarray of int32
        Flat indices in the core of voxels at the surface, once per face.
    areas : ndarray
        Å² of each face.
    """
    near = labels[max(core.start - HALO, 0) : core.stop + HALO]
    top = min(core.start, HALO)

    shape = (core.stop - core.start, *labels.shape[1:])

    def faces(rows: slice) -> list[tuple[FlatIndices, Floats]]:
        first = max(rows.start - HALO, 0)
        strip = near[:, first : rows.stop + HALO]
        counted = (slice(top, top + shape[0]), slice(rows.start - first, rows.stop - first))
        return [
            (np.ravel_multi_index((z - top, y + first, x), shape).astype(np.int32), areas)
            for label, box in _boxes(strip)
            for (z, y, x), areas in _label_faces(strip[box] == label, counted, box, voxel_size_A)
        ]

    with ThreadPoolExecutor(threads) as pool:
        pending: deque[Future[list[tuple[FlatIndices, Floats]]]] = deque()
        # The faces of a noisy mask take far more memory than the mask, so few strips are computed ahead.
        for rows in strips(near.shape, HALO, voxels=_VOXELS):
            pending.append(pool.submit(faces, rows))
            if len(pending) > threads:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()


def _boxes(labels: Labels) -> Iterator[tuple[int, tuple[slice, ...]]]:
    highest = int(labels.max(initial=0))
    if highest == 1:
        yield 1, tuple(slice(0, size) for size in labels.shape)
    elif highest:
        found = import_optional("scipy.ndimage").find_objects(labels.astype(np.int32, copy=False))
        for label, box in enumerate(found, 1):
            if box is not None:
                yield label, tuple(slice(max(side.start - HALO, 0), side.stop + HALO) for side in box)


def _label_faces(
    mask: npt.NDArray[np.bool_], core: tuple[slice, slice], box: tuple[slice, ...], voxel_size_A: Spacing
) -> Iterator[tuple[Coordinates, Floats]]:
    """Yield the faces of voxels in the core's planes and rows, in coordinates of the array that `box` refers to."""
    smooth = import_optional("scipy.ndimage").gaussian_filter(
        mask.view(np.uint8), _SIGMA, output=np.float32, truncate=_TRUNCATE, mode="nearest"
    )
    # The mask is sparse, so its voxels are listed once, by flat index; padding makes border checks unnecessary.
    padded = np.pad(mask, 1, mode="edge")
    field = _SmoothedMask(np.pad(smooth, 1, mode="edge"), voxel_size_A)
    solid = padded.reshape(-1)
    counted = np.zeros_like(padded)
    planes, rows = (
        slice(max(side.start - at.start, 0) + 1, max(min(side.stop - at.start, size), 0) + 1)
        for side, at, size in zip(core, box, mask.shape, strict=False)
    )
    counted[planes, rows, 1:-1] = padded[planes, rows, 1:-1]
    voxels = np.flatnonzero(counted)
    origin = tuple(side.start - 1 for side in box)
    for axis in range(3):
        for step in (field.strides[axis], -field.strides[axis]):
            inside = voxels[~solid[voxels + step]]
            z, y, x = np.unravel_index(inside, padded.shape)
            yield (z + origin[0], y + origin[1], x + origin[2]), field.areas(inside, inside + step, axis)


class _SmoothedMask:
    """The smoothed mask, whose gradient gives the normals; voxels are flat indices, none of them at its edge."""

    def __init__(self, smooth: Floats, voxel_size_A: Spacing) -> None:
        self._smooth = smooth.reshape(-1)
        self._size = voxel_size_A
        self.strides = (smooth.shape[1] * smooth.shape[2], smooth.shape[2], 1)

    def areas(self, inside: Voxels, outside: Voxels, axis: int) -> Floats:
        normal = [self._difference(inside, outside, a) / np.float32(self._size[a]) for a in range(3)]
        length = np.sqrt(normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2)
        face = math.prod(self._size) / self._size[axis]
        # Without a gradient (in a plane one voxel thick) the face counts in full.
        cosine = np.divide(np.abs(normal[axis]), length, out=np.ones_like(length), where=length > 0)
        areas: Floats = cosine * np.float32(face)
        return areas

    def _difference(self, inside: Voxels, outside: Voxels, axis: int) -> Floats:
        step, smooth = self.strides[axis], self._smooth
        return smooth[inside + step] - smooth[inside - step] + smooth[outside + step] - smooth[outside - step]
