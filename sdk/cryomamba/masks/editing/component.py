"""One connected component of a mask, found from a voxel without labelling the whole mask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cryomamba.errors import NotFoundError
from cryomamba.geometry import Shape
from cryomamba.masks.instances import Instances, find_instances
from cryomamba.masks.slabs import Labels, LabelSource, numbered
from cryomamba.optional_imports import import_optional

Array = npt.NDArray[Any]
Member = npt.NDArray[np.bool_]
Slices = tuple[slice, slice, slice]
Progress = Callable[[float], None]

# Half the side of the first box, in voxels: a vesicle fits into it, and it is searched in a few milliseconds.
_FIRST_REACH: Final = 48
# Labelling takes 4 bytes per voxel of the box; larger components are found slab by slab.
_BOX_VOXELS: Final = 1 << 27


@dataclass(frozen=True, slots=True)
class Component:
    """A connected component (26 neighbours) of a label.

    Attributes
    ----------
    label : int
    box : tuple of slice
        Its bounding box (z, y, x).
    member : ndarray of bool
        Which voxels of the box belong to it.
    """

    label: int
    box: Slices
    member: Member

    @property
    def start(self) -> Shape:
        """First voxel of the bounding box."""
        z, y, x = (part.start for part in self.box)
        return z, y, x

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        return int(np.count_nonzero(self.member))

    def in_box(self, box: Slices) -> Member:
        """Return which voxels of another box, which holds its own, belong to it."""
        z, y, x = (
            slice(part.start - outer.start, part.stop - outer.start) for part, outer in zip(self.box, box, strict=True)
        )
        found = np.zeros([outer.stop - outer.start for outer in box], np.bool_)
        found[z, y, x] = self.member
        return found

    def contains(self, at: Shape) -> bool:
        """Whether a voxel (z, y, x) belongs to it."""
        inside = all(part.start <= i < part.stop for part, i in zip(self.box, at, strict=True))
        return inside and bool(self.member[tuple(i - part.start for part, i in zip(self.box, at, strict=True))])


def find_component(mask: Array, at: Shape, *, progress: Progress | None = None) -> Component:
    """Return the component at a voxel (z, y, x).

    The search begins in a small box, which grows on the sides that the component reaches.

    Parameters
    ----------
    mask : ndarray of unsigned integers, ZYX
    at : tuple of int
    progress : callable, optional
        Called with the fraction done as far as it is known; may raise to stop.

    Raises
    ------
    NotFoundError
        The voxel is background, or outside of the mask.
    """
    report = progress or (lambda _: None)
    inside = all(0 <= i < side for i, side in zip(at, mask.shape, strict=True))
    label = int(mask[at]) if inside else 0
    if not label:
        raise NotFoundError("There is no mask at this position.", hint="Point at a labelled voxel, and try again.")
    low = np.maximum(np.array(at) - _FIRST_REACH, 0)
    high = np.minimum(np.array(at) + _FIRST_REACH + 1, mask.shape)
    while True:
        report(0.0)
        if int(np.prod(high - low)) > _BOX_VOXELS:
            return _found_in_slabs(mask, at, label, report)
        member = _member_at(mask[_slices(low, high)] == label, tuple(np.array(at) - low))
        reached = _faces(member)
        reach = high - low
        grown_low = np.where(reached[0], np.maximum(low - reach, 0), low)
        grown_high = np.where(reached[1], np.minimum(high + reach, mask.shape), high)
        if (grown_low == low).all() and (grown_high == high).all():
            return _tight(label, low, member)
        low, high = grown_low, grown_high


def component_in_box(mask: Array, label: int, start: Shape, stop: Shape, voxels: int) -> Component:
    """Return the component of which label, bounding box and size are known, as a table of components has them.

    Raises
    ------
    NotFoundError
        There is no such component; the mask was changed since.
    """
    box = _slices(np.array(start), np.array(stop))
    components = import_optional("cc3d").connected_components((mask[box] == label).view(np.uint8), connectivity=26)
    sizes = np.bincount(components.reshape(-1))
    for number in np.flatnonzero(sizes == voxels):
        member = components == number
        if number and all(face.all() for face in _faces(member)):
            return Component(label, box, member)
    raise NotFoundError("This component was changed meanwhile.", hint="Measure the mask again.")


def bounding_box(inside: Member) -> Slices:
    """Return the smallest box (z, y, x) with all voxels that are true; it is empty if there is none."""
    spans = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        occupied = np.flatnonzero(inside.any(axis=others))
        spans.append(slice(int(occupied[0]), int(occupied[-1]) + 1) if occupied.size else slice(0, 0))
    return spans[0], spans[1], spans[2]


def _slices(low: Array, high: Array) -> Slices:
    z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return z, y, x


def _member_at(region: Member, seed: tuple[Any, ...]) -> Member:
    # As bytes: cc3d fails on boolean arrays that are a few voxels thin.
    components = import_optional("cc3d").connected_components(region.view(np.uint8), connectivity=26)
    member: Member = components == components[seed]
    return member


def _faces(member: Member) -> tuple[Member, Member]:
    """Return whether a component reaches the first and the last plane along each axis."""
    low = [bool(member.take(0, axis).any()) for axis in range(3)]
    high = [bool(member.take(-1, axis).any()) for axis in range(3)]
    return np.array(low), np.array(high)


def _tight(label: int, low: Array, member: Member) -> Component:
    box = bounding_box(member)
    first = np.array([span.start for span in box]) + low
    inner = np.ascontiguousarray(member[box])
    return Component(label, _slices(first, first + inner.shape), inner)


def _found_in_slabs(mask: Array, at: Shape, label: int, report: Progress) -> Component:
    source = LabelSource.of_array(mask).map(lambda labels: (labels == label).view(np.uint8))
    instances = find_instances(source, progress=lambda done: report(done / 2))
    number = next(int(ids[at[0] - z, at[1], at[2]]) for z, ids in _numbered(instances) if z <= at[0] < z + len(ids))
    start, stop = instances.start[number - 1], instances.stop[number - 1]
    box = _slices(start, stop)
    member = np.zeros(tuple(stop - start), np.bool_)
    for z, ids in _numbered(instances):
        first, last = max(z, int(start[0])), min(z + len(ids), int(stop[0]))
        if first < last:
            member[first - start[0] : last - start[0]] = ids[first - z : last - z, box[1], box[2]] == number
        report(0.5 + 0.5 * (z + len(ids)) / mask.shape[0])
    return Component(label, box, member)


def _numbered(instances: Instances) -> Iterator[tuple[int, Labels]]:
    return numbered(ids for _, ids in instances.slabs())
