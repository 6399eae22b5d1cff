"""Backup and restore of a data directory: jobs, artifacts, uploads, trained models and keys.

The job store is copied with SQLite's online backup, which takes a consistent snapshot while the broker keeps writing.
Files are copied after it: every artifact that the snapshot lists is complete by then, because artifacts get their names
before their job is completed. They never change
afterwards, so a later backup into the same folder copies only new ones.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from cryomamba._version import __version__
from cryomamba.atomic import atomic_path, remove_parts, write_atomically
from cryomamba.errors import ConflictError, InvalidRequestError, UnavailableError
from cryomamba.settings import Settings

MANIFEST: Final = "backup.json"
DATABASE: Final = "jobs.sqlite"
# Unfinished uploads and working files are left out: clients send them again, and workers compute them again.
FOLDERS: Final = ("artifacts", "uploads/files", "models", "licences", "keys")


class Manifest(BaseModel):
    """The manifest of a backup.

    Attributes
    ----------
    version : str
        The version of CryoMamba that made it.
    created_at : datetime
    jobs : int
    files, nbytes : int
        Number and total size of its files, without the job store.
    """

    model_config = ConfigDict(frozen=True)

    version: str
    created_at: datetime
    jobs: int
    files: int
    nbytes: int

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read the manifest of a backup.

        Raises
        ------
        InvalidRequestError
            The folder is not a complete backup.
        """
        try:
            return cls.model_validate_json((folder / MANIFEST).read_bytes())
        except (OSError, ValidationError):
            raise InvalidRequestError(
                f"'{folder}' is not a backup, or an incomplete one.",
                hint="Give a folder that 'cryomamba backup' has written.",
            ) from None


@dataclass(frozen=True, slots=True)
class CopyResult:
    """The result of a backup or restore: its manifest, and the number and size of the files copied this time."""

    manifest: Manifest
    files: int
    nbytes: int


def back_up(settings: Settings, folder: Path) -> CopyResult:
    """Bring a backup up to date with the data directory; services may be running.

    Raises
    ------
    InvalidRequestError
        There is nothing to back up, or the folder has other contents.
    UnavailableError
        The job store cannot be read.
    """
    if not settings.database.is_file():
        raise InvalidRequestError(
            f"There is no job store in '{settings.home}'.",
            hint="Set CRYOMAMBA_HOME to the data directory of the services.",
        )
    _require_apart(settings.home, folder)
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).exists():
        raise InvalidRequestError(
            f"'{folder}' is neither empty nor a backup.", hint="Give a new or empty folder for the backup."
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (folder / MANIFEST).exists():
        # Marks the folder as a backup that is not complete yet.
        write_atomically(folder / MANIFEST, "", private=True)
    remove_parts(folder / DATABASE)
    mirror = _Mirror(settings.home, folder)
    # The new job store replaces the old one after its files: an interrupted backup is still the previous one.
    with atomic_path(folder / DATABASE) as part:
        jobs = _snapshot(settings.database, part)
        for name in FOLDERS:
            mirror.copy(name)
    for name in FOLDERS:
        mirror.prune(name)
    return _finished(folder, jobs, mirror)


def restore(folder: Path, settings: Settings) -> CopyResult:
    """Restore a backup into a new data directory; an interrupted restore can be repeated.

    Raises
    ------
    InvalidRequestError
        The folder is not a backup.
    ConflictError
        The data directory has a job store already.
    UnavailableError
        The backup's job store cannot be read.
    """
    manifest = Manifest.read(folder)
    _require_apart(settings.home, folder)
    # A restore copies the job store last.
    if settings.database.exists():
        raise ConflictError(
            f"There is already a job store in '{settings.home}'.",
            hint="Restore into a new data directory: set CRYOMAMBA_HOME to an empty folder, or move the old one away.",
        )
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    mirror = _Mirror(folder, settings.home)
    for name in FOLDERS:
        mirror.copy(name)
    remove_parts(settings.database)
    with atomic_path(settings.database) as part:
        _snapshot(folder / DATABASE, part)
    return CopyResult(manifest, mirror.copied, mirror.copied_nbytes)


def _require_apart(home: Path, folder: Path) -> None:
    backup, data = folder.resolve(), home.resolve()
    if backup.is_relative_to(data) or data.is_relative_to(backup):
        raise InvalidRequestError(
            "The backup and the data directory must not contain each other.",
            hint="Give another folder, preferably on another disk.",
        )


def _snapshot(source: Path, target: Path) -> int:
    """Copy a consistent snapshot of a job store, check the copy, and return the number of its jobs."""
    target.touch(mode=0o600)
    try:
        with closing(sqlite3.connect(source, timeout=30.0)) as live, closing(sqlite3.connect(target)) as copy:
            live.backup(copy)
            # A single file, whatever journal mode the original has.
            copy.execute("PRAGMA journal_mode = DELETE")
            problems = [str(row[0]) for row in copy.execute("PRAGMA quick_check")]
            if problems != ["ok"]:
                raise sqlite3.DatabaseError("; ".join(problems[:3]))
            return int(copy.execute("SELECT count(*) FROM jobs").fetchone()[0])
    except sqlite3.Error as error:
        raise UnavailableError(
            f"The job store '{source}' cannot be copied: {error}.",
            hint="Check that no other program locks it, that the disk is not full, and that the file is not damaged.",
        ) from None


class _Mirror:
    def __init__(self, source: Path, target: Path) -> None:
        self._source = source
        self._target = target
        self._first_copy: dict[tuple[int, int], Path] = {}
        self.files = self.nbytes = self.copied = self.copied_nbytes = 0

    def copy(self, name: str) -> None:
        for path in _regular_files(self._source / name):
            # It has just been deleted with its job.
            with suppress(FileNotFoundError):
                self._copy(path, self._target / path.relative_to(self._source))

    def prune(self, name: str) -> None:
        for path in list(_regular_files(self._target / name)):
            if not (self._source / path.relative_to(self._target)).exists():
                path.unlink()
                with suppress(OSError):
                    path.parent.rmdir()

    def _copy(self, path: Path, target: Path) -> None:
        status = path.stat()
        self.files += 1
        self.nbytes += status.st_size
        first = self._first_copy.setdefault((status.st_dev, status.st_ino), target)
        if _same(status, target):
            return
        for folder in reversed([one for one in target.parents if not one.exists()]):
            folder.mkdir(mode=0o700)
        remove_parts(target)
        with atomic_path(target) as part:
            if first is not target and _hard_link(first, part):
                return
            shutil.copy2(path, part)
        self.copied += 1
        self.copied_nbytes += status.st_size


def _regular_files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        # A leading dot marks a folder that is being removed or written.
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(parent, name)
            if not name.startswith(".") and path.is_file() and not path.is_symlink():
                yield path


def _same(status: os.stat_result, target: Path) -> bool:
    try:
        existing = target.stat()
    except OSError:
        return False
    return (existing.st_size, existing.st_mtime_ns) == (status.st_size, status.st_mtime_ns)


def _hard_link(existing: Path, path: Path) -> bool:
    """Make a hard link, as uploads with the same content are; return whether the file system could."""
    try:
        os.link(existing, path)
    except OSError:
        return False
    return True


def _finished(folder: Path, jobs: int, mirror: _Mirror) -> CopyResult:
    manifest = Manifest(
        version=__version__, created_at=datetime.now(UTC), jobs=jobs, files=mirror.files, nbytes=mirror.nbytes
    )
    write_atomically(folder / MANIFEST, manifest.model_dump_json(indent=2), private=True)
    return CopyResult(manifest, mirror.copied, mirror.copied_nbytes)
