"""The surface of a mask as triangles, on a grid coarse enough to be made while one waits. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cryomamba.masks.mesh import mesh_parts
from cryomamba.masks.slabs import LabelSource
from napari_cryomamba.models.thresholds import block_maximum

COARSE_VOXELS = 200**3
"""About a second's work, and half a million triangles for a crowded tomogram."""
# Small, so that the window does not wait for a long call of numpy.
_SLAB_VOXELS = 1 << 19
_COARSENING = 0.3

Points = npt.NDArray[np.float32]
Triangles = npt.NDArray[np.int32]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Isosurface:
    """Triangles around all that is not 0.

    Attributes
    ----------
    vertices : ndarray of float32, (n, 3)
        z, y, x in voxels of the mask.
    triangles : ndarray of int32, (m, 3)
        Indices of vertices, counterclockwise seen from outside.
    labels : ndarray of int64, (n,)
        The label at each vertex.
    """

    vertices: Points
    triangles: Triangles
    labels: Numbers


def isosurface(
    mask: Any,  # noqa: ANN401 (whatever napari slices)
    *,
    voxels_max: int = COARSE_VOXELS,
    progress: Callable[[float], None] | None = None,
) -> Isosurface:
    """Return the surface of a mask; for any thread.

    Parameters
    ----------
    mask : array-like of integers, ZYX
    voxels_max : int
        A larger mask is made coarser: a block of voxels has the largest of its labels, so nothing gets lost.
    progress : callable, optional
        Called with the fraction done; may raise to stop.
    """
    factor = max(math.ceil((math.prod(mask.shape) / voxels_max) ** (1 / 3)), 1)

    def coarsening(fraction: float) -> None:
        if progress is not None:
            progress(_COARSENING * fraction)

    def meshing(fraction: float) -> None:
        if progress is not None:
            progress(_COARSENING + (1 - _COARSENING) * fraction)

    coarse = np.asarray(mask) if factor == 1 else block_maximum(mask, factor, progress=coarsening)
    parts = list(mesh_parts(LabelSource.of_array(coarse, slab_voxels=_SLAB_VOXELS), progress=meshing))
    vertices = np.concatenate([part.points for part in parts])[:, ::-1]
    quads = np.concatenate([part.quads for part in parts]).astype(np.int32)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    labels = _labels_at(coarse, vertices)
    return Isosurface(vertices * np.float32(factor) + np.float32((factor - 1) / 2), triangles, labels)


def _labels_at(mask: npt.NDArray[Any], vertices: Points) -> Numbers:
    """Return the largest label among the eight voxels around each vertex."""
    below = np.floor(vertices).astype(np.int64)
    found = np.zeros(len(vertices), np.int64)
    last = np.array(mask.shape) - 1
    for corner in itertools.product((0, 1), repeat=3):
        # Beyond the border of the volume is what is at its border: a vertex there belongs to that voxel.
        at = np.clip(below + corner, 0, last)
        np.maximum(found, mask[tuple(at.T)], out=found)
    return found
