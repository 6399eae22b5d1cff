"""Surface meshes of masks, slab by slab, for ChimeraX, Blender and MeshLab.

Surface nets (Gibson, 1998): one vertex in each cell of eight voxels that the surface crosses, one quad for each pair of
neighbouring voxels that it separates. The topology is that of the mask; the positions of the vertices come from the
mask smoothed with a Gaussian, so the mesh is free of voxel steps and keeps thin structures. Meshes are closed, also at
the volume's border, with outward normals.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from cryomamba.masks.slabs import LabelSource, Progress, Window, windows
from cryomamba.optional_imports import import_optional
from cryomamba.volumes.grid import Triple

_SIGMA: Final = 1.0
_HALO: Final = 5
# Least distance (in voxels) of a vertex from the voxel centres on either side, so that no triangle is degenerate.
_MARGIN: Final = 0.1
_CORNERS: Final = tuple(itertools.product((0, 1), repeat=3))
_EDGES: Final = tuple(
    (a, b)
    for a, b in itertools.combinations(range(8), 2)
    if sum(abs(p - q) for p, q in zip(_CORNERS[a], _CORNERS[b], strict=True)) == 1
)

Flags = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class MeshPart:
    """The part of a mesh that a slab adds.

    Attributes
    ----------
    first : int
        Index of its first vertex; indices count through all parts, from 0.
    points : ndarray of float32, (n, 3)
        x, y, z in Å.
    quads : ndarray of int64, (m, 4)
        Vertex indices of this part or the one before, counterclockwise seen from outside.
    """

    first: int
    points: Points
    quads: Indices


def mesh_parts(
    source: LabelSource,
    label: int | None = None,
    *,
    placement_A: Triple = (0.0, 0.0, 0.0),
    progress: Progress | None = None,
) -> Iterator[MeshPart]:
    """Yield the mesh of a label (None: of all labels merged), slab by slab.

    Parameters
    ----------
    source : LabelSource
    label : int, optional
    placement_A : tuple of float
        Position (z, y, x) in Å of the centre of voxel (0, 0, 0).
    progress : callable, optional
        Called with the fraction done; may raise to stop.

    Raises
    ------
    InvalidRequestError
        ``engine_unavailable``: scipy is not installed.
    """
    net = _SurfaceNet(source, placement_A)
    mask = source.map(lambda labels: (labels > 0 if label is None else labels == label).view(np.uint8))
    for window in windows(mask.slabs(), _HALO):
        yield net.add(window)
        if progress is not None:
            progress((window.start + window.core.stop) / source.shape[0])


class _SurfaceNet:
    """Builds a surface net slab by slab; keeps the vertices of the last layer of cells."""

    def __init__(self, source: LabelSource, placement_A: Triple) -> None:
        self._shape = source.shape
        self._size = np.array(source.voxel_size_A)
        self._placement = np.array(placement_A)
        self._count = 0
        _, height, width = source.shape
        self._layer = np.full((1, height + 1, width + 1), -1, np.int64)

    def add(self, window: Window) -> MeshPart:
        inside, smooth, top = self._block(window)
        cells = _cell_corners(inside)
        mixed = cells.any(axis=0) & ~cells.all(axis=0)
        where = np.array(np.nonzero(mixed))
        first, self._count = self._count, self._count + where.shape[1]
        layers = np.full(mixed.shape, -1, np.int64)
        layers[mixed] = np.arange(first, self._count)
        layers = np.concatenate([self._layer, layers])
        self._layer = layers[-1:]
        return MeshPart(first, self._points(inside, smooth, where, top), _quads(inside, layers))

    def _block(self, window: Window) -> tuple[Flags, Points, int]:
        """Return mask and smoothed mask of the slab and the plane before it, padded around the volume, and its z."""
        start = window.start + window.core.start
        last = window.start + window.core.stop == self._shape[0]
        bottom = window.start + len(window.data) == self._shape[0]
        mask = np.pad(window.data, ((int(window.start == 0), int(bottom)), (1, 1), (1, 1)))
        smooth = import_optional("scipy.ndimage").gaussian_filter(
            mask, _SIGMA, output=np.float32, truncate=2.5, mode="nearest"
        )
        begin = start - 1 - window.start + int(window.start == 0)
        stop = begin + 1 + (window.core.stop - window.core.start) + int(last)
        return mask[begin:stop] > 0, smooth[begin:stop], start - 1

    def _points(self, inside: Flags, smooth: Points, where: npt.NDArray[np.intp], top: int) -> Points:
        corners = [tuple(where + np.array(corner)[:, None]) for corner in _CORNERS]
        values = [smooth[corner] for corner in corners]
        sides = [inside[corner] for corner in corners]
        total, crossings = np.zeros((3, where.shape[1])), np.zeros(where.shape[1])
        for a, b in _EDGES:
            crossed = sides[a] != sides[b]
            difference = values[b] - values[a]
            # Where the smoothed mask contradicts the mask, the vertex lies halfway.
            agrees = (difference > 0) == sides[b]
            at = np.divide(0.5 - values[a], difference, out=np.full_like(difference, 0.5), where=agrees & crossed)
            at = np.clip(at, _MARGIN, 1 - _MARGIN)
            for axis in range(3):
                p, q = _CORNERS[a][axis], _CORNERS[b][axis]
                total[axis] += np.where(crossed, p + (q - p) * at, 0)
            crossings += crossed
        voxel = where + total / np.maximum(crossings, 1) + np.array([top, -1, -1])[:, None]
        points = voxel * self._size[:, None] + self._placement[:, None]
        xyz: Points = points[::-1].T.astype(np.float32)
        return xyz


def _cell_corners(inside: Flags) -> Flags:
    depth, height, width = inside.shape
    return np.stack([inside[z : depth - 1 + z, y : height - 1 + y, x : width - 1 + x] for z, y, x in _CORNERS])


def _quads(inside: Flags, layers: Indices) -> Indices:
    """Return a quad for each pair of face neighbours on different sides; layer 0 lies before the first plane."""
    found = [np.empty((0, 4), np.int64)]
    # For each axis, the four cells around an edge, ordered so that the normal points along the axis.
    around = {
        0: ((1, -1, -1), (1, -1, 0), (1, 0, 0), (1, 0, -1)),
        1: ((0, 0, -1), (1, 0, -1), (1, 0, 0), (0, 0, 0)),
        2: ((0, -1, 0), (0, 0, 0), (1, 0, 0), (1, -1, 0)),
    }
    planes, every = inside[:-1], slice(None)
    for axis, cells in around.items():
        low = planes if axis == 0 else planes[(every, *(slice(-1) if axis == n else every for n in (1, 2)))]
        high = inside[1:] if axis == 0 else planes[(every, *(slice(1, None) if axis == n else every for n in (1, 2)))]
        for flip, change in ((False, low & ~high), (True, ~low & high)):
            where = np.array(np.nonzero(change))
            quad = np.stack([layers[tuple(where + np.array(cell)[:, None])] for cell in cells], axis=1)
            found.append(quad[:, ::-1] if flip else quad)
    return np.concatenate(found)
