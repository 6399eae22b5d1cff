"""NRRD: what 3D Slicer, ITK and VTK read.

The header is twelve lines of text, written here: pynrrd takes whole arrays only and writes the time of day into
every file.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np

from cryomamba.volumes.aside import AsideFile
from cryomamba.volumes.encode import own_label
from cryomamba.volumes.exports.slabs import Progress, slabs, stored_dtype
from cryomamba.volumes.mrc import Volume

_TYPES = {"i1": "int8", "u1": "uint8", "i2": "int16", "u2": "uint16", "f4": "float"}


def write_nrrd(
    volume: Volume, path: str | os.PathLike[str], *, labels: bool = False, progress: Progress | None = None
) -> None:
    """Write a volume as NRRD with an attached header.

    Space is right-anterior-superior with axes along +x, +y, +z, so that a NIfTI of the same volume lies in the same
    place; directions and origin are in Å and say so. Labels are packed with gzip. Memory is bounded by one slab.
    The same volume gives the same bytes.

    Parameters
    ----------
    volume : Volume
        Open volume or mask.
    path : path-like
        ``.nrrd``.
    labels : bool
        Store unsigned integers, as programs expect of a mask, and pack them.
    progress : callable, optional
        Called with the fraction written; an exception from it discards the file.
    """
    dtype = stored_dtype(volume, labels=labels)
    with AsideFile(Path(path)) as aside, aside.stream() as output:
        output.write(_header(volume, dtype, packed=labels).encode("ascii"))
        packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS | 16) if labels else None
        for slab in slabs(volume, dtype, progress):
            output.write(slab.data if packer is None else packer.compress(slab.data))
        if packer is not None:
            output.write(packer.flush())


def _header(volume: Volume, dtype: np.dtype[np.generic], *, packed: bool) -> str:
    z, y, x = (repr(float(size)) for size in volume.voxel_size_A)
    origin = ",".join(repr(float(offset)) for offset in volume.facts.placement_A[::-1])
    lines = [
        "NRRD0005",
        f"type: {_TYPES[dtype.str[1:]]}",
        "dimension: 3",
        "space: right-anterior-superior",
        "sizes: " + " ".join(str(side) for side in volume.shape[::-1]),
        f"space directions: ({x},0.0,0.0) (0.0,{y},0.0) (0.0,0.0,{z})",
        "kinds: domain domain domain",
        *(["endian: little"] if dtype.itemsize > 1 else []),
        f"encoding: {'gzip' if packed else 'raw'}",
        'space units: "angstrom" "angstrom" "angstrom"',
        f"space origin: ({origin})",
        "content: " + own_label(volume.meta.name).encode("ascii", "replace").decode(),
    ]
    return "\n".join(lines) + "\n\n"
