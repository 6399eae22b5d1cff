"""The working folder of one attempt at a job, locked while in use, so that abandoned ones can be found and removed."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from cryomamba.errors import UnavailableError
from cryomamba.system_errors import system_error

if sys.platform != "win32":
    import fcntl

log = logging.getLogger(__name__)

_LOCK = ".lock"
_GRACE_S = 60.0


class Workspace:
    """The folder ``<work>/<job>/<attempt>``, a context manager. The lock ends with the process, even by a crash.

    Files of an earlier run of the same attempt are removed first, and the whole folder at the end; results have been
    moved out by then.

    Parameters
    ----------
    work : Path
        The folder for unfinished files in the data directory.
    job_id, attempt : str, int

    Raises
    ------
    UnavailableError
        Another process works on the same attempt.
    """

    def __init__(self, work: Path, job_id: str, attempt: int) -> None:
        self.path = work / job_id / str(attempt)
        self._lock = -1

    def __enter__(self) -> Self:
        while self._lock < 0:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = _lock_new(self.path)
        _clear(self.path)
        return self

    def __exit__(self, *_: object) -> None:
        remove_workspace(self.path)
        os.close(self._lock)


def require_writable(folder: Path) -> None:
    """Check that files can be made in a folder, which is made if it is not there.

    Raises
    ------
    UnavailableError
        They cannot; the message says why.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise system_error(error) or UnavailableError(
            f"Nothing can be written to the folder {folder}: {error.strerror}.",
            hint="Give the account of the service the right to write there.",
        ) from None


def _lock_new(folder: Path) -> int:
    """Lock a new folder; return −1 if another process removed it before it was locked."""
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return -1
    try:
        _lock_exclusive(descriptor)
        (folder / _LOCK).stat()
    except FileNotFoundError:
        os.close(descriptor)
        return -1
    except OSError:
        os.close(descriptor)
        raise UnavailableError(
            "Another inference service is working on the same attempt of this job.", hint="Wait until it has finished."
        ) from None
    return descriptor


def _lock_exclusive(descriptor: int) -> None:
    if sys.platform != "win32":
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def remove_workspace(folder: Path) -> None:
    """Remove the folder of an attempt, and that of its job if it is empty; does nothing if there is none.

    The lock file goes last: a folder without one is empty, wherever this was interrupted.
    """
    with suppress(OSError):
        _clear(folder)
        (folder / _LOCK).unlink(missing_ok=True)
        folder.rmdir()
    with suppress(OSError):
        folder.parent.rmdir()


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != _LOCK:
            path.unlink()


def stale_workspaces(work: Path) -> list[Path]:
    """Return the folders of attempts that no running process has locked."""
    return [folder for folder in sorted(work.glob("*/*")) if folder.is_dir() and not _is_locked(folder)]


def _is_locked(folder: Path) -> bool:
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        # Another process is about to lock it, or has just removed it.
        return time.time() - folder.stat().st_mtime < _GRACE_S if folder.exists() else True
    try:
        _lock_exclusive(descriptor)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def remove_stale_workspaces(work: Path) -> int:
    """Remove the folders of attempts that no running process has locked, and return how many there were.

    Another inference service with the same data directory keeps its own, which are locked.
    """
    removed = sum(_remove_unlocked(folder) for folder in sorted(work.glob("*/*")) if folder.is_dir())
    for job in work.glob("*"):
        with suppress(OSError):
            job.rmdir()
    if removed:
        log.info("Removed %d unfinished folders of earlier runs.", removed)
    return removed


def _remove_unlocked(folder: Path) -> bool:
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        return _remove_without_lock(folder)
    except OSError:
        return False
    try:
        _lock_exclusive(descriptor)
    except OSError:
        return False
    else:
        remove_workspace(folder)
        return True
    finally:
        os.close(descriptor)


def _remove_without_lock(folder: Path) -> bool:
    """Remove an empty folder, which a process that is about to lock it makes again; any other only if it is old."""
    with suppress(OSError):
        folder.rmdir()
        return True
    with suppress(OSError):
        if time.time() - folder.stat().st_mtime > _GRACE_S:
            remove_workspace(folder)
            return True
    return False
