"""Changing the shape of one component: filling its holes, growing, shrinking, smoothing; lengths are Å."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.geometry import Shape, Spacing
from cryomamba.masks.editing.component import Component, Member, Slices
from cryomamba.optional_imports import import_optional

# Distances and weights take 8 bytes per voxel of the box.
_BOX_VOXELS: Final = 1 << 28
# A Gaussian is cut off here, in standard deviations.
_TRUNCATE: Final = 3.0


@dataclass(frozen=True, slots=True)
class Reshaped:
    """The new shape of a component: a box (z, y, x), and which of its voxels belong to it."""

    box: Slices
    member: Member


def filled(component: Component, shape: Shape) -> Reshaped:
    """Return a component without its holes: background that it encloses on all sides, over faces."""
    box, member = _padded(component, (1, 1, 1), shape)
    return Reshaped(box, np.asarray(import_optional("scipy.ndimage").binary_fill_holes(member), np.bool_))


def grown(component: Component, distance_A: float, voxel_size_A: Spacing, shape: Shape) -> Reshaped:
    """Return a component with all voxels whose centres are at most a distance from one of its own.

    Parameters
    ----------
    component : Component
    distance_A : float
    voxel_size_A : tuple of float
    shape : tuple of int
        That of the mask, at whose border it ends.
    """
    box, member = _padded(component, _reach(distance_A, voxel_size_A), shape)
    distance = import_optional("edt").edt(~member, anisotropy=voxel_size_A, black_border=False)
    return Reshaped(box, np.asarray(distance <= distance_A, np.bool_))


def shrunk(component: Component, distance_A: float, voxel_size_A: Spacing, shape: Shape) -> Reshaped:
    """Return a component without the voxels whose centres are at most a distance from one that does not belong to it.

    At the border of the mask it does not shrink, since it may continue there.
    """
    box, member = _padded(component, (1, 1, 1), shape)
    distance = import_optional("edt").edt(member, anisotropy=voxel_size_A, black_border=False)
    return Reshaped(box, np.asarray(distance > distance_A, np.bool_))


def smoothed(component: Component, sigma_A: float, voxel_size_A: Spacing, shape: Shape) -> Reshaped:
    """Return a component smoothed by a Gaussian: the voxels where the average of its neighbourhood is at least half.

    What is thinner than about sigma disappears.
    """
    box, member = _padded(component, _reach(_TRUNCATE * sigma_A, voxel_size_A), shape)
    sigma = [sigma_A / size for size in voxel_size_A]
    weight = import_optional("scipy.ndimage").gaussian_filter(
        member.astype(np.float32), sigma, mode="nearest", truncate=_TRUNCATE
    )
    return Reshaped(box, np.asarray(weight >= 0.5, np.bool_))


def _reach(distance_A: float, voxel_size_A: Spacing) -> tuple[int, ...]:
    return tuple(int(distance_A / size) + 1 for size in voxel_size_A)


def _padded(component: Component, margin: tuple[int, ...], shape: Shape) -> tuple[Slices, Member]:
    """Return the box with a margin, as far as the mask reaches, and the component in it."""
    spans = [
        slice(max(part.start - side, 0), min(part.stop + side, end))
        for part, side, end in zip(component.box, margin, shape, strict=True)
    ]
    if math.prod(span.stop - span.start for span in spans) > _BOX_VOXELS:
        raise InvalidRequestError(
            "This component is too large for that.",
            code=ErrorCode.TOO_LARGE,
            hint="Cut it first, or use 'cryomamba clean' on the file.",
        )
    box = (spans[0], spans[1], spans[2])
    return box, component.in_box(box)
