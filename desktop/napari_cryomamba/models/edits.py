"""Changes of a mask's voxels, each in the bounding box that it needs; :mod:`cryomamba.masks` does the work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.geometry import Spacing
from cryomamba.masks import clean
from cryomamba.masks.editing.component import Component, Slices, bounding_box
from cryomamba.masks.editing.interpolation import interpolate_label
from cryomamba.masks.editing.reshaping import Reshaped
from cryomamba.masks.slabs import LabelSource, numbered

_EDIT_VOXELS_MAX = 1 << 27
_SLAB_VOXELS = 1 << 23

Array = npt.NDArray[Any]
Changed = npt.NDArray[np.bool_]
Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Patch:
    """Changed voxels in a box.

    Attributes
    ----------
    box : tuple of slice
        Along z, y, x.
    changed : ndarray of bool
        Which voxels of the box change.
    labels : ndarray
        Their new labels, in C order.
    """

    box: Slices
    changed: Changed
    labels: Array

    def __len__(self) -> int:
        return self.labels.size


@dataclass(frozen=True, slots=True)
class Edit:
    """One step that can be undone.

    Attributes
    ----------
    added : tuple of int
        Labels that the mask did not have before.
    """

    patches: tuple[Patch, ...]
    added: tuple[int, ...] = ()

    def __len__(self) -> int:
        return sum(map(len, self.patches))


def remove_small_components(
    mask: Array, voxel_size_A: Spacing, min_volume_nm3: float, *, progress: Progress | None = None
) -> Edit:
    """Return the edit that removes every component below a volume."""
    source = LabelSource.of_array(mask, voxel_size_A)
    return _difference(source, clean.remove_small_components(source, min_volume_nm3, progress=progress))


def fill_holes(mask: Array, voxel_size_A: Spacing, *, progress: Progress | None = None) -> Edit:
    """Return the edit that fills background enclosed on all sides."""
    source = LabelSource.of_array(mask, voxel_size_A)
    return _difference(source, clean.fill_holes(source, progress=progress))


def keep_components(mask: Array, components: Sequence[Component], *, progress: Progress | None = None) -> Edit:
    """Return the edit that removes all other components of the components' labels; other labels stay."""
    labels = sorted({component.label for component in components})
    depth = max(1, _SLAB_VOXELS // mask[0].size)
    patches: list[Patch] = []
    for z in range(0, len(mask), depth):
        slab = mask[z : z + depth]
        changed = np.isin(slab, labels)
        for component in components:
            rows, y, x = component.box
            first, last = max(rows.start, z), min(rows.stop, z + len(slab))
            if first < last:
                changed[first - z : last - z, y, x] &= ~component.member[first - rows.start : last - rows.start]
        patches += _patches(changed, np.zeros_like(slab), z)
        if progress is not None:
            progress((z + len(slab)) / len(mask))
    return _limited(patches)


def relabel(components: Sequence[Component], label: int) -> Edit:
    """Return the edit that gives components a label; 0 removes them."""
    return Edit(
        tuple(Patch(one.box, one.member, np.full(one.voxels, label)) for one in components if one.label != label)
    )


def merge_components(components: Sequence[Component]) -> Edit:
    """Return the edit that gives all components the label of the first.

    Raises
    ------
    InvalidRequestError
        They have the same label.
    """
    edit = relabel(components, components[0].label)
    if not edit.patches:
        raise InvalidRequestError(
            f"These components already have the same label: {components[0].label}.",
            hint="To join them, paint what is missing between them, or interpolate between sections.",
        )
    return edit


def split_component(mask: Array, component: Component, parts: npt.NDArray[np.uint16]) -> Edit:
    """Return the edit that gives each part of a component but the first a label that the mask does not use yet.

    Raises
    ------
    InvalidRequestError
        There are not enough unused labels in the mask's type.
    """
    fresh = _unused_labels(mask, int(parts.max()) - 1)
    changed = parts > 1
    table = np.concatenate([[0, component.label], fresh])
    return Edit((Patch(component.box, changed, table[parts[changed]]),), tuple(fresh.tolist()))


def reshape_component(mask: Array, component: Component, shape: Reshaped) -> Edit:
    """Return the edit that gives a component another shape; voxels of other labels and components stay."""
    added = shape.member & (mask[shape.box] == 0)
    removed = component.in_box(shape.box) & ~shape.member
    changed = added | removed
    labels = np.where(added, component.label, 0)[changed]
    return Edit((Patch(shape.box, changed, labels),))


def _unused_labels(mask: Array, count: int) -> npt.NDArray[np.int64]:
    last, highest = int(mask.max(initial=0)), int(np.iinfo(mask.dtype).max)
    if last + count <= highest:
        return np.arange(last + 1, last + 1 + count)
    used = np.unique([label for plane in mask for label in np.unique(plane).tolist()])
    unused = np.setdiff1d(np.arange(1, min(highest, len(used) + count) + 1), used)[:count]
    if len(unused) < count:
        raise InvalidRequestError(
            f"{count:,} more labels are needed, but the mask uses all {highest:,} of its type.",
            hint="Delete components that are not needed, or merge some.",
        )
    return unused


def interpolate(
    mask: Array, label: int, axis: int, voxel_size_A: Spacing, *, longest_gap: int, progress: Progress | None = None
) -> Edit:
    """Return the edit that fills the sections between those in which a label was painted; other labels stay."""
    found = interpolate_label(mask, label, axis, voxel_size_A, longest_gap=longest_gap, progress=progress)
    changed = found.inside & (mask[found.box] == 0)
    return Edit((Patch(found.box, changed, np.full(np.count_nonzero(changed), label)),))


def _difference(before: LabelSource, after: LabelSource) -> Edit:
    patches: list[Patch] = []
    for (z, old), new in zip(numbered(before.slabs()), after.slabs(), strict=True):
        patches += _patches(old != new, new, z)
    return _limited(patches)


def _patches(changed: Changed, labels: Array, z: int) -> Iterator[Patch]:
    """Yield the changes of a slab that begins at `z`, in their bounding box."""
    box = bounding_box(changed)
    inner = changed[box].copy()
    if inner.size:
        planes, rows, columns = box
        yield Patch((slice(planes.start + z, planes.stop + z), rows, columns), inner, labels[box][inner])


def _limited(patches: list[Patch]) -> Edit:
    edit = Edit(tuple(patches))
    if len(edit) > _EDIT_VOXELS_MAX:
        raise InvalidRequestError(
            "The edit changes too many voxels to be undone.",
            code=ErrorCode.TOO_LARGE,
            hint="Save the mask, and edit the file with 'cryomamba clean', which has no undo.",
        )
    return edit
