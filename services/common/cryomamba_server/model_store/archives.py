"""Unpacks zip and tar archives that others have made: regular files alone, within bounds.

The readers of the standard library believe what an archive states about itself, so that a small archive can make them
read gigabytes into memory. They therefore read from a file that refuses more than a few megabytes of headers.
"""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, cast

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba_server.model_store.staging import Staging, link_refused, model_refused

_HEADERS_MAX: Final = 4 * 1024 * 1024
# Small archives may be text, which shrinks well.
_ALWAYS_ALLOWED: Final = 16 * 1024 * 1024
_ENCRYPTED: Final = 1
_MALFORMED: Final = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    gzip.BadGzipFile,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    UnicodeError,
    ValueError,
    IndexError,
    KeyError,
    RuntimeError,
)


def unpack(archive: Path, name: str, staging: Staging) -> None:
    """Unpack an archive.

    Parameters
    ----------
    archive : Path
    name : str
        The archive's name for people; its extension tells the format.
    staging : Staging
        Left with a part of the files if this raises.

    Raises
    ------
    InvalidRequestError
        The archive is damaged or encrypted, has a link or a name that leaves the folder, or is larger than allowed.
    UnavailableError
        The disk is full.
    """
    nbytes = max(_ALWAYS_ALLOWED, staging.limits.ratio * archive.stat().st_size)
    staging.nbytes_allowed = nbytes = min(nbytes, staging.nbytes_allowed)
    with archive.open("rb") as file, _damage_explained():
        if name.lower().endswith(".zip"):
            _unpack_zip(file, staging)
        elif name.lower().endswith((".gz", ".tgz")):
            # The header's own limit on what is skipped, and on what is read.
            with gzip.GzipFile(fileobj=file) as stream:
                _unpack_tar(_BoundedReader(cast("IO[bytes]", stream), 2 * nbytes), staging)
        else:
            _unpack_tar(_BoundedReader(file, 2 * nbytes), staging)


def _unpack_zip(file: IO[bytes], staging: Staging) -> None:
    bounded = _BoundedReader(file, file.seek(0, io.SEEK_END))
    with zipfile.ZipFile(cast("IO[bytes]", bounded)) as archive:
        for info in archive.infolist():
            # The other name ends at a zero byte.
            path = staging.path_of(info.orig_filename.removesuffix("/"))
            mode = stat.S_IFMT(info.external_attr >> 16)
            if mode not in {0, stat.S_IFREG, stat.S_IFDIR}:
                raise link_refused(info.orig_filename)
            if path is None or info.is_dir():
                continue
            if info.flag_bits & _ENCRYPTED:
                raise model_refused("The archive is encrypted.", "Pack it again without a password.")
            if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                raise model_refused("The archive is compressed in an unusual way.", "Pack it again with 'zip -r'.")
            staging.require_size(info.file_size)
            with bounded.content(), archive.open(info) as content:
                staging.write(path, content)


def _unpack_tar(bounded: _BoundedReader, staging: Staging) -> None:
    with tarfile.TarFile(fileobj=cast("IO[bytes]", bounded), errors="strict") as archive:
        while (member := archive.next()) is not None:
            # The reader would keep every member that it has seen.
            archive.members = []  # type: ignore[attr-defined, unused-ignore]
            if member.isdir() and member.name in {"", "."}:
                continue
            path = staging.path_of(member.name)
            if member.isdir():
                continue
            if member.type not in {tarfile.REGTYPE, tarfile.AREGTYPE} or member.sparse is not None:
                raise link_refused(member.name)
            staging.require_size(member.size)
            content = archive.extractfile(member)
            if path is not None and content is not None:
                with bounded.content():
                    staging.write(path, content)


class _BoundedReader(io.BufferedIOBase):
    """Reads a file; all that is not the content of a member together is bounded, and so is the position."""

    def __init__(self, file: IO[bytes], end: int) -> None:
        self._file, self._end = file, end
        self._headers = 0
        self._in_content = False

    @contextmanager
    def content(self) -> Iterator[None]:
        """While the content of a member is read, in small steps."""
        self._in_content = True
        try:
            yield
        finally:
            self._in_content = False

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, at most what is left of the bound."""
        if self._in_content and size is not None and size >= 0:
            return self._file.read(size)
        left = _HEADERS_MAX - self._headers
        found = self._file.read(left + 1 if size is None or size < 0 else min(size, left + 1))
        self._headers += len(found)
        if self._headers > _HEADERS_MAX:
            raise model_refused(
                "The archive's list of files is too long.", "Pack only the model's files, with short names.", _TOO_LARGE
            )
        return found

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move the position."""
        if whence == io.SEEK_SET and offset > self._end:
            raise EOFError
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell()

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def seekable(self) -> bool:
        """Whether the position can be moved."""
        return True


_TOO_LARGE: Final = ErrorCode.TOO_LARGE


@contextmanager
def _damage_explained() -> Iterator[None]:
    """Turn what the readers raise for a damaged archive into a sentence."""
    try:
        yield
    except InvalidRequestError:
        raise
    except _MALFORMED as error:
        raise model_refused(
            f"The archive cannot be read: {str(error)[:200] or type(error).__name__}.",
            "Pack the folder of the model again, as .zip, .tar or .tar.gz, and check that it opens.",
        ) from None
