"""A lock on a folder, held by one program or shared by several; between machines too where the file system locks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_LOCK: Final = "lock"


@contextmanager
def folder_lock(folder: Path, *, shared: bool = False) -> Iterator[bool]:
    """Lock a folder, which is created if missing, and give whether that was possible.

    Parameters
    ----------
    folder : Path
    shared : bool
        Whether others may have the same kind of lock at the same time; not on Windows.

    Raises
    ------
    OSError
        The folder cannot be written, or its file system has no locks.
    """
    descriptor = -1
    try:
        # Whoever holds the lock may remove the folder with the file, and the lock of a file that is gone is none.
        while descriptor < 0 or not _is_current(folder, descriptor):
            if descriptor >= 0:
                os.close(descriptor)
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            if not _lock(descriptor, shared=shared):
                yield False
                return
        yield True
    finally:
        # The file stays: a folder that another program has opened must not lose its lock.
        if descriptor >= 0:
            os.close(descriptor)


def _is_current(folder: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat((folder / _LOCK).stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _lock(descriptor: int, *, shared: bool) -> bool:
    try:
        if sys.platform == "win32":
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True
