"""Sections of a volume along an axis: a slab of planes, averaged, at a size that fits a screen."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.volumes.binning import Content
from cryomamba.volumes.labels import LabelVolume
from cryomamba.volumes.multiscale import Level, levels_of

Axis = Literal["z", "y", "x"]
Values = NDArray[Any]

AXES: Final[dict[Axis, int]] = {"z": 0, "y": 1, "x": 2}

# Without coarser levels, a section across the rows of a large file is made of single rows, and not more than so many:
# they take a tenth of a second.
_ROWS_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class SectionQuery:
    """A section to read.

    Attributes
    ----------
    axis : {'z', 'y', 'x'}
        Perpendicular to the section; the other two, in the order z, y, x, are its rows and columns.
    index : int or None
        Plane in the middle of the slab, counted from 0; that in the middle of the volume if None.
    thickness : int
        Planes of the slab; fewer at the ends of the volume.
    size : int
        Maximum of rows and columns.
    """

    axis: Axis = "z"
    index: int | None = None
    thickness: int = 1
    size: int = 512


class LevelPlanes(Protocol):
    """The coarser levels of a volume; see :class:`~cryomamba_gateway.volumes.level_file.LevelFile`."""

    def planes(self, number: int, along: int, slab: slice) -> Iterable[Values]:
        """Yield the planes of a level that are perpendicular to an axis."""


class Section(NamedTuple):
    """A section: float32, or labels of a label volume; and whether it is made of a sample of the rows."""

    values: Values
    sampled: bool


def section_of(
    content: Content, query: SectionQuery, find_levels: Callable[[], LevelPlanes | None] | None = None
) -> Section:
    """Return a section.

    Voxels are binned by the smallest integer factor with which the section fits into `query.size`: labels, and slabs
    of them, by the maximum, tomograms by the mean.

    Parameters
    ----------
    content : Volume or LabelVolume
        Open.
    query : SectionQuery
    find_levels : callable, optional
        Given for large volumes, of which a section across the rows of the file (mostly one along x) would need a voxel
        of every row: it is made of a coarser level, whose planes are two or more voxels thick. Without one (None), it
        is made of every n-th row, and smaller.

    Raises
    ------
    InvalidRequestError
        ``invalid_parameters``: the volume has no such plane.
    """
    along = AXES[query.axis]
    slab = _slab(content.shape[along], query)
    sides = [side for n, side in enumerate(content.shape) if n != along]
    factor = -(-max(sides) // query.size)
    labels = isinstance(content, LabelVolume)
    if find_levels is None or content.header.to_zyx[along] != 2:
        return Section(
            _binned(_combined(_planes(content, along, slab), labels=labels), factor, labels=labels), sampled=False
        )
    levels = find_levels()
    if levels is None:
        factor = max(factor, math.ceil(math.sqrt(sides[0] * sides[1] / _ROWS_MAX)))
        return Section(_sampled(content, along, slab, factor), sampled=True)
    number, level = _level_for(levels_of(content.shape), factor)
    each = level.factors[along]
    coarse = levels.planes(number, along, slice(slab.start // each, -(-slab.stop // each)))
    plane = _combined(coarse, labels=labels)
    return Section(_binned(plane, -(-max(plane.shape) // query.size), labels=labels), sampled=False)


def _level_for(levels: Sequence[Level], factor: int) -> tuple[int, Level]:
    """Return the coarsest level, but not the volume itself, that is not coarser than a section of it has to be."""
    return max(
        (number, level)
        for number, level in enumerate(levels)
        if number == 1 or (number and max(level.factors) <= factor)
    )


def _slab(side: int, query: SectionQuery) -> slice:
    middle = side // 2 if query.index is None else query.index
    if middle >= side:
        raise InvalidRequestError(
            f"The volume has no slice {middle} along {query.axis}.",
            code=ErrorCode.INVALID_PARAMETERS,
            hint=f"Give an index from 0 to {side - 1}.",
        )
    start = middle - (query.thickness - 1) // 2
    return slice(max(0, start), min(side, start + query.thickness))


def _planes(content: Content, along: int, slab: slice) -> Iterator[Values]:
    """Yield the planes of a slab, read one by one where they are sections of the file."""
    window = [slice(0, side) for side in content.shape]
    if along == 0:
        for n in range(slab.start, slab.stop):
            yield content.read_native(slice(n, n + 1), *window[1:])[0]
        return
    window[along] = slab
    block: Values = content.read_native(*window)
    for n in range(block.shape[along]):
        yield block.take(n, axis=along)


def _combined(planes: Iterable[Values], *, labels: bool) -> Values:
    found: Values | None = None
    count = 0
    for plane in planes:
        count += 1
        if found is None:
            found = plane
        elif labels:
            found = np.maximum(found, plane)
        else:
            # A single plane is binned as it is stored, which takes a fraction of the time.
            found = np.add(found, plane, dtype=np.float32)
    if found is None:
        raise IndexError("a slab has at least one plane")
    return found if labels or count == 1 else found * np.float32(1 / count)


def _binned(values: Values, factor: int, *, labels: bool) -> Values:
    """Bin rows and columns, at the ends by what is left."""
    for axis in (0, 1):
        lines = np.moveaxis(values, axis, 0)
        step = min(factor, len(lines))
        found = lines[::step]
        if step > 1:
            found = (_largest if labels else _mean)([lines[start::step] for start in range(step)])
        values = np.moveaxis(found, 0, axis)
    return values if labels else values.astype(np.float32, copy=False)


def _largest(parts: list[Values]) -> Values:
    """Return the largest labels of arrays of which some have a row less than the first."""
    found = parts[0].copy()
    for part in parts[1:]:
        np.maximum(found[: len(part)], part, out=found[: len(part)])
    return found


def _mean(parts: list[Values]) -> Values:
    found = np.empty_like(parts[0], np.float32)
    # Adding two integers as floats takes a fraction of the time that converting them takes.
    whole = len(parts[1])
    np.add(parts[0][:whole], parts[1], out=found[:whole], dtype=np.float32)
    found[whole:] = parts[0][whole:]
    for part in parts[2:]:
        found[: len(part)] += part
    found[:-1] *= np.float32(1 / len(parts))
    found[-1] *= np.float32(1 / sum(len(part) == len(found) for part in parts))
    return found


def _sampled(content: Content, along: int, slab: slice, factor: int) -> Values:
    """Return a section made of the row in the middle of each cell."""
    first, second = (n for n in range(3) if n != along)
    centres = [range(min(factor // 2, side - 1), side, factor) for side in content.shape]
    swapped = content.header.to_zyx[first] > content.header.to_zyx[second]
    sections, rows = (centres[second], centres[first]) if swapped else (centres[first], centres[second])
    values: Values = content.read_rows(sections, rows, slab)
    found: Values = values.max(axis=2) if isinstance(content, LabelVolume) else values.mean(axis=2, dtype=np.float32)
    return found.T if swapped else found
