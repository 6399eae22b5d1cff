"""Open MRC volumes: inspect the header, read blocks, stream all voxels, in constant memory."""

from __future__ import annotations

import io
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cryomamba.errors import ErrorCode, VolumeError
from cryomamba.printable import file_text
from cryomamba.system_errors import system_error
from cryomamba.volumes import compressed
from cryomamba.volumes.file_version import FileVersion, changed
from cryomamba.volumes.grid import Triple
from cryomamba.volumes.header_fields import HEADER_NBYTES, HeaderFields
from cryomamba.volumes.header_parser import CONVERT_HINT, parse_header
from cryomamba.volumes.metadata import VolumeMeta
from cryomamba.volumes.voxel_file import BUFFER_NBYTES, Array, Block, VoxelFile, spans


def inspect(
    path: str | os.PathLike[str],
    *,
    voxel_size_A: float | Triple | None = None,
    check: Callable[[int], None] | None = None,
) -> VolumeMeta:
    """Return the metadata of a volume from its header; no voxel is read.

    Parameters
    ----------
    path : path-like
        An MRC file, uncompressed or compressed with gzip or bzip2 (detected by its first bytes, not its name).
    voxel_size_A : float or tuple of float, optional
        Å, one for all or along z, y, x; replaces the header's.
    check : callable, optional
        Called with the descriptor of the opened file before it is read; may raise to refuse it.

    Raises
    ------
    VolumeError
        ``volume_not_found``, ``volume_unreadable`` or ``volume_unsupported``.
    """
    with _open_file(Path(path), check) as file:
        header = _read_header(file, voxel_size_A)
        return header.describe(file_text(Path(path).name), _size(file), compressed.compression_of(_head(file)))


def open_volume(
    path: str | os.PathLike[str],
    *,
    voxel_size_A: float | Triple | None = None,
    scratch: Path | None = None,
    check: Callable[[int], None] | None = None,
    may_change: bool = False,
) -> Volume:
    """Open a volume for reading; a context manager.

    Parameters
    ----------
    path : path-like
        As for :func:`inspect`.
    voxel_size_A : float or tuple of float, optional
        Å, one for all or along z, y, x; replaces the header's.
    scratch : Path, optional
        Existing folder for the decompressed copy of a compressed file, which stays there and is used again next time.
        Default: a temporary folder that is removed on closing.
    check : callable, optional
        As for :func:`inspect`.
    may_change : bool
        Whether the file may change while it is open, as in a viewer. Otherwise reading from a file that was changed
        since it was opened is an error.

    Raises
    ------
    VolumeError
        ``volume_not_found``, ``volume_unreadable``, ``volume_unsupported`` or ``volume_changed``.
    UnavailableError
        ``insufficient_storage``: the disk is too full to decompress the file.
    """
    path = Path(path)
    with ExitStack() as stack:
        source = stack.enter_context(_open_file(path, check))
        version = FileVersion.of(source.fileno())
        header = _read_header(source, voxel_size_A)
        compression = compressed.compression_of(_head(source))
        meta = header.describe(file_text(path.name), _size(source), compression)
        plain, plain_path = source, path
        if compression is not None:
            if scratch is None:
                scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cryomamba-")))
            nbytes = header.data_offset + header.data_nbytes
            plain_path = compressed.decompress(source, compression, nbytes, scratch)
            plain = stack.enter_context(_open_file(plain_path))
        opened = Source(path, source.fileno(), version, may_change=may_change)
        opened.require_untouched()
        return Volume(header, meta, plain, plain_path, opened, stack.pop_all())


