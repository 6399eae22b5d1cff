"""Common parts of the exports: slabs of bounded size, and the stored type."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from cryomamba.volumes.labels import LabelVolume
from cryomamba.volumes.mrc import Volume
from cryomamba.volumes.voxel_file import Array

SLAB_NBYTES = 32 << 20
Progress = Callable[[float], None]


def slabs(
    volume: Volume | LabelVolume, dtype: np.dtype[np.generic], progress: Progress | None = None
) -> Iterator[Array]:
    """Yield the volume from z = 0 on as C-contiguous (z, y, x) slabs of about 32 MiB.

    Parameters
    ----------
    volume : Volume or LabelVolume
        Open.
    dtype : numpy.dtype
        Type to yield; must be able to hold the stored values.
    progress : callable, optional
        Called with the fraction done; an exception from it ends the export.
    """
    depth, height, width = volume.shape
    step = max(SLAB_NBYTES // (height * width * 4), 1)
    everything = slice(None)
    for z in range(0, depth, step):
        block: Array = volume.read_native(slice(z, z + step), everything, everything)
        yield block.astype(dtype, copy=False)
        if progress is not None:
            progress(min(z + step, depth) / depth)


def content_of(volume: Volume | LabelVolume, *, labels: bool) -> Volume | LabelVolume:
    """Return what is exported: the labels, if they are wanted, else the densities."""
    return LabelVolume.of(volume) if labels else volume


def stored_dtype(content: Volume | LabelVolume) -> np.dtype[np.generic]:
    """Return a little-endian type that other programs can read: unsigned for labels, no 16-bit floats."""
    if isinstance(content, LabelVolume):
        return content.dtype.newbyteorder("<")
    dtype = np.dtype(content.header.dtype)
    return np.dtype(np.float32) if dtype.kind == "f" else dtype.newbyteorder("<")
