"""Volumes packed with gzip or bzip2: told by their first bytes, unpacked once and never beyond their header."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import os
import zlib
from pathlib import Path

from cryomamba.atomic import AtomicFile
from cryomamba.errors import VolumeError
from cryomamba.volumes.metadata import Compression

_PIECE_NBYTES = 1 << 20
# Deflate shrinks by at most 1032 to 1; bzip2 codes runs first, then turns a block of 900 kB into some 40 bytes.
_LARGEST_RATIO = {"gzip": 1_040, "bzip2": 6_000_000}
_BROKEN = (OSError, EOFError, zlib.error)


def compression_of(head: bytes) -> Compression | None:
    """Return how a file that begins with ``head`` is packed, None if it is not."""
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    return "bzip2" if head.startswith(b"BZh") else None


def head(file: io.FileIO, compression: Compression, nbytes: int) -> bytes:
    """Return the first bytes of the unpacked stream, unpacking no more than they need.

    Raises
    ------
    VolumeError
        The stream is damaged.
    """
    with _stream(file, compression) as stream:
        return _read(stream, nbytes, compression)


def check_ratio(compression: Compression, packed_nbytes: int, nbytes: int) -> None:
    """Refuse a header that promises more than its packed file can hold.

    Raises
    ------
    VolumeError
        No stream of that length can unpack to ``nbytes``.
    """
    if nbytes > packed_nbytes * _LARGEST_RATIO[compression]:
        raise VolumeError(
            f"The file is cut short: its header promises {nbytes:,} bytes, but {packed_nbytes:,} bytes of "
            f"{compression} cannot hold them.",
            hint="Copy or pack the file again; it was probably interrupted.",
            details={"expected_bytes": nbytes, "size_bytes": packed_nbytes},
        )


def unpack(file: io.FileIO, compression: Compression, nbytes: int, folder: Path) -> Path:
    """Unpack exactly ``nbytes`` into ``folder`` and return where; an earlier unpacking of the same file is used.

    Raises
    ------
    VolumeError
        The stream is damaged or shorter.
    UnavailableError
        ``insufficient_storage``.
    """
    status = os.fstat(file.fileno())
    key = hashlib.sha256(repr((status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)).encode())
    target = folder / f"{key.hexdigest()[:24]}.mrc"
    if target.exists() and target.stat().st_size == nbytes:
        return target
    with AtomicFile(target, nbytes) as aside, _stream(file, compression) as stream:
        _copy(stream, aside, nbytes, compression)
    return target


def _copy(stream: gzip.GzipFile | bz2.BZ2File, aside: AtomicFile, nbytes: int, compression: Compression) -> None:
    left = nbytes
    with aside.stream() as output:
        while left:
            piece = _read(stream, min(left, _PIECE_NBYTES), compression)
            if not piece:
                raise VolumeError(
                    f"The file is cut short: it unpacks to {nbytes - left:,} bytes, its header promises {nbytes:,}.",
                    hint="Copy or pack the file again; it was probably interrupted.",
                )
            output.write(piece)
            left -= len(piece)
    # Reading a little beyond the voxels makes the stream reach its end and verify its checksum.
    _read(stream, _PIECE_NBYTES, compression)


def _read(stream: gzip.GzipFile | bz2.BZ2File, nbytes: int, compression: Compression) -> bytes:
    try:
        return stream.read(nbytes)
    except _BROKEN as error:
        raise _damaged(compression) from error


def _stream(file: io.FileIO, compression: Compression) -> gzip.GzipFile | bz2.BZ2File:
    file.seek(0)
    return gzip.GzipFile(fileobj=file, mode="rb") if compression == "gzip" else bz2.BZ2File(file)


def _damaged(compression: Compression) -> VolumeError:
    return VolumeError(
        f"The {compression} file is damaged and cannot be unpacked.", hint="Copy or pack the file again."
    )
