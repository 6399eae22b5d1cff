"""OME-TIFF, for Fiji, QuPath and other image programs."""

from __future__ import annotations

import itertools
import os
import uuid
from pathlib import Path

import numpy as np

from cryomamba.atomic import AtomicFile
from cryomamba.optional_imports import import_optional
from cryomamba.volumes.exports.slabs import Progress, content_of, slabs, stored_dtype
from cryomamba.volumes.header_encoder import own_label
from cryomamba.volumes.labels import LabelVolume
from cryomamba.volumes.mrc import Volume

_CLASSIC_NBYTES = 1 << 31


def write_tiff(
    volume: Volume | LabelVolume,
    path: str | os.PathLike[str],
    *,
    labels: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write a volume as OME-TIFF, one page per z, with voxel size and position in Å.

    BigTIFF from 2 GiB on. Labels are compressed with deflate. Memory is bounded by one slab. The same volume gives
    the same bytes.

    Parameters
    ----------
    volume : Volume or LabelVolume
        Open.
    path : path-like
        ``.ome.tiff`` or ``.tif``.
    labels : bool
        Store compressed unsigned integers, as programs expect for masks.
    progress : callable, optional
        Called with the fraction written; an exception from it discards the file.

    Raises
    ------
    InvalidRequestError
        ``engine_unavailable``: tifffile is not installed.
    """
    tifffile = import_optional("tifffile")
    volume = content_of(volume, labels=labels)
    dtype = stored_dtype(volume)
    big = int(np.prod(volume.shape, dtype=np.int64)) * dtype.itemsize >= _CLASSIC_NBYTES
    with AtomicFile(Path(path)) as new, tifffile.TiffWriter(new.file, bigtiff=big, ome=True) as writer:
        writer.write(
            itertools.chain.from_iterable(slabs(volume, dtype, progress)),
            shape=volume.shape,
            dtype=dtype,
            photometric="minisblack",
            compression="zlib" if labels else None,
            software=False,
            metadata=_metadata(volume),
        )


def _metadata(volume: Volume | LabelVolume) -> dict[str, object]:
    depth = volume.shape[0]
    sizes = dict(zip("ZYX", volume.voxel_size_A, strict=True))
    z, y, x = volume.header.placement_A
    positions = {
        "PositionX": [x] * depth,
        "PositionY": [y] * depth,
        "PositionZ": [z + plane * sizes["Z"] for plane in range(depth)],
    }
    units = {f"{name}Unit": ["Å"] * depth for name in positions}
    return {
        "axes": "ZYX",
        "Name": volume.meta.name,
        "Description": own_label(volume.meta.name),
        # tifffile would use a random one, so two exports of the same mask would differ.
        "UUID": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{volume.meta.name} {volume.shape}")),
        "Plane": {**positions, **units},
        **{f"PhysicalSize{axis}": size for axis, size in sizes.items()},
        **{f"PhysicalSize{axis}Unit": "Å" for axis in sizes},
    }
