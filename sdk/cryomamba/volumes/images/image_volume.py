"""A volume that is not an MRC file: read block by block like one, and written as one."""

from __future__ import annotations

import dataclasses
import itertools
import lzma
import os
import struct
import weakref
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from cryomamba.atomic import AtomicFile
from cryomamba.errors import CryoMambaError, ErrorCode, VolumeError
from cryomamba.geometry import Shape, Spacing
from cryomamba.volumes.grid import VOXEL_SIZE_MISSING, Triple, checked_voxel_size
from cryomamba.volumes.header_encoder import encode_header, own_label
from cryomamba.volumes.header_fields import HeaderFields, blank_header
from cryomamba.volumes.metadata import VolumeMeta
from cryomamba.volumes.moments import Moments
from cryomamba.volumes.voxel_file import BUFFER_NBYTES, Array, VoxelFile

BLOCK_NBYTES: Final = 32 << 20
# Unsigned bytes go into 16 bits, because those of MRC are signed for most programs; all other integers are exact up to
# 2**24 in 32-bit floats.
_MODES: Final = {"b1": 0, "i1": 0, "u1": 6, "i2": 1, "u2": 6}
_FLOATS: Final = 2
_SHOWN: Final = 200

# What tifffile, zarr and the decompressors raise for damaged files and for those that were made to harm.
_DAMAGE: Final = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    EOFError,
    MemoryError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
)

Block = tuple[slice, slice, slice]


@contextmanager
def damage_explained(name: str, format_: str, hint: str) -> Iterator[None]:
    """Turn what a reader of a format raises into an error that names the file.

    Raises
    ------
    VolumeError
        ``volume_unreadable``.
    """
    try:
        yield
    except CryoMambaError:
        raise
    except _DAMAGE as error:
        why = str(error).splitlines()[0][:_SHOWN].rstrip(".") if str(error) else type(error).__name__
        raise VolumeError(f"{name} cannot be read as {format_}: {why}.", hint=hint) from error


