"""Edits of masks that are kept on disk until they are saved, so that a crash does not lose them. No Qt.

Each process has a folder of its own, with a lock that ends with the process. In it are pairs of files: the mask, and
a record that says to which tomogram it belongs, which is written after it. Both are written atomically.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from cryomamba.atomic import write_atomically
from cryomamba.geometry import Spacing

if sys.platform != "win32":
    import fcntl

_LOCK, _RECORD, _MASK = ".lock", ".json", ".mrc"
_GRACE_S = 60.0
KEPT_S = 30 * 86400.0
"""Age from which edits that nobody has asked for are deleted."""


class RecoveredEdit(BaseModel):
    """The record beside an autosaved mask.

    Attributes
    ----------
    name : str
        Of the layer.
    tomogram : Path or None
        The tomogram's file; None if the mask has none.
    feature : str
        What was segmented, for file names.
    names : dict of int to str
        Names of the labels.
    voxel_size_A : tuple of float
        Of the mask (z, y, x).
    saved_at : datetime
    """

    model_config = ConfigDict(frozen=True)

    name: str
    tomogram: Path | None
    feature: str
    names: dict[int, str]
    voxel_size_A: Spacing
    saved_at: datetime


class RecoveryFolder:
    """The folder of this process, made when something is kept in it, and what other processes have left behind.

    Parameters
    ----------
    parent : Path
        Holds the folders of all processes.
    """

    def __init__(self, parent: Path) -> None:
        self._parent, self._own = parent, parent / uuid.uuid4().hex
        self._lock: int | None = None

    def mask_path(self, key: str) -> Path:
        """Return where the mask with a key is to be written."""
        if self._lock is None:
            self._own.mkdir(parents=True)
            self._lock = os.open(self._own / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            _try_lock(self._lock)
        return self._own / f"{key}{_MASK}"

    def keep(self, key: str, record: RecoveredEdit) -> None:
        """Write the record of a mask that is written."""
        write_atomically(self.mask_path(key).with_suffix(_RECORD), record.model_dump_json(), private=True)

    def drop(self, key: str) -> None:
        """Delete a mask and its record."""
        if self._lock is not None:
            delete(self.mask_path(key))

    def adopt(self, key: str, mask: Path) -> None:
        """Take over a mask that another process has left, with its record."""
        own = self.mask_path(key)
        mask.replace(own)
        mask.with_suffix(_RECORD).replace(own.with_suffix(_RECORD))

    def left_behind(self) -> list[tuple[Path, RecoveredEdit]]:
        """Return the masks of processes that have ended, newest first; deletes what is too old or incomplete."""
        found = []
        for folder in self._parent.glob("*"):
            if folder != self._own and _is_abandoned(folder):
                found += list(_records(folder))
        return sorted(found, key=lambda pair: pair[1].saved_at, reverse=True)

    def close(self, *, keep: bool) -> None:
        """Release the folder; without `keep` it is deleted."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        if not keep:
            shutil.rmtree(self._own, ignore_errors=True)


def delete(mask: Path) -> None:
    """Delete an autosaved mask with its record."""
    # The record first: a mask without one is not offered.
    mask.with_suffix(_RECORD).unlink(missing_ok=True)
    mask.unlink(missing_ok=True)


def _is_abandoned(folder: Path) -> bool:
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR)
    except OSError:
        with suppress(OSError):
            if folder.stat().st_mtime < time.time() - _GRACE_S:
                shutil.rmtree(folder, ignore_errors=True)
        return False
    try:
        return _try_lock(lock)
    finally:
        os.close(lock)


def _try_lock(descriptor: int) -> bool:
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
    else:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def _records(folder: Path) -> Iterator[tuple[Path, RecoveredEdit]]:
    there = False
    for path in folder.glob(f"*{_RECORD}"):
        mask = path.with_suffix(_MASK)
        try:
            record = RecoveredEdit.model_validate_json(path.read_bytes())
            old = mask.stat().st_mtime < time.time() - KEPT_S
        except (OSError, ValidationError):
            continue
        if old:
            delete(mask)
            continue
        there = True
        yield mask, record
    if not there:
        shutil.rmtree(folder, ignore_errors=True)
