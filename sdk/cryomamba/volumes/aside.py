"""A file that is written aside and appears under its name only when it is whole."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

from cryomamba.errors import ErrorCode, UnavailableError


class AsideFile:
    """A file ``<name>.part`` next to ``path``, open for reading and writing.

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
        self._aside = path.with_name(path.name + ".part")
        _check_room(path.parent, nbytes)
        self.file = io.FileIO(self._aside, "w+b")
        self.file.truncate(nbytes)

    def stream(self) -> io.BufferedWriter:
        """Return a buffered stream from where the file stands; to be closed before ``commit``."""
        return io.BufferedWriter(io.FileIO(self.file.fileno(), "wb", closefd=False))

    def commit(self) -> None:
        """Put the bytes on disk and the file under its name."""
        os.fsync(self.file.fileno())
        self.file.close()
        self._aside.replace(self._path)

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


def _check_room(folder: Path, nbytes: int) -> None:
    if shutil.disk_usage(folder).free < nbytes:
        raise UnavailableError(
            f"The disk has no room for a file of {nbytes:,} bytes.",
            code=ErrorCode.INSUFFICIENT_STORAGE,
            hint="Free some space where results are written.",
        )
