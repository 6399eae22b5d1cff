"""The mean of two volumes, such as the half-tomograms of even and odd frames."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Final

import numpy as np

from cryomamba.atomic import AtomicFile
from cryomamba.errors import ErrorCode, VolumeError
from cryomamba.printable import file_text
from cryomamba.volumes.header_encoder import encode_header, own_label
from cryomamba.volumes.moments import Moments
from cryomamba.volumes.mrc import open_volume
from cryomamba.volumes.voxel_file import VoxelFile

_SLAB_VOXELS: Final = 1 << 22
_SAME_A: Final = 1e-3
"""Voxel sizes (Å) that differ by less are the same: headers keep the cell with about seven digits."""


def average_volumes(
    first: str | os.PathLike[str], second: str | os.PathLike[str], output: str | os.PathLike[str]
) -> None:
    """Write the mean of two volumes as 32-bit floats, on the grid of the first; atomically and in constant memory.

    Parameters
    ----------
    first, second : path-like
        MRC files of the same shape and voxel size.
    output : path-like
        Its folder exists; compressed inputs are decompressed there.

    Raises
    ------
    VolumeError
        A volume cannot be read, or they are not on the same grid.
    UnavailableError
        ``insufficient_storage``.
    """
    path = Path(output)
    with open_volume(first, scratch=path.parent) as one, open_volume(second, scratch=path.parent) as other:
        sizes = zip(one.voxel_size_A, other.voxel_size_A, strict=True)
        if one.shape != other.shape or any(abs(a - b) > _SAME_A for a, b in sizes):
            names = " and ".join(file_text(Path(name).name) for name in (first, second))
            raise VolumeError(
                f"{names} have different shapes or voxel sizes, so they have no mean.",
                code=ErrorCode.VOLUME_UNSUPPORTED,
                hint="Check that both belong to the same tomogram.",
            )
        header = dataclasses.replace(
            one.header,
            byte_order="<",
            mode=2,
            dtype="<f4",
            imod_signed=False,
            nibbles=False,
            extended_type="",
            extended_nbytes=0,
            labels=(*one.header.labels[:9], own_label("mean of two volumes")),
        )
        depth, height, width = one.shape
        step = max(_SLAB_VOXELS // (height * width), 1)
        everything = slice(0, height), slice(0, width)
        with AtomicFile(path, header.data_offset + header.data_nbytes) as file:
            stored, moments = VoxelFile(file.file, header), Moments()
            for start in range(0, depth, step):
                rows = slice(start, min(start + step, depth))
                mean = (one.read(rows, *everything) + other.read(rows, *everything)) * np.float32(0.5)
                block = header.in_file_order([(rows.start, rows.stop), (0, height), (0, width)])
                stored.write_from(mean.transpose(header.from_zyx), *block)
            one.require_unchanged()
            other.require_unchanged()
            for chunk in stored.chunks():
                moments.add(chunk)
            file.file.seek(0)
            file.file.write(encode_header(header, header.labels, moments))
