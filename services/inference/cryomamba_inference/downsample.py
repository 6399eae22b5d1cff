"""Downsampling of the mask for previews: no label is lost, and preview and tomogram coincide exactly. Pure.

Preview voxel ``i`` covers tomogram voxels ``i·f … i·f + f − 1`` along an axis; the last one may cover fewer. It has
the label of highest priority among them, so that a membrane one voxel thick has no holes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cryomamba.engines.api import Labels
from cryomamba.geometry import Shape
from cryomamba.wire.buffers import packed_nbytes
from cryomamba.wire.constants import PREVIEW_WIRE_MAX_BYTES

Mask = npt.NDArray[np.unsignedinteger[Any]]


def preview_factor(shape: Shape, *, max_voxels: int, bits: int) -> Shape:
    """Choose how many tomogram voxels a preview voxel covers along z, y, x.

    Parameters
    ----------
    shape : tuple of int
        ZYX shape of the tomogram.
    max_voxels : int
        Maximum number of voxels of a preview.
    bits : int
        Bits per voxel on the wire. An uncompressed preview is at most 1 MiB.

    Returns
    -------
    tuple of int
        The smallest suitable factor, the same for all axes but those shorter than it, which get their length.
    """
    factor = 1
    while True:
        scale = _three(min(factor, size) for size in shape)
        small = preview_shape(shape, scale)
        if math.prod(small) <= max_voxels and packed_nbytes(small, bits) <= PREVIEW_WIRE_MAX_BYTES:
            return scale
        factor += 1


def preview_shape(shape: Shape, scale: Shape) -> Shape:
    """Return the ZYX shape of the preview of a volume."""
    return _three(-(-size // factor) for size, factor in zip(shape, scale, strict=True))


def fold(labels: Mask, start: Shape, scale: Shape) -> Mask:
    """Downsample a block by the maximum over each preview voxel.

    Parameters
    ----------
    labels : ndarray of unsigned int, ZYX
        A block of the volume.
    start : tuple of int
        Position of the block's first voxel in the volume; not necessarily on the preview's grid.
    scale : tuple of int
        Tomogram voxels per preview voxel.

    Returns
    -------
    ndarray
        The preview voxels that overlap the block, from ``start // scale`` on; at the edges the maximum over the
        overlap.
    """
    for axis in range(3):
        labels = _fold_axis(labels, axis, start[axis] % scale[axis], scale[axis])
    return labels


def _fold_axis(labels: Mask, axis: int, offset: int, factor: int) -> Mask:
    size = labels.shape[axis]
    if factor == 1:
        return labels
    shape = list(labels.shape)
    shape[axis] = -(-(offset + size) // factor)
    folded = np.zeros(shape, labels.dtype)
    source, target = np.moveaxis(labels, axis, 0), np.moveaxis(folded, axis, 0)
    for phase in range(min(factor, offset + size)):
        # All voxels with the same offset in their preview voxel, each of them in another preview voxel.
        first = (phase - offset) % factor
        values = source[first::factor]
        into = target[(offset + first) // factor :][: len(values)]
        np.maximum(into, values, out=into)
    return folded


class PreviewCanvas:
    """The downsampled mask while it is computed.

    A new layer starts empty on top of the previous image and covers it where blocks are added. So a coarse preview
    stays visible until the pass at full resolution gets there.

    Parameters
    ----------
    shape : tuple of int
        ZYX shape of the tomogram.
    scale : tuple of int
        Tomogram voxels per preview voxel.
    dtype : dtype, optional
        Of the labels: uint8 or uint16.
    priority : sequence of int, optional
        All labels in drawing order, the topmost last. Without it higher labels cover lower ones.
    """

    def __init__(
        self, shape: Shape, scale: Shape, *, dtype: npt.DTypeLike = np.uint8, priority: Sequence[int] | None = None
    ) -> None:
        self.shape, self.scale = shape, scale
        self._below: Labels = np.zeros(preview_shape(shape, scale), dtype)
        self._layer: Labels = np.zeros_like(self._below)
        self._covered = np.zeros(self._below.shape, np.bool_)
        self._rank, self._label = _priority_tables(priority, self._below.dtype)

    def new_layer(self, below: Labels) -> None:
        """Start a new layer on top of `below`, a preview of the canvas' shape."""
        self._below[...] = below
        self._layer[...] = 0
        self._covered[...] = False

    def put(self, start: Shape, labels: Labels) -> None:
        """Add a finished block at any position; the blocks of a layer do not overlap."""
        folded = fold(labels if self._rank is None else self._rank[labels], start, self.scale)
        where = tuple(
            slice(first // factor, first // factor + count)
            for first, factor, count in zip(start, self.scale, folded.shape, strict=True)
        )
        self._layer[where] = np.maximum(self._layer[where], folded)
        self._covered[where] = True

    def put_below(self, first: Shape, labels: Labels) -> None:
        """Replace a part of the image below the layer, from a voxel of the preview on."""
        z, y, x = (slice(at, at + size) for at, size in zip(first, labels.shape, strict=True))
        self._below[z, y, x] = labels

    def cover(self, start: Shape, shape: Shape) -> None:
        """Add a block of background, as :meth:`put` does with one of zeros."""
        where = tuple(
            slice(first // factor, -(-(first + size) // factor))
            for first, size, factor in zip(start, shape, self.scale, strict=True)
        )
        self._covered[where] = True

    def layer(self) -> Labels:
        """Return a copy of the current layer alone, 0 where no block was added yet."""
        return self._layer.copy() if self._label is None else self._label[self._layer]

    def over(self, layer: Labels) -> Labels:
        """Return a new preview: `layer` where blocks were added, the image below elsewhere."""
        image = self._below.copy()
        np.copyto(image, layer, where=self._covered)
        return image


def _priority_tables(
    priority: Sequence[int] | None, dtype: np.dtype[Any]
) -> tuple[npt.NDArray[Any] | None, npt.NDArray[Any] | None]:
    if priority is None or list(priority) == sorted(priority):
        return None, None
    if len(set(priority)) != len(priority) or min(priority) < 1:
        raise ValueError("priority must list each label once, without the background")
    rank = np.zeros(max(priority) + 1, dtype)
    rank[list(priority)] = np.arange(1, len(priority) + 1)
    return rank, np.array([0, *priority], dtype)


def magnify(coarse: Labels, shape: Shape, factor: int, scale: Shape) -> Labels:
    """Resample labels of a binned copy to the grid of a preview.

    Each preview voxel takes the label of the binned voxel that contains its centre (nearest neighbour).

    Parameters
    ----------
    coarse : ndarray, ZYX
        Labels of the binned copy.
    shape : tuple of int
        ZYX shape of the tomogram.
    factor : int
        Tomogram voxels per binned voxel, along every axis.
    scale : tuple of int
        Tomogram voxels per preview voxel.
    """
    indices = [
        np.minimum((np.arange(count) * size + size // 2) // factor, length - 1)
        for count, size, length in zip(preview_shape(shape, scale), scale, coarse.shape, strict=True)
    ]
    return coarse[np.ix_(*indices)]


def _three(values: Any) -> Shape:  # noqa: ANN401 (an iterable of three)
    z, y, x = values
    return z, y, x
