"""The folder of one attempt: locked while it is worked in, so that nobody sweeps it away and leftovers are known."""

from __future__ import annotations

import logging
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from cryomamba.errors import UnavailableError

if os.name == "posix":
    import fcntl

log = logging.getLogger(__name__)

_LOCK = ".lock"
_YOUNG_S = 60.0


class Workspace:
    """A folder ``<work>/<job>/<attempt>``, a context manager; the lock ends with the process, however that ends.

    What lies there from an earlier try of the same attempt is removed first, and everything at the end: results have
    been moved out by then.

    Parameters
    ----------
    work : Path
        The home's folder of unfinished files.
    job_id, attempt : str, int

    Raises
    ------
    UnavailableError
        Another process holds the same attempt.
    """

    def __init__(self, work: Path, job_id: str, attempt: int) -> None:
        self.path = work / job_id / str(attempt)
        self._lock = -1

    def __enter__(self) -> Self:
        while self._lock < 0:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(self.path)
        _empty(self.path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        remove(self.path)
        os.close(self._lock)


def _locked(folder: Path) -> int:
    """Lock a new folder; −1 if somebody swept it away in the moment between making and locking it."""
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return -1
    try:
        _flock(descriptor)
        (folder / _LOCK).stat()
    except FileNotFoundError:
        os.close(descriptor)
        return -1
    except OSError:
        os.close(descriptor)
        raise UnavailableError(
            "Another inference service works on the same attempt of this job.", hint="It ends by itself; wait for it."
        ) from None
    return descriptor


def _flock(descriptor: int) -> None:
    if os.name == "posix":
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def remove(folder: Path) -> None:
    """Remove an attempt's folder, and its job's if nothing else is in it; there need not be one.

    The lock goes last: a folder without one is empty, however this was interrupted.
    """
    with suppress(OSError):
        _empty(folder)
        (folder / _LOCK).unlink(missing_ok=True)
        folder.rmdir()
    with suppress(OSError):
        folder.parent.rmdir()


def _empty(folder: Path) -> None:
    for leftover in folder.iterdir():
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)
        elif leftover.name != _LOCK:
            leftover.unlink()


def stale(work: Path) -> list[Path]:
    """Return the attempts' folders that no living process holds."""
    return [folder for folder in sorted(work.glob("*/*")) if folder.is_dir() and not _is_held(folder)]


def _is_held(folder: Path) -> bool:
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        # About to be locked, or about to go.
        return time.time() - folder.stat().st_mtime < _YOUNG_S if folder.exists() else True
    try:
        _flock(descriptor)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def sweep(work: Path) -> int:
    """Remove attempts' folders that no living process holds, and return how many there were.

    Folders in which another inference service with the same home works are locked, and stay.
    """
    swept = sum(_remove_unlocked(folder) for folder in sorted(work.glob("*/*")) if folder.is_dir())
    for job in work.glob("*"):
        with suppress(OSError):
            job.rmdir()
    if swept:
        log.info("%d unfinished folders of earlier runs were removed.", swept)
    return swept


def _remove_unlocked(folder: Path) -> bool:
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        return _remove_lockless(folder)
    except OSError:
        return False
    try:
        _flock(descriptor)
    except OSError:
        return False
    else:
        remove(folder)
        return True
    finally:
        os.close(descriptor)


def _remove_lockless(folder: Path) -> bool:
    """Remove an empty folder, which whoever is about to lock it makes anew; another only if it is old."""
    with suppress(OSError):
        folder.rmdir()
        return True
    with suppress(OSError):
        if time.time() - folder.stat().st_mtime > _YOUNG_S:
            remove(folder)
            return True
    return False
