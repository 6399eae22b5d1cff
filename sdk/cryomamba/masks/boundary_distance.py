"""The distance from points to the boundary of a mask: the faces between its voxels and the background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cryomamba.errors import NotFoundError
from cryomamba.masks.slabs import LabelSource, Progress, numbered, windows
from cryomamba.optional_imports import import_optional

Floats = npt.NDArray[np.float64]

# How many points are compared with their candidates at a time; bounds the memory.
_POINTS: int = 256


@dataclass(frozen=True, slots=True)
class BoundaryDistances:
    """What is nearest to each point.

    Attributes
    ----------
    distance_A : ndarray of float64, shape (n,)
        Å to the nearest point of the boundary; negative for points inside of the mask.
    nearest : ndarray of float64, shape (n, 3)
        That point (z, y, x) in voxels.
    """

    distance_A: Floats
    nearest: Floats


def boundary_distances(
    source: LabelSource, points: npt.ArrayLike, *, label: int | None = None, progress: Progress | None = None
) -> BoundaryDistances:
    """Return the Euclidean distances of points to a mask's boundary.

    A voxel is a box of the voxel size, and the boundary consists of the faces between boxes of the mask and of the
    background. The distance to these rectangles is exact, also for anisotropic voxels. Faces on the border of the
    volume are no boundary, since the mask may continue there.

    Memory: 13 bytes and a node of a k-d tree for each face.

    Parameters
    ----------
    source : LabelSource
    points : array-like of float, shape (n, 3)
        z, y, x in voxels; the centre of the first voxel is 0.0.
    label : int, optional
        The boundary of this label; by default that of all labels together.
    progress : callable, optional
        Called with the fraction done; may raise to stop.

    Raises
    ------
    NotFoundError
        The mask has no such boundary.
    """
    report = progress or (lambda _: None)
    at = np.asarray(points, np.float64).reshape(-1, 3)
    size = np.array(source.voxel_size_A, np.float64)
    centres, axes = _boundary_faces(source, label, lambda done: report(0.7 * done))
    if not len(centres):
        what = "The mask" if label is None else f"Label {label}"
        raise NotFoundError(f"{what} has no boundary in this tomogram.", hint="Choose another mask or label.")
    tree = import_optional("scipy.spatial").cKDTree(centres * size)
    halves = size / 2 * (1 - np.eye(3))
    farthest = float(np.linalg.norm(halves, axis=1).max())
    distance, nearest = np.empty(len(at)), np.empty((len(at), 3))
    for first in range(0, len(at), _POINTS):
        rows = slice(first, first + _POINTS)
        physical = at[rows] * size
        # The centre of the nearest face may be farther away than that of another by half a diagonal.
        near, _ = tree.query(physical)
        for row, (point, reach) in enumerate(zip(physical, near, strict=True), first):
            candidates = np.array(tree.query_ball_point(point, reach + farthest))
            middle, half = centres[candidates] * size, halves[axes[candidates]]
            closest = np.clip(point, middle - half, middle + half)
            gaps = np.linalg.norm(closest - point, axis=1)
            best = int(np.argmin(gaps))
            distance[row], nearest[row] = gaps[best], closest[best] / size
        report(0.7 + 0.2 * min(first + _POINTS, len(at)) / len(at))
    inside = _inside(source, at, label)
    report(1.0)
    return BoundaryDistances(np.where(inside, -distance, distance), nearest)


def _chosen(labels: npt.NDArray[Any], label: int | None) -> npt.NDArray[np.bool_]:
    chosen: npt.NDArray[np.bool_] = labels != 0 if label is None else labels == label
    return chosen


def _boundary_faces(
    source: LabelSource, label: int | None, report: Progress
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int8]]:
    """Return the centres of the boundary's faces in voxels, and the axes perpendicular to them."""
    centres, axes = [np.empty((0, 3), np.float32)], [np.empty(0, np.int8)]
    for window in windows(source.slabs(), 1):
        inside = _chosen(window.data, label)
        # The face towards the plane before the core belongs to this slab, the one behind it to the next.
        first = max(window.core.start - 1, 0)
        part = inside[first : window.core.stop]
        own = inside[window.core]
        for axis in range(3):
            block, begin = (part, first) if axis == 0 else (own, window.core.start)
            low, high = (np.moveaxis(block, axis, 0)[span] for span in (slice(None, -1), slice(1, None)))
            face = np.argwhere(np.moveaxis(low != high, 0, axis)).astype(np.float32)
            face[:, axis] += 0.5
            face[:, 0] += window.start + begin
            centres.append(face)
            axes.append(np.full(len(face), axis, np.int8))
        report((window.start + window.core.stop) / source.shape[0])
    return np.concatenate(centres), np.concatenate(axes)


def _inside(source: LabelSource, points: Floats, label: int | None) -> npt.NDArray[np.bool_]:
    """Return which points are in a voxel of the mask."""
    voxel = np.floor(points + 0.5).astype(np.int64)
    within = ((voxel >= 0) & (voxel < source.shape)).all(axis=1)
    found = np.zeros(len(points), np.bool_)
    for z, labels in numbered(source.slabs()):
        here = np.flatnonzero(within & (voxel[:, 0] >= z) & (voxel[:, 0] < z + len(labels)))
        found[here] = _chosen(labels[voxel[here, 0] - z, voxel[here, 1], voxel[here, 2]], label)
    return found
