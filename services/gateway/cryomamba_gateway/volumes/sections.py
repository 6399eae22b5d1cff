"""Sections of a volume along an axis: a slab of planes, averaged, at a size that fits a screen."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.volumes.binning import Content
from cryomamba.volumes.labels import LabelVolume

Axis = Literal["z", "y", "x"]
Values = NDArray[Any]

AXES: Final[dict[Axis, int]] = {"z": 0, "y": 1, "x": 2}
ReadRows = Callable[[range, range, slice], Values]
"""See :meth:`cryomamba.volumes.Volume.read_rows`."""

# A section across the rows of a file needs a voxel of every row. Up to this size the whole file is read for it, of
# larger ones single rows, and not more than so many: either takes a tenth of a second.
_WHOLE_NBYTES: Final = 512 << 20
_ROWS_MAX: Final = 100_000


def section_of(
    content: Content, axis: Axis, index: int | None, *, thickness: int, size: int, read_rows: ReadRows | None = None
) -> Values:
    """Return a section: float32, or labels of a label volume.

    Voxels are binned by the smallest integer factor with which the section fits into `size`: labels, and slabs of
    them, by the maximum, tomograms by the mean. Sections across the rows of a file above 512 MiB (mostly those along x)
    are made of every n-th row, and are smaller where that is not enough.

    Parameters
    ----------
    content : Volume or LabelVolume
        Open.
    axis : {'z', 'y', 'x'}
        Perpendicular to the section; the other two, in the order z, y, x, are its rows and columns.
    index : int or None
        Plane in the middle of the slab, counted from 0; that in the middle of the volume if None.
    thickness : int
        Planes of the slab; fewer at the ends of the volume.
    size : int
        Maximum of rows and columns.
    read_rows : callable, optional
        Reads single rows of the file, perhaps from memory; by default `content` does.

    Raises
    ------
    InvalidRequestError
        ``invalid_parameters``: the volume has no such plane.
    """
    along = AXES[axis]
    slab = _slab(content.shape[along], axis, index, thickness)
    sides = [side for n, side in enumerate(content.shape) if n != along]
    factor = -(-max(sides) // size)
    labels = isinstance(content, LabelVolume)
    if content.header.to_zyx[along] == 2 and content.header.data_nbytes > _WHOLE_NBYTES:
        factor = max(factor, math.ceil(math.sqrt(sides[0] * sides[1] / _ROWS_MAX)))
        return _sampled(content, read_rows or content.read_rows, along, slab, factor)
    planes = _planes(content, along, slab)
    return _binned(planes, factor, labels=labels)


def _slab(side: int, axis: Axis, index: int | None, thickness: int) -> slice:
    middle = side // 2 if index is None else index
    if middle >= side:
        raise InvalidRequestError(
            f"The volume has no slice {middle} along {axis}.",
            code=ErrorCode.INVALID_PARAMETERS,
            hint=f"Give an index from 0 to {side - 1}.",
        )
    start = middle - (thickness - 1) // 2
    return slice(max(0, start), min(side, start + thickness))


def _planes(content: Content, along: int, slab: slice) -> Values:
    """Read the planes of a slab and combine them, one by one where they are sections of the file."""
    window = [slice(0, side) for side in content.shape]
    if along != 0:
        window[along] = slab
        block: Values = content.read_native(*window)
        return _combined([block.take(n, axis=along) for n in range(block.shape[along])], content)
    return _combined(
        (content.read_native(slice(n, n + 1), *window[1:])[0] for n in range(slab.start, slab.stop)), content
    )


def _combined(planes: Any, content: Content) -> Values:  # noqa: ANN401 (an iterable of arrays)
    labels = isinstance(content, LabelVolume)
    found: Values | None = None
    count = 0
    for plane in planes:
        count += 1
        if found is None:
            found = plane
        elif labels:
            np.maximum(found, plane, out=found)
        else:
            # A single plane is binned as it is stored, which takes a fraction of the time.
            found = found.astype(np.float32, copy=False)
            found += plane
    if found is None:
        raise IndexError("a slab has at least one plane")
    return found if labels or count == 1 else found * np.float32(1 / count)


def _binned(values: Values, factor: int, *, labels: bool) -> Values:
    for axis in (0, 1):
        lines = np.moveaxis(values, axis, 0)
        step = min(factor, len(lines))
        found = lines[::step].copy() if labels else lines[::step].astype(np.float32)
        for start in range(1, step):
            part = lines[start::step]
            if labels:
                np.maximum(found[: len(part)], part, out=found[: len(part)])
            else:
                found[: len(part)] += part
        if not labels and step > 1:
            lengths = np.minimum(step, len(lines) - np.arange(0, len(lines), step))
            found /= lengths.astype(np.float32)[:, None]
        values = np.moveaxis(found, 0, axis)
    return values


def _sampled(content: Content, read_rows: ReadRows, along: int, slab: slice, factor: int) -> Values:
    """Return a section made of the row in the middle of each cell."""
    first, second = (n for n in range(3) if n != along)
    centres = [range(min(factor // 2, side - 1), side, factor) for side in content.shape]
    swapped = content.header.to_zyx[first] > content.header.to_zyx[second]
    sections, rows = (centres[second], centres[first]) if swapped else (centres[first], centres[second])
    values = read_rows(sections, rows, slab)
    found: Values = values.max(axis=2) if isinstance(content, LabelVolume) else values.mean(axis=2, dtype=np.float32)
    return found.T if swapped else found