@dataclass(frozen=True, slots=True)
class Source:
    """The file that was opened, compressed or not, as it was then."""

    path: Path
    descriptor: int
    version: FileVersion
    may_change: bool = False

    def require_untouched(self) -> None:
        """Refuse a file whose size or date has changed; a system call, so it can be made for every block.

        Raises
        ------
        VolumeError
            ``volume_changed``.
        """
        status = os.fstat(self.descriptor)
        if (status.st_size, status.st_mtime_ns) != (self.version.size_bytes, self.version.mtime_ns):
            self.require_unchanged()

    def require_unchanged(self) -> None:
        """Refuse a file that was changed, replaced or removed; see :meth:`Volume.require_unchanged`."""
        if self.may_change:
            return
        name, since = file_text(self.path.name), "while it was read"
        self.version.require_same(FileVersion.of(self.descriptor), name, since)
        try:
            now = self.path.stat()
        except OSError:
            raise changed(name, since, "it was removed") from None
        if not os.path.samestat(now, os.fstat(self.descriptor)):
            raise changed(name, since, "it was replaced by another file")


class Volume:
    """An open volume, returned by :func:`open_volume`.

    Axes are z, y, x regardless of the order in the file. Methods may be called from several threads. ``chunks`` and
    ``read`` use a buffer of 1 MiB and constant resident memory; ``array`` is a memory map, whose pages count as
    resident until the system reclaims them. Unpickled in another process, also on another machine, a volume is the
    same file opened again by its path; it must not have changed.

    Attributes
    ----------
    meta : VolumeMeta
        Metadata for clients.
    header : HeaderFields
        The header, from which masks take their grid.
    path : Path
        The uncompressed file that is read.
    """

    def __init__(
        self, header: HeaderFields, meta: VolumeMeta, file: io.FileIO, path: Path, source: Source, resources: ExitStack
    ) -> None:
        self.header = header
        self.meta = meta
        self.path = path
        self._source = source
        self._resources = resources
        self._file = file
        self._stored = VoxelFile(file, header)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along z, y, x."""
        return self.header.shape

    @property
    def voxel_size_A(self) -> Triple:
        """Å along z, y, x."""
        return self.header.voxel_size_A

    @property
    def array(self) -> Array | None:
        """The voxels as a read-only, memory-mapped (z, y, x) view in their stored dtype; None for voxels of 4 bits.

        Each access makes a new map; do not keep it longer than needed.
        """
        if self.header.nibbles:
            return None
        mapped = np.memmap(
            self.path, self.header.dtype, "r", offset=self.header.data_offset, shape=self.header.file_shape
        )
        return mapped.transpose(self.header.to_zyx)

    def read(self, z: slice, y: slice, x: slice, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Return a block of voxels.

        Parameters
        ----------
        z, y, x : slice
            Slices of step 1 in voxels, clipped to the volume.
        out : ndarray of float32, optional
            C-contiguous array of the block's shape to fill and return.

        Returns
        -------
        ndarray of float32
            Shape (z, y, x), C-contiguous.

        Raises
        ------
        VolumeError
            ``volume_changed``: the file was changed while open.
        ValueError
            `out` has another shape, type or layout.
        """
        block, shape = self._block(z, y, x)
        if out is None:
            out = np.empty(shape, np.float32)
        elif out.shape != shape or out.dtype != np.float32 or not out.flags.c_contiguous:
            raise ValueError(f"out must be a C-contiguous float32 array of shape {shape}")
        self._stored.read_into(out.transpose(self.header.from_zyx), *block)
        self._source.require_untouched()
        return out

    def read_native(self, z: slice, y: slice, x: slice) -> Array:
        """Return a block like :meth:`read`, but in the stored dtype, in native byte order."""
        block, shape = self._block(z, y, x)
        out = np.empty(shape, np.dtype(self.header.dtype).newbyteorder("="))
        self._stored.read_into(out.transpose(self.header.from_zyx), *block)
        self._source.require_untouched()
        return out

    def read_rows(self, sections: Sequence[int], rows: Sequence[int], columns: slice) -> Array:
        """Return a part of single rows of the file, in the stored dtype, in native byte order.

        Parameters
        ----------
        sections, rows : sequence of int
            In the **file's** order of axes; every one of these rows in every one of these sections.
        columns : slice
            Of step 1.

        Returns
        -------
        ndarray
            Shape (sections, rows, columns).
        """
        out = self._stored.read_rows(sections, rows, spans(columns, self.header.file_shape[2]))
        self._source.require_untouched()
        return out

    def _block(self, z: slice, y: slice, x: slice) -> tuple[Block, tuple[int, ...]]:
        zyx = [spans(index, size) for index, size in zip((z, y, x), self.shape, strict=True)]
        return self.header.in_file_order(zyx), tuple(stop - start for start, stop in zyx)

    def chunks(self, nbytes: int = BUFFER_NBYTES, *, every: int = 1) -> Iterator[Array]:
        """Yield all voxels as flat chunks, in the file's order and stored dtype, in native byte order.

        All chunks share one buffer of about `nbytes` and are valid until the next one. With `every` above 1, only
        one of so many chunks is read: a sample from the whole file.
        """
        for chunk in self._stored.chunks(nbytes, every):
            self._source.require_untouched()
            yield chunk

    def require_unchanged(self) -> None:
        """Refuse a file that was changed, replaced or removed since it was opened: what was read may not be one volume.

        Raises
        ------
        VolumeError
            ``volume_changed``.
        """
        self._source.require_unchanged()

    def fileno(self) -> int:
        """Return the descriptor of the file that was opened, compressed or not, to verify which file it is."""
        return self._source.descriptor

    def __reduce__(self) -> tuple[Any, ...]:
        version = FileVersion.of(self._file.fileno())
        return _reopen, (self.path.absolute(), self.voxel_size_A, None if self._source.may_change else version)

    def close(self) -> None:
        """Close the file and remove its temporary decompressed copy; closing twice is allowed."""
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _reopen(path: Path, voxel_size_A: Triple, version: FileVersion | None) -> Volume:
    def require_same(descriptor: int) -> None:
        if version is not None:
            version.require_same(FileVersion.of(descriptor), file_text(path.name), "while it was read")

    return open_volume(path, voxel_size_A=voxel_size_A, check=require_same, may_change=version is None)


