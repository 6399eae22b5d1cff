"""Blocks of the coarser levels of a volume, computed from its file without reading more than they need.

Memory is bounded by a few sections of the block's width and height, whatever the level.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cryomamba.volumes.exports.slabs import stored_dtype
from cryomamba.volumes.labels import LabelVolume
from cryomamba.volumes.mrc import Volume
from cryomamba.volumes.multiscale import Level
from cryomamba.volumes.voxel_file import Array, Span, spans

Content = Volume | LabelVolume

# Sections and rows that are averaged for a voxel. Without a limit the coarsest level of a 10 GB tomogram would need all
# of it before a viewer shows anything; with it, a sixteenth or less from level 4 on.
AVERAGED: Final = 4


def read_level(content: Content, level: Level, z: slice, y: slice, x: slice, *, rows_max: int | None = None) -> Array:
    """Return a block of a level, in the little-endian type that :func:`stored_dtype` gives.

    A voxel of a label volume is the largest label that it covers. One of a tomogram is the mean of those that it
    covers, where it covers more than four along z or y, of the four in their middle; along x all are averaged. At the
    end of an axis, a voxel covers what is left.

    Parameters
    ----------
    content : Volume or LabelVolume
        Open.
    level : Level
        One of :func:`~cryomamba.volumes.multiscale.levels_of`.
    z, y, x : slice
        Slices of step 1 in voxels of the level, clipped to it.
    rows_max : int, optional
        Voxels along z and y that are read for each voxel of the level, in the middle of those that it covers; by
        default all of labels, and four of a tomogram.

    Raises
    ------
    VolumeError
        ``volume_changed``: the file was changed while open.
    """
    dtype = stored_dtype(content)
    if level.factors == (1, 1, 1):
        return content.read_native(z, y, x).astype(dtype, copy=False)
    window = [spans(index, size) for index, size in zip((z, y, x), level.shape, strict=True)]
    out = np.empty([stop - start for start, stop in window], dtype)
    cells = [
        [_cell(n, factor, side) for n in range(*span)]
        for span, factor, side in zip(window, level.factors, content.shape, strict=True)
    ]
    if out.size:
        labels = isinstance(content, LabelVolume)
        reduce = _largest if labels else _mean
        most = rows_max or (max(level.factors) if labels else AVERAGED)
        for n, sections in enumerate(cells[0]):
            out[n] = reduce(content, sections, cells[1], cells[2], level.factors, most)
    return out


def _cell(index: int, factor: int, side: int) -> Span:
    """Return the voxels of the full resolution that a voxel of a level covers along an axis."""
    return index * factor, min((index + 1) * factor, side)


def middle(cell: Span, most: int = AVERAGED) -> Span:
    """Return at most so many voxels in the middle of a cell."""
    start, stop = cell
    cut = max(0, stop - start - most)
    return start + cut // 2, stop - (cut - cut // 2)


def _mean(
    content: Content, sections: Span, rows: list[Span], columns: list[Span], factors: tuple[int, int, int], most: int
) -> NDArray[Any]:
    whole = content.header.dtype[1] != "f"
    width = slice(columns[0][0], columns[-1][1])
    sums: NDArray[Any] = np.zeros((len(rows), width.stop - width.start), np.int32 if whole else np.float32)
    depth = middle(sections, most)
    for block, first, step in _rows(content, depth, rows, factors[1], width, most):
        for start in range(step):
            part = block[start::step]
            sums[first : first + len(part)] += part
    # Wide enough for the sum over a cell of any length.
    summed: NDArray[Any] = np.zeros((len(rows), len(columns)), np.int64 if whole else np.float64)
    for start in range(factors[2]):
        part = sums[:, start :: factors[2]]
        summed[:, : part.shape[1]] += part
    counts = np.multiply.outer([_length(middle(cell, most)) for cell in rows], [_length(cell) for cell in columns])
    means: NDArray[Any] = summed / (counts * _length(depth))
    return np.asarray(np.rint(means)) if whole else means


def _largest(
    content: Content, sections: Span, rows: list[Span], columns: list[Span], factors: tuple[int, int, int], most: int
) -> NDArray[Any]:
    width = slice(columns[0][0], columns[-1][1])
    largest = np.zeros((len(rows), width.stop - width.start), stored_dtype(content))
    for block, first, step in _rows(content, middle(sections, most), rows, factors[1], width, most):
        for start in range(step):
            part = block[start::step]
            target = largest[first : first + len(part)]
            np.maximum(target, part, out=target)
    found = np.zeros((len(rows), len(columns)), largest.dtype)
    for start in range(factors[2]):
        columns_of = largest[:, start :: factors[2]]
        np.maximum(found[:, : columns_of.shape[1]], columns_of, out=found[:, : columns_of.shape[1]])
    return found


def _rows(
    content: Content, depth: Span, rows: list[Span], factor: int, width: slice, most: int
) -> Iterator[tuple[NDArray[Any], int, int]]:
    """Yield the rows to sum: a block of rows, the first cell to which they belong, and how many belong to each."""
    if factor <= most:
        height = slice(rows[0][0], rows[-1][1])
        for section in range(*depth):
            yield content.read_native(slice(section, section + 1), height, width)[0], 0, factor
        return
    for n, cell in enumerate(rows):
        block: NDArray[Any] = content.read_native(slice(*depth), slice(*middle(cell, most)), width)
        yield block.reshape(-1, block.shape[2]), n, block.shape[0] * block.shape[1]


def _length(span: Span) -> int:
    return span[1] - span[0]
