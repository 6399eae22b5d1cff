"""Write volumes slab by slab."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cryomamba.atomic import AtomicFile
from cryomamba.volumes.grid import Triple
from cryomamba.volumes.header_encoder import encode_header, own_label
from cryomamba.volumes.header_fields import blank_header
from cryomamba.volumes.moments import Moments
from cryomamba.volumes.voxel_file import VoxelFile

_MODES = {"i1": 0, "i2": 1, "f4": 2, "u2": 6, "f2": 12}


def write_volume(
    path: str | os.PathLike[str],
    voxels: NDArray[np.generic] | Iterable[NDArray[np.generic]],
    voxel_size_A: float | Triple,
    *,
    shape: tuple[int, int, int] | None = None,
    dtype: str = "float32",
    label: str = "volume",
) -> None:
    """Write an MRC file atomically.

    Parameters
    ----------
    path : path-like
        Path of the file; its folder exists.
    voxels : ndarray or iterable of ndarray
        The volume (z, y, x), or slabs of it, each (z, y, x) with full y and x, from z = 0 on.
    voxel_size_A : float or tuple of float
        Å, one for all or along z, y, x.
    shape : tuple of int, optional
        Voxels along z, y, x; required for slabs.
    dtype : str
        numpy name of the stored type: float32, float16, int8, int16 or uint16.
    label : str
        Text label for the header, after program and version.

    Raises
    ------
    ValueError
        The slabs do not match the shape, or MRC has no mode for the dtype.
    UnavailableError
        ``insufficient_storage``.
    """
    stored = np.dtype(dtype)
    if stored.str[1:] not in _MODES:
        raise ValueError(f"MRC has no mode for {dtype}")
    if isinstance(voxels, np.ndarray):
        shape, voxels = voxels.shape, (voxels,)
    if shape is None:
        raise ValueError("slabs need the shape of the whole volume")
    header = blank_header(shape, voxel_size_A, mode=_MODES[stored.str[1:]])
    with AtomicFile(Path(path), header.data_offset + header.data_nbytes) as file:
        target, moments = VoxelFile(file.file, header), Moments()
        _write_slabs(target, voxels, shape)
        for chunk in target.chunks():
            moments.add(chunk)
        file.file.seek(0)
        file.file.write(encode_header(header, (own_label(label),), moments))


def _write_slabs(target: VoxelFile, slabs: Iterable[NDArray[np.generic]], shape: tuple[int, int, int]) -> None:
    z = 0
    for slab in slabs:
        if slab.shape[1:] != tuple(shape[1:]) or z + slab.shape[0] > shape[0]:
            raise ValueError(f"a slab of {slab.shape} at z = {z} does not fit a volume of {shape}")
        target.write_from(slab, (z, z + slab.shape[0]), (0, shape[1]), (0, shape[2]))
        z += slab.shape[0]
    if z != shape[0]:
        raise ValueError(f"the slabs hold {z} sections, the volume {shape[0]}")