def _open_file(path: Path, check: Callable[[int], None] | None = None) -> io.FileIO:
    file = _open_regular(path)
    if check is not None:
        try:
            check(file.fileno())
        except BaseException:
            file.close()
            raise
    return file


def _open_regular(path: Path) -> io.FileIO:
    try:
        # Opening a device can have an effect, so it is refused first. A FIFO may still be put in place of the file.
        _check_regular(path.stat(), path)
        file = io.FileIO(path, "rb", opener=_without_waiting)
        try:
            _check_regular(os.fstat(file.fileno()), path)
        except BaseException:
            file.close()
            raise
        return file
    except FileNotFoundError as error:
        raise VolumeError(
            f"There is no file {path.name}.",
            code=ErrorCode.VOLUME_NOT_FOUND,
            hint="Check the spelling, and that this computer can access the folder.",
        ) from error
    except (OSError, ValueError) as error:
        if (of_the_machine := system_error(error)) is not None:
            raise of_the_machine from error
        raise VolumeError(
            f"{path.name} cannot be opened.", hint="Check the permissions of the file and its folder."
        ) from error


def _check_regular(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        hint = CONVERT_HINT if path.suffix.lower() == ".zarr" else "Choose an MRC file."
        raise VolumeError(f"'{path}' is not a file.", hint=hint)


def _without_waiting(name: str, flags: int) -> int:
    """Open a file; a FIFO too, without waiting for somebody who writes to it."""
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def _size(file: io.FileIO) -> int:
    return os.fstat(file.fileno()).st_size


def _head(file: io.FileIO) -> bytes:
    file.seek(0)
    return file.read(HEADER_NBYTES)


def _read_header(file: io.FileIO, voxel_size_A: float | Triple | None) -> HeaderFields:
    head, size = _head(file), _size(file)
    compression = compressed.compression_of(head)
    if compression is None:
        header = parse_header(head, size)
    else:
        header = parse_header(compressed.head(file, compression, HEADER_NBYTES), None)
        compressed.check_ratio(compression, size, header.data_offset + header.data_nbytes)
    return header if voxel_size_A is None else header.with_voxel_size(voxel_size_A)
