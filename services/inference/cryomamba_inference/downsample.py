"""The mask made smaller for people's eyes: no label is lost and every preview voxel is exactly placed. Pure.

Preview voxel ``i`` covers tomogram voxels ``i·f … i·f + f − 1`` along an axis; the last one may cover fewer. It shows
the label of highest priority in what it covers, so a membrane one voxel thick stays closed.
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
        Most voxels of a preview.
    bits : int
        Bits per voxel on the wire; uncompressed, a preview fits into 1 MiB.

    Returns
    -------
    tuple of int
        One factor for all axes, the smallest that fits; along an axis shorter than it, the axis' length.
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
    """Take the maximum over the preview voxels that a block touches.

    Parameters
    ----------
    labels : ndarray of unsigned int, ZYX
        A block of the volume.
    start : tuple of int
        The volume voxel of the block's first voxel; need not lie on the preview's grid.
    scale : tuple of int
        Tomogram voxels per preview voxel.

    Returns
    -------
    ndarray
        The touched part of the preview, from preview voxel ``start // scale`` on; at its edges the maximum over the
        part of the preview voxel that the block covers.
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
    for place in range(min(factor, offset + size)):
        # Voxels whose place within their preview voxel is the same meet as many preview voxels, one each.
        first = (place - offset) % factor
        taken = source[first::factor]
        into = target[(offset + first) // factor :][: len(taken)]
        np.maximum(into, taken, out=into)
    return folded


class PreviewCanvas:
    """The downsampled mask while it grows.

    A new layer starts empty over what is there; where a tile has been put into it, it hides what is below. So a first
    look stays visible until full resolution reaches it.

    Parameters
    ----------
    shape : tuple of int
        ZYX shape of the tomogram.
    scale : tuple of int
        Tomogram voxels per preview voxel.
    dtype : dtype, optional
        Of the labels: uint8 or uint16.
    priority : sequence of int, optional
        All labels, the one that wins last. Without it the higher label wins.
    """

    def __init__(
        self,
        shape: Shape,
        scale: Shape,
        *,
        dtype: npt.DTypeLike = np.uint8,
        priority: Sequence[int] | None = None,
    ) -> None:
        self.shape = shape
        self.scale = scale
        self._below: Labels = np.zeros(preview_shape(shape, scale), dtype)
        self._layer: Labels = np.zeros_like(self._below)
        self._reached = np.zeros(self._below.shape, np.bool_)
        self._rank, self._label = _priority_tables(priority, self._below.dtype)

    def new_layer(self, below: Labels) -> None:
        """Start a new layer over a preview of this canvas' shape."""
        self._below[...] = below
        self._layer[...] = 0
        self._reached[...] = False

    def put(self, start: Shape, labels: Labels) -> None:
        """Add a finished block; blocks of one layer do not overlap, and may begin anywhere."""
        ranked = labels if self._rank is None else self._rank[labels]
        folded = fold(ranked, start, self.scale)
        where = tuple(
            slice(first // factor, first // factor + count)
            for first, factor, count in zip(start, self.scale, folded.shape, strict=True)
        )
        self._layer[where] = np.maximum(self._layer[where], folded)
        self._reached[where] = True

    def layer(self) -> Labels:
        """Return the present layer alone, 0 where nothing was put yet; a copy."""
        return self._layer.copy() if self._label is None else self._label[self._layer]

    def over(self, layer: Labels) -> Labels:
        """Return a fresh preview: `layer` where this layer was reached, what is below elsewhere."""
        picture = self._below.copy()
        np.copyto(picture, layer, where=self._reached)
        return picture


def _priority_tables(
    priority: Sequence[int] | None, dtype: np.dtype[Any]
) -> tuple[npt.NDArray[Any] | None, npt.NDArray[Any] | None]:
    if priority is None or list(priority) == sorted(priority):
        return None, None
    if len(set(priority)) != len(priority) or min(priority) < 1:
        raise ValueError("a priority names each label once, and never the background")
    rank = np.zeros(max(priority) + 1, dtype)
    rank[list(priority)] = np.arange(1, len(priority) + 1)
    return rank, np.array([0, *priority], dtype)


def magnify(coarse: Labels, shape: Shape, factor: int, scale: Shape) -> Labels:
    """Bring labels on a grid binned by `factor` onto a preview's grid.

    Each preview voxel takes the label of the binned voxel that covers its centre.

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
    places = [
        np.minimum((np.arange(count) * step + step // 2) // factor, have - 1)
        for count, step, have in zip(preview_shape(shape, scale), scale, coarse.shape, strict=True)
    ]
    return coarse[np.ix_(*places)]


def _three(values: Any) -> Shape:  # noqa: ANN401 (an iterable of three)
    z, y, x = values
    return z, y, x
