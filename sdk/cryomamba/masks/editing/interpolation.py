"""Labels between sections that were painted: shape-based interpolation.

Raya and Udupa, IEEE Trans. Med. Imaging 9 (1990) 32: the signed distances to the outlines are interpolated, and the
shape between them is where the result is inside. Shapes are first moved onto a common centre, so that an object that
drifts from section to section does not shrink; and holes are interpolated by themselves, so that a thin ring, as a
vesicle's membrane is in a section, stays a ring when its radius changes.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cryomamba.errors import InvalidRequestError
from cryomamba.geometry import Spacing
from cryomamba.masks.editing.component import Array, Progress, Slices
from cryomamba.optional_imports import import_optional

Plane = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interpolated:
    """Voxels to be labelled: a box (z, y, x), and which of its voxels."""

    box: Slices
    inside: npt.NDArray[np.bool_]
    gaps: int


def interpolate_label(
    mask: Array, label: int, axis: int, voxel_size_A: Spacing, *, longest_gap: int, progress: Progress | None = None
) -> Interpolated:
    """Return the voxels of a label in the sections between those in which it was painted.

    Parameters
    ----------
    mask : ndarray of unsigned integers, ZYX
    label : int
    axis : int
        Axis perpendicular to the sections.
    voxel_size_A : tuple of float
    longest_gap : int
        Gaps of more sections than this stay empty.
    progress : callable, optional
        Called with the fraction done; may raise to stop.

    Raises
    ------
    InvalidRequestError
        There is no such gap between two sections with this label.
    """
    report = progress or (lambda _: None)
    sections = np.moveaxis(mask, axis, 0)
    painted = np.flatnonzero([bool((section == label).any()) for section in sections])
    gaps = [(int(one), int(other)) for one, other in itertools.pairwise(painted) if 1 < other - one <= longest_gap + 1]
    if not gaps:
        raise InvalidRequestError(
            f"Label {label} has no gap of at most {longest_gap} sections to be filled.",
            hint="Paint it in two sections that are some sections apart, then try again.",
        )
    rows, columns = _extent(np.any([sections[at] == label for at in {at for gap in gaps for at in gap}], axis=0))
    first, last = gaps[0][0] + 1, gaps[-1][1]
    inside = np.zeros((last - first, rows.stop - rows.start, columns.stop - columns.start), np.bool_)
    spacing = [size for at, size in enumerate(voxel_size_A) if at != axis]
    for number, (one, other) in enumerate(gaps):
        begin, end = (sections[at, rows, columns] == label for at in (one, other))
        inside[one + 1 - first : other - first] = shapes_between(begin, end, other - one - 1, spacing)
        report((number + 1) / len(gaps))
    spans = [rows, columns]
    spans.insert(axis, slice(first, last))
    return Interpolated((spans[0], spans[1], spans[2]), np.moveaxis(inside, 0, axis), len(gaps))


def shapes_between(begin: Plane, end: Plane, count: int, spacing: list[float]) -> npt.NDArray[np.bool_]:
    """Return `count` shapes between two, evenly spaced from one to the other; `spacing` is along rows and columns."""
    ndimage = import_optional("scipy.ndimage")
    outer = [ndimage.binary_fill_holes(shape) for shape in (begin, end)]
    holes = [filled & ~shape for filled, shape in zip(outer, (begin, end), strict=True)]
    between = _interpolated(outer[0], outer[1], count, spacing)
    if holes[0].any() and holes[1].any():
        between &= ~_interpolated(holes[0], holes[1], count, spacing)
    return between


def _interpolated(begin: Plane, end: Plane, count: int, spacing: list[float]) -> npt.NDArray[np.bool_]:
    ndimage = import_optional("scipy.ndimage")
    drift = _centre(end) - _centre(begin)
    margin = [int(np.ceil(abs(step))) + 1 for step in drift]
    distances = [_signed_distance(np.pad(shape, [(m, m) for m in margin]), spacing) for shape in (begin, end)]
    grid = np.indices(begin.shape).reshape(2, -1) + np.array(margin)[:, None]
    found = np.empty((count, *begin.shape), np.bool_)
    for number in range(count):
        t = (number + 1) / (count + 1)
        moved = [
            ndimage.map_coordinates(distance, grid + (offset * drift)[:, None], order=1, mode="nearest")
            for distance, offset in zip(distances, (-t, 1 - t), strict=True)
        ]
        found[number] = ((1 - t) * moved[0] + t * moved[1] >= 0).reshape(begin.shape)
    return found


def _signed_distance(shape: Plane, spacing: list[float]) -> Floats:
    """Return the distance to the outline, which runs between voxels; positive inside."""
    edt = import_optional("scipy.ndimage").distance_transform_edt
    half = min(spacing) / 2
    inside, outside = edt(shape, sampling=spacing), edt(~shape, sampling=spacing)
    return np.asarray(np.where(shape, inside - half, half - outside), np.float64)


def _centre(shape: Plane) -> Floats:
    return np.asarray(np.argwhere(shape).mean(axis=0), np.float64)


def _extent(shape: Plane) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(shape.any(axis=1)), np.flatnonzero(shape.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
