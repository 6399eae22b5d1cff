"""A file that is written aside and appears under its name only when it is whole."""

from __future__ import annotations

import errno
import io
import os
import shutil
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from cryomamba.errors import ErrorCode, UnavailableError


class AtomicFile:
    """A file ``<name>.<process>.part`` next to ``path``, open for reading and writing.

    ``commit`` puts it under its name, ``discard`` removes it; as a context manager it does the one or the other.

    Parameters
    ----------
    path : Path
        Final name; its folder exists. What is there is replaced by ``commit``.
    nbytes : int
        Length of the file where it is known, set at once so that any part of it can be written first.

    Raises
    ------
    UnavailableError
        ``insufficient_storage``: the disk has less room than that.
    """

    def __init__(self, path: Path, nbytes: int = 0) -> None:
        self._path = path
        self._aside = path.with_name(f"{path.name}.{os.getpid()}.part")
        _check_room(path.parent, nbytes)
        self.file = io.FileIO(self._aside, "w+b")
        try:
            self.file.truncate(nbytes)
        except OSError:
            self.discard()
            raise

    def stream(self) -> io.BufferedWriter:
        """Return a buffered stream from where the file stands; to be closed before ``commit``."""
        return io.BufferedWriter(io.FileIO(self.file.fileno(), "wb", closefd=False))

    def commit(self) -> None:
        """Put the bytes on disk and the file under its name."""
        os.fsync(self.file.fileno())
        self.file.close()
        try:
            self._aside.replace(self._path)
        except OSError:
            self._aside.unlink(missing_ok=True)
            raise

    def discard(self) -> None:
        """Forget everything. After ``commit``, nothing happens."""
        if not self.file.closed:
            self.file.close()
            self._aside.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and not self.file.closed:
                self.commit()
        finally:
            self.discard()
        if isinstance(error, OSError) and is_disk_full(error):
            raise disk_full_error() from error


def write_atomically(path: Path, text: str) -> None:
    """Write a small file aside, bring it to the disk and rename it; :func:`sync_folder` makes the name durable too."""
    aside = path.with_name(f".{path.name}")
    with aside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk; Windows has no call for that."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_disk_full(error: OSError) -> bool:
    """Tell whether a write failed because the disk, or what one may use of it, is full."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def disk_full_error(nbytes: int | None = None) -> UnavailableError:
    """Return the error for a disk without room for a file (of ``nbytes``)."""
    size = "" if nbytes is None else f" of {nbytes:,} bytes"
    return UnavailableError(
        f"The disk has no room for a file{size}.",
        code=ErrorCode.INSUFFICIENT_STORAGE,
        hint="Free some space on the disk that it is written to.",
    )


def _check_room(folder: Path, nbytes: int) -> None:
    if shutil.disk_usage(folder).free < nbytes:
        raise disk_full_error(nbytes)
