"""NRRD, for 3D Slicer, ITK and VTK.

The header is twelve lines of text and written here, because pynrrd needs whole arrays and writes the time into files.
"""

from __future__ import annotations

import os
import zlib
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cryomamba.atomic import AtomicFile
from cryomamba.volumes.exports.slabs import Progress, content_of, slabs, stored_dtype
from cryomamba.volumes.header_encoder import own_label
from cryomamba.volumes.header_fields import HeaderFields
from cryomamba.volumes.labels import LabelVolume
from cryomamba.volumes.mrc import Volume

_TYPES = {"i1": "int8", "u1": "uint8", "i2": "int16", "u2": "uint16", "f4": "float"}


def write_nrrd(
    volume: Volume | LabelVolume,
    path: str | os.PathLike[str],
    *,
    labels: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write a volume as NRRD with an attached header.

    The space is right-anterior-superior with axes along +x, +y, +z, so a NIfTI file of the same volume overlays
    exactly; directions and origin are in Å, which the header states. Labels are compressed with gzip. Memory is bounded
    by one slab. The same volume gives the same bytes.

    Parameters
    ----------
    volume : Volume or LabelVolume
        Open.
    path : path-like
        ``.nrrd``.
    labels : bool
        Store compressed unsigned integers, as programs expect for masks.
    progress : callable, optional
        Called with the fraction written; an exception from it discards the file.
    """
    volume = content_of(volume, labels=labels)
    dtype = stored_dtype(volume)
    with AtomicFile(Path(path)) as new, new.stream() as output:
        output.write(_header(volume.header, dtype, compressed=labels, content=volume.meta.name).encode("ascii"))
        compressor = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS | 16) if labels else None
        for slab in slabs(volume, dtype, progress):
            output.write(slab.data if compressor is None else compressor.compress(slab.data))
        if compressor is not None:
            output.write(compressor.flush())


class VectorFieldWriter:
    """Writes a vector field to disk slab by slab; a context manager.

    The file is a gzipped NRRD of float32 with the vector (x, y, z) as its fastest axis, placed like the volume in
    :func:`write_nrrd`. It appears under its name when it is complete.

    Parameters
    ----------
    path : path-like
        ``.nrrd``.
    like : Volume or HeaderFields
        Grid of the field.
    """

    def __init__(self, path: str | os.PathLike[str], like: Volume | HeaderFields) -> None:
        self._like = like.header if isinstance(like, Volume) else like
        self._path = Path(path)
        self._stack = ExitStack()
        self._compressor = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS | 16)

    def __enter__(self) -> Self:
        new = self._stack.enter_context(AtomicFile(self._path))
        self._output = self._stack.enter_context(new.stream())
        self._output.write(
            _header(self._like, np.dtype("<f4"), compressed=True, content="normals", vector=True).encode()
        )
        return self

    def write(self, vectors: NDArray[np.float32]) -> None:
        """Append a slab of vectors (z, y, x, 3) with components z, y, x and full y and x."""
        xyz = np.ascontiguousarray(vectors[..., ::-1], np.dtype("<f4"))
        self._output.write(self._compressor.compress(xyz.data))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if kind is None:
            self._output.write(self._compressor.flush())
        return self._stack.__exit__(kind, error, trace)


def _header(
    header: HeaderFields, dtype: np.dtype[np.generic], *, compressed: bool, content: str, vector: bool = False
) -> str:
    z, y, x = (repr(float(size)) for size in header.voxel_size_A)
    origin = ",".join(repr(float(offset)) for offset in header.placement_A[::-1])
    lines = [
        "NRRD0005",
        f"type: {_TYPES[dtype.str[1:]]}",
        f"dimension: {4 if vector else 3}",
        "space: right-anterior-superior",
        "sizes: " + " ".join(str(side) for side in (*(3,) * vector, *header.shape[::-1])),
        "space directions: " + "none " * vector + f"({x},0.0,0.0) (0.0,{y},0.0) (0.0,0.0,{z})",
        "kinds: " + "vector " * vector + "domain domain domain",
        *(["endian: little"] if dtype.itemsize > 1 else []),
        f"encoding: {'gzip' if compressed else 'raw'}",
        'space units: "angstrom" "angstrom" "angstrom"',
        f"space origin: ({origin})",
        "content: " + own_label(content).encode("ascii", "replace").decode(),
    ]
    return "\n".join(lines) + "\n\n"
