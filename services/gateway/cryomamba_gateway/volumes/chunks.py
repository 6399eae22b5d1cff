"""Chunks of a Zarr array: which voxels they hold, and their bytes. Pure."""

from __future__ import annotations

import gzip
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryomamba.volumes.multiscale import Level
from cryomamba_gateway.volumes.hierarchy import GZIP_LEVEL, Index, chunk_shape


def voxels_of(level: Level, index: Index) -> tuple[slice, slice, slice]:
    """Return the voxels of a level that a chunk holds, without the padding at its ends."""
    z, y, x = (
        slice(n * side, min((n + 1) * side, full))
        for n, side, full in zip(index, chunk_shape(level), level.shape, strict=True)
    )
    return z, y, x


def encode_chunk(block: NDArray[Any], shape: Index, *, compressed: bool) -> bytes:
    """Return the bytes of a chunk: in C order, padded with zeros to `shape`, perhaps as gzip.

    The same voxels give the same bytes.
    """
    if block.shape != shape:
        padded = np.zeros(shape, block.dtype)
        padded[tuple(slice(side) for side in block.shape)] = block
        block = padded
    content = block.tobytes()
    return gzip.compress(content, GZIP_LEVEL, mtime=0) if compressed else content
