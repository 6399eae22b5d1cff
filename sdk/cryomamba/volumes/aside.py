"""A file that is written aside and appears under its name only when it is whole."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

from cryomamba.errors import ErrorCode, UnavailableError


class AsideFile:
    """Open ``<name>.part`` next to ``path`` for reading and writing; ``commit`` renames it, ``discard`` removes it.

    Parameters
    ----------
    path : Path
        Final name; its folder exists. What is there is replaced by ``commit``.
    nbytes : int
        Length of the file, set at once (without writing) so that any part of it can be written first.

    Raises
    ------
    UnavailableError
        ``insufficient_storage``: the disk has less room than that.
    """

    def __init__(self, path: Path, nbytes: int) -> None:
        self._path = path
        self._aside = path.with_name(path.name + ".part")
        _check_room(path.parent, nbytes)
        self.file = io.FileIO(self._aside, "w+b")
        self.file.truncate(nbytes)

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


def _check_room(folder: Path, nbytes: int) -> None:
    if shutil.disk_usage(folder).free < nbytes:
        raise UnavailableError(
            f"The disk has no room for a file of {nbytes:,} bytes.",
            code=ErrorCode.INSUFFICIENT_STORAGE,
            hint="Free some space where results are written.",
        )
