"""The medial surface of a membrane mask: its voxels, sub-voxel positions, normals and area.

The mask is smoothed with a Gaussian of a third of its thickness, so that its medial surface becomes a ridge. At each
voxel the ridge's normal is the eigenvector of the most negative second derivative, and the offset to the ridge is one
Newton step along it (Steger, "An unbiased detector of curvilinear structures", 1998). Of two face neighbours on either
side of the ridge, the nearer one belongs to the surface. The surface thus separates its two sides for 6-connected
paths and is as thin as such a surface can be: one voxel per column (naive planes; Andres, Acharya and Sibata, 1997).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from cryomamba.geometry import Spacing
from cryomamba.masks.ridge import TRUNCATE, Ridge
from cryomamba.masks.slabs import LabelSource, Window, windows
from cryomamba.masks.thickness import medial_thickness, thickness_halo

METHOD: Final = "ridge of the smoothed mask; each voxel's share by its normal"
_SIGMA_PER_THICKNESS: Final = 0.33
_SIGMA_MIN: Final = 1.25
_SIGMA_MAX_A: Final = 160.0
_STRIP_VOXELS: Final = 2 * 1024 * 1024

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class MedialSurfacePart:
    """The medial surface within a slab, one row per voxel in volume order; vectors in z, y, x.

    Attributes
    ----------
    voxels : ndarray of int64, (n, 3)
        Voxels of the surface; all lie in the mask.
    points : ndarray of float32, (n, 3)
        Nearest point of the surface to each, in voxels; the centre of the first voxel is 0.0.
    normals : ndarray of float32, (n, 3)
        Unit normals in physical space, of arbitrary sign.
    areas_A2 : ndarray of float32, (n,)
        Surface area of each voxel.
    depths : ndarray of float32, (n,)
        Smoothed mask relative to the interior of a sheet: 1 inside, 0.5 at the rim.
    """

    voxels: Indices
    points: Floats
    normals: Floats
    areas_A2: Floats
    depths: Floats


def medial_surface(source: LabelSource, label: int | None, thickness_A: float) -> Iterator[MedialSurfacePart]:
    """Yield the medial surface of a label, one part per slab of the source.

    Parameters
    ----------
    source : LabelSource
    label : int or None
        Other labels count as background; None merges all labels. The mask is continued beyond the volume's border.
    thickness_A : float
        Approximate thickness of the mask, right within a factor of two.
    """
    size = source.voxel_size_A
    smoothing_A = max(min(_SIGMA_PER_THICKNESS * thickness_A, _SIGMA_MAX_A), _SIGMA_MIN * max(size))
    sigma = [smoothing_A / along for along in size]
    inside = math.erf(thickness_A / smoothing_A / math.sqrt(8))
    mask = _binary(source, label)
    for window in windows(mask.slabs(), math.ceil(TRUNCATE * sigma[0]) + 2):
        yield _part(window, sigma, size, inside)


def _binary(source: LabelSource, label: int | None) -> LabelSource:
    return source.map(lambda labels: (labels > 0 if label is None else labels == label).view(np.uint8))


def typical_thickness_A(source: LabelSource, label: int | None) -> float:
    """Return the median thickness (Å) of a label in the slab with most of its voxels; 0 if the label does not occur."""
    size, best, highest = source.voxel_size_A, None, 0
    mask = _binary(source, label)
    for window in windows(mask.slabs(), thickness_halo(size)):
        if (count := int(window.data[window.core].sum(dtype=np.int64))) > highest:
            best, highest = window, count
    if best is None:
        return 0.0
    parts = [thickness for _, thickness in medial_thickness(best.data, best.core, size)]
    return float(np.median(np.concatenate(parts))) if any(part.size for part in parts) else min(size)


def _part(window: Window, sigma: list[float], size: Spacing, inside: float) -> MedialSurfacePart:
    margin = [math.ceil(TRUNCATE * along) + 2 for along in sigma]
    found = []
    for rows in _strips(window, margin[1]):
        strip = window.data[window.core, rows]
        columns = np.flatnonzero(strip.any(axis=(0, 1)))
        if columns.size:
            top, left = max(rows.start - margin[1], 0), max(int(columns[0]) - margin[2], 0)
            right = int(columns[-1]) + 1
            box = (window.core, slice(rows.start - top, rows.stop - top), slice(int(columns[0]) - left, right - left))
            part = window.data[:, top : rows.stop + margin[1], left : right + margin[2]]
            voxels, *rest = Ridge(part, box, sigma, size, inside).surface()
            found.append((voxels + np.array([window.start, top, left]), *rest))
    if not found:
        nothing = np.empty((0, 3), np.float32)
        return MedialSurfacePart(np.empty((0, 3), np.int64), nothing, nothing, nothing[:, 0], nothing[:, 0])
    voxels, offset, normal, depths = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort(voxels.T[::-1])
    voxels, normal = voxels[order], normal[order]
    points = voxels + offset[order, None] * normal / np.array(size)
    return MedialSurfacePart(voxels, points.astype(np.float32), normal, _areas_A2(normal, size), depths[order])


def _strips(window: Window, margin: int) -> list[slice]:
    """Return strips of rows that are smoothed at a time, to bound the memory."""
    planes, height, width = window.core.stop - window.core.start, *window.data.shape[1:]
    rows = max(_STRIP_VOXELS // (planes * width), 4 * margin)
    return [slice(y, min(y + rows, height)) for y in range(0, height, rows)]


def _areas_A2(normal: Floats, size: Spacing) -> Floats:
    """Return the surface area per voxel: of a column along the axis that it crosses most steeply."""
    rows = np.arange(len(normal))
    axis = np.abs(normal * np.array(size, np.float32)).argmax(axis=1)
    face = math.prod(size) / np.array(size)
    areas: Floats = (face[axis] / np.abs(normal[rows, axis])).astype(np.float32)
    return areas
