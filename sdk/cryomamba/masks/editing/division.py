"""Dividing a component: at its constrictions, or along a line that was drawn across it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.geometry import Spacing
from cryomamba.masks.editing.component import Component, Member
from cryomamba.masks.split import LARGEST_BOX, split_component
from cryomamba.optional_imports import import_optional

Parts = npt.NDArray[np.uint16]
# Contact with a wall is looked for this far from it, in voxels: a voxel and its 26 neighbours.
_CONTACT_REACH: Final = 1


def divide_at_constrictions(component: Component, voxel_size_A: Spacing) -> Parts:
    """Return the component (in its box) with its parts numbered from 1, the largest first.

    See :func:`~cryomamba.masks.split.split_component` for the method.

    Raises
    ------
    InvalidRequestError
        It has no constriction, or is too large for the method.
    """
    if component.member.size > LARGEST_BOX:
        raise InvalidRequestError(
            "This component is too large to be split by itself.",
            code=ErrorCode.TOO_LARGE,
            hint="Draw a line across it where it should be cut.",
        )
    parts = split_component(component.member, voxel_size_A)
    if parts.max() < 2:
        raise InvalidRequestError(
            "This component has no constriction at which it could be split.",
            hint="Draw a line across it where it should be cut.",
        )
    return _largest_first(parts)


def divide_along_line(component: Component, begin: Spacing, end: Spacing, axis: int) -> Parts:
    """Return the component (in its box) with the parts on the two sides of a cut numbered 1 (the larger) and 2.

    The cut is the part of a plane between the ends of the line, parallel to `axis` and as deep as the component. A wall
    of voxels about that plane (a standard digital plane, which no path over 26 neighbours crosses: Andres, Acharya and
    Sibata, 1997) is taken out, what remains is labelled, and the wall's voxels go to the nearest part.

    Parameters
    ----------
    component : Component
    begin, end : tuple of float
        The line (z, y, x) in voxels of the mask.
    axis : int
        Axis perpendicular to the section in which the line was drawn.

    Raises
    ------
    InvalidRequestError
        The line misses the component, or the sides are connected around its ends.
    """
    distance, wall = _wall(component, np.array(begin, float), np.array(end, float), axis)
    wall &= component.member
    if not wall.any():
        raise InvalidRequestError(
            "The line does not cross the component.", hint="Draw it from one side of the component to the other."
        )
    rest = component.member & ~wall
    regions = import_optional("cc3d").connected_components(rest.view(np.uint8), connectivity=26)
    sides = _sides(regions, distance, wall)
    numbers = np.where(sides > 0, 1, 2).astype(np.uint16)
    numbers[0] = 0
    parts = numbers[regions]
    nearest = import_optional("scipy.ndimage").distance_transform_edt(
        parts == 0, return_distances=False, return_indices=True
    )
    parts[wall] = parts[tuple(nearest)][wall]
    return _largest_first(parts)


def _wall(
    component: Component, begin: npt.NDArray[Any], end: npt.NDArray[Any], axis: int
) -> tuple[npt.NDArray[Any], Member]:
    """Return the signed distance of each voxel to the plane in units of the wall's half thickness, and the wall."""
    rows, columns = (other for other in range(3) if other != axis)
    along = end - begin
    normal = np.zeros(3)
    normal[rows], normal[columns] = -along[columns], along[rows]
    half = np.abs(normal).sum() / 2
    if not half:
        raise InvalidRequestError("The line has no length.", hint="Draw it across the component.")
    axes = [
        np.arange(part.start, part.stop).reshape([-1 if i == at else 1 for i in range(3)])
        for at, part in enumerate(component.box)
    ]
    offset = [grid - origin for grid, origin in zip(axes, begin, strict=True)]
    distance = np.broadcast_to(
        sum(one * n for one, n in zip(offset, normal, strict=True)) / half, component.member.shape
    )
    fraction = (offset[rows] * along[rows] + offset[columns] * along[columns]) / (along**2).sum()
    wall: Member = (np.abs(distance) <= 1) & (fraction >= 0) & (fraction <= 1)
    return distance, wall


def _sides(regions: npt.NDArray[Any], distance: npt.NDArray[Any], wall: Member) -> npt.NDArray[np.int8]:
    """Return on which side of the wall each region is (1 or -1), by the voxels that touch the wall."""
    ndimage = import_optional("scipy.ndimage")
    touching = ndimage.binary_dilation(wall, np.ones((3, 3, 3)), iterations=_CONTACT_REACH) & (regions > 0)
    count = int(regions.max()) + 1
    above = np.bincount(regions[touching & (distance > 1)], minlength=count)
    below = np.bincount(regions[touching & (distance < -1)], minlength=count)
    around = (above > 0) & (below > 0)
    if around.any() or not above.any() or not below.any():
        raise InvalidRequestError(
            "The two sides of the line are still connected.",
            hint="Draw the line beyond both edges of the component, or cut it in more than one place.",
        )
    return np.where(above > 0, 1, -1).astype(np.int8)


def _largest_first(parts: Parts) -> Parts:
    sizes = np.bincount(parts.reshape(-1))
    order = np.argsort(-sizes[1:], kind="stable") + 1
    table = np.zeros(len(sizes), np.uint16)
    table[order] = np.arange(1, len(sizes))
    renumbered: Parts = table[parts]
    return renumbered