class Voxels(Protocol):
    """An array (z, y, x) that is read lazily."""

    @property
    def shape(self) -> Shape:
        """Voxels along z, y, x."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type as stored."""
        ...

    def __getitem__(self, index: Block, /) -> Any:  # noqa: ANN401 (numpy's, zarr's or another array)
        """Return a block; slices of step 1."""
        ...


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What a file says about its voxels.

    Attributes
    ----------
    name : str
        For people.
    format : str
        Name of the format, with its version.
    voxel_size_A : tuple of float or None
        Along z, y, x; None if it is unknown.
    placement_A : tuple of float
        Of the centre of voxel (0, 0, 0), along z, y, x.
    is_labels : bool
        Whether it is certain that they are labels.
    size_bytes : int
        On disk; 0 if that is unknown.
    block : tuple of int
        What can be read at once without reading anything twice, in voxels along z, y, x.
    """

    name: str
    format: str
    voxel_size_A: Spacing | None = None
    placement_A: Spacing = (0.0, 0.0, 0.0)
    is_labels: bool = False
    size_bytes: int = 0
    block: Shape | None = None


class ImageVolume:
    """An open volume of another format than MRC; has the methods of :class:`~cryomamba.volumes.Volume` for reading.

    Methods may be called from several threads if the voxels can be read so.

    Parameters
    ----------
    voxels : Voxels
        Read when they are needed.
    close : callable, optional
        Closes the file.

    Attributes
    ----------
    header : HeaderFields
        Of the MRC file that :meth:`write_mrc` writes.
    meta : VolumeMeta
        Metadata for clients.
    format : str
        Name of the format, with its version.
    is_labels : bool
        Whether it is certain that the voxels are labels.
    """

    def __init__(self, voxels: Voxels, info: ImageInfo, close: Callable[[], None] | None = None) -> None:
        self.voxels = voxels
        self._info = info
        self._describe()
        self.format, self.is_labels = info.format, info.is_labels
        _, y, x = voxels.shape
        self._block = info.block or (1, y, x)
        # A volume that a viewer drops without closing it must not keep its file open.
        self._close = weakref.finalize(self, close or _nothing_to_close)

    def _describe(self) -> None:
        z, y, x = self.voxels.shape
        size_A = _valid(self._info.voxel_size_A)
        header = blank_header((z, y, x), size_A or 1.0, mode=_mode(self.voxels.dtype))
        placement_A = self._info.placement_A
        at_z, at_y, at_x = placement_A if np.isfinite(placement_A).all() else (0.0, 0.0, 0.0)
        origin = (at_x, at_y, at_z)
        warnings = () if size_A is not None else (VOXEL_SIZE_MISSING,)
        self.header: HeaderFields = dataclasses.replace(
            header, origin_A=origin, standard_origin_A=origin, warnings=warnings
        )
        self.meta: VolumeMeta = self.header.describe(self._info.name, self._info.size_bytes)

    def set_voxel_size(self, voxel_size_A: Spacing) -> None:
        """Replace the voxel size that the file gives, Å along z, y, x; the position stays."""
        self._info = dataclasses.replace(self._info, voxel_size_A=voxel_size_A)
        self._describe()

    @property
    def shape(self) -> Shape:
        """Voxels along z, y, x."""
        return self.header.shape

    @property
    def voxel_size_A(self) -> Triple:
        """Å along z, y, x."""
        return self.header.voxel_size_A

    @property
    def array(self) -> Array | None:
        """The voxels as an array in memory or a memory map; None if they are read when asked for."""
        return self.voxels if isinstance(self.voxels, np.ndarray) else None

    def read_native(self, z: slice, y: slice, x: slice) -> Array:
        """Return a block in the type of the MRC file; slices of step 1, clipped to the volume."""
        values: Array = np.ascontiguousarray(self.voxels[z, y, x])
        return values.astype(self.header.dtype, copy=False)

    def chunks(self, nbytes: int = BUFFER_NBYTES, *, every: int = 1) -> Iterator[NDArray[Any]]:
        """Yield all voxels as flat chunks, block by block; with `every` above 1, one of so many blocks.

        A chunk is a block of the file's own layout, or several of about `nbytes` together.
        """
        for block in itertools.islice(self._blocks(nbytes), 0, None, every):
            yield self.read_native(*block).reshape(-1)

    def _blocks(self, nbytes: int) -> Iterator[Block]:
        side = list(self._block)
        itemsize = np.dtype(self.header.dtype).itemsize
        # More of the fastest axes first, so that rows and sections are read whole where that is possible.
        for axis in (2, 1, 0):
            while np.prod(side) * itemsize * 2 <= nbytes and side[axis] < self.shape[axis]:
                side[axis] *= 2
        axes = [range(0, size, step) for size, step in zip(self.shape, side, strict=True)]
        for starts in itertools.product(*axes):
            ends = (min(start + step, size) for start, step, size in zip(starts, side, self.shape, strict=True))
            z, y, x = (slice(start, end) for start, end in zip(starts, ends, strict=True))
            yield z, y, x

    def write_mrc(self, path: str | os.PathLike[str], *, progress: Callable[[float], None] | None = None) -> None:
        """Write the volume as MRC, atomically, in constant memory; it keeps voxel size and position.

        Parameters
        ----------
        path : path-like
            Its folder exists.
        progress : callable, optional
            Called with the fraction written; an exception from it discards the file.

        Raises
        ------
        UnavailableError
            ``insufficient_storage``.
        VolumeError
            The voxels cannot be read.
        """
        total, done = int(np.prod(self.shape)), 0
        with AtomicFile(Path(path), self.header.data_offset + self.header.data_nbytes) as file:
            target, moments = VoxelFile(file.file, self.header), Moments()
            for block in self._blocks(BLOCK_NBYTES):
                values = self.read_native(*block)
                target.write_from(values, *((part.start, part.stop) for part in block))
                moments.add(values.reshape(-1))
                done += values.size
                if progress is not None:
                    progress(done / total)
            file.file.seek(0)
            file.file.write(encode_header(self.header, (own_label(f"{self.format} as volume"),), moments))

    def close(self) -> None:
        """Close the file; closing twice is allowed."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _nothing_to_close() -> None:
    """Do nothing: an array in memory or a memory map is not closed."""


def _valid(voxel_size_A: Spacing | None) -> Spacing | None:
    """Return a voxel size; None if the file has none, or one that is no length."""
    if voxel_size_A is None:
        return None
    try:
        return checked_voxel_size(voxel_size_A)
    except VolumeError:
        return None


def array_volume(voxels: Voxels, name: str, voxel_size_A: Spacing | None) -> ImageVolume:
    """Return voxels that another program holds as a volume.

    Raises
    ------
    VolumeError
        ``volume_unsupported``: they are no numbers.
    """
    return ImageVolume(voxels, ImageInfo(name, "array in memory", voxel_size_A))


def _mode(dtype: np.dtype[Any]) -> int:
    if dtype.kind not in "biuf":
        raise VolumeError(
            f"Voxels of the type {dtype} are not supported.",
            code=ErrorCode.VOLUME_UNSUPPORTED,
            hint="Save the volume with real numbers, for example 32-bit floats.",
        )
    return _MODES.get(dtype.str[1:], _FLOATS)
