"""Volumes compressed with gzip or bzip2: detected by their first bytes, decompressed once, not beyond the header."""

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

_CHUNK_NBYTES = 1 << 20
# Deflate compresses at most 1032 : 1; bzip2 encodes runs first and then shrinks a block of 900 kB to about 40 bytes.
_LARGEST_RATIO = {"gzip": 1_040, "bzip2": 6_000_000}
_DAMAGED = (OSError, EOFError, zlib.error)


def compression_of(head: bytes) -> Compression | None:
    """Return the compression of a file that begins with `head`; None if it is not compressed."""
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    return "bzip2" if head.startswith(b"BZh") else None


def head(file: io.FileIO, compression: Compression, nbytes: int) -> bytes:
    """Return the first bytes of the decompressed stream, without decompressing the rest.

    Raises
    ------
    VolumeError
        The stream is damaged.
    """
    with _stream(file, compression) as stream:
        return _read(stream, nbytes, compression)


def check_ratio(compression: Compression, compressed_nbytes: int, nbytes: int) -> None:
    """Refuse a header that describes more data than the compressed file can contain.

    Raises
    ------
    VolumeError
        A stream of that length cannot decompress to `nbytes`.
    """
    if nbytes > compressed_nbytes * _LARGEST_RATIO[compression]:
        raise VolumeError(
            f"The file is truncated: its header describes {nbytes:,} bytes, more than {compressed_nbytes:,} bytes of "
            f"{compression} can contain.",
            hint="Copy or compress the file again; the transfer was probably interrupted.",
            details={"expected_bytes": nbytes, "size_bytes": compressed_nbytes},
        )


def decompress(file: io.FileIO, compression: Compression, nbytes: int, folder: Path) -> Path:
    """Decompress exactly `nbytes` into a file in `folder` and return its path; an earlier copy is used again.

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
    with AtomicFile(target, nbytes) as new, _stream(file, compression) as stream:
        _copy(stream, new, nbytes, compression)
    return target


def _copy(stream: gzip.GzipFile | bz2.BZ2File, new: AtomicFile, nbytes: int, compression: Compression) -> None:
    left = nbytes
    with new.stream() as output:
        while left:
            chunk = _read(stream, min(left, _CHUNK_NBYTES), compression)
            if not chunk:
                raise VolumeError(
                    f"The file is truncated: it decompresses to {nbytes - left:,} of {nbytes:,} bytes.",
                    hint="Copy or compress the file again; the transfer was probably interrupted.",
                )
            output.write(chunk)
            left -= len(chunk)
    # Reading past the voxels makes the stream reach its end and verify its checksum.
    _read(stream, _CHUNK_NBYTES, compression)


def _read(stream: gzip.GzipFile | bz2.BZ2File, nbytes: int, compression: Compression) -> bytes:
    try:
        return stream.read(nbytes)
    except _DAMAGED as error:
        raise VolumeError(
            f"The {compression} file is damaged and cannot be decompressed.", hint="Copy or compress the file again."
        ) from error


def _stream(file: io.FileIO, compression: Compression) -> gzip.GzipFile | bz2.BZ2File:
    file.seek(0)
    return gzip.GzipFile(fileobj=file, mode="rb") if compression == "gzip" else bz2.BZ2File(file)
