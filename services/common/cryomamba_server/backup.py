"""A home's lasting state in another folder, and back: jobs, finished files, uploads, keys.

The job store is copied by SQLite's online backup, which sees one moment of it, while the broker goes on writing. Files
come after it: every file that a job of that moment lists is whole by then, because files get their names before their
job is completed. Finished files never change, so a later backup into the same folder copies only what is new.
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
# Unfinished uploads and work are no lasting state: clients send again, and workers compute again.
FOLDERS: Final = ("artifacts", "uploads/files", "keys")


class Manifest(BaseModel):
    """What a backup says of itself.

    Attributes
    ----------
    version : str
        Of the CryoMamba that made it.
    created_at : datetime
    jobs : int
    files, nbytes : int
        All that it holds besides the job store.
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
            The folder is no finished backup.
        """
        try:
            return cls.model_validate_json((folder / MANIFEST).read_bytes())
        except (OSError, ValidationError):
            raise InvalidRequestError(
                f"'{folder}' is not a backup, or one that was never finished.",
                hint="Give a folder that 'cryomamba backup' wrote.",
            ) from None


@dataclass(frozen=True, slots=True)
class Copied:
    """What was done: files and bytes copied now, and what the whole holds."""

    manifest: Manifest
    files: int
    nbytes: int


def back_up(settings: Settings, folder: Path) -> Copied:
    """Bring a folder up to the present state of a home, running or not.

    Raises
    ------
    InvalidRequestError
        There is nothing to back up, or the folder holds something else.
    UnavailableError
        The job store cannot be read.
    """
    if not settings.database.is_file():
        raise InvalidRequestError(
            f"There is no job store in '{settings.home}'.", hint="Set CRYOMAMBA_HOME to the home of the services."
        )
    _require_apart(settings.home, folder)
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).exists():
        raise InvalidRequestError(
            f"'{folder}' holds something else.", hint="Name a new or empty folder for the backup."
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (folder / MANIFEST).exists():
        # Says whose folder it is, and that it is no backup yet.
        write_atomically(folder / MANIFEST, "", private=True)
    remove_parts(folder / DATABASE)
    mirror = _Mirror(settings.home, folder)
    # The new job store takes the old one's place when its files are there: cut short, the backup is the one before.
    with atomic_path(folder / DATABASE) as part:
        jobs = _snapshot(settings.database, part)
        for name in FOLDERS:
            mirror.copy(name)
    for name in FOLDERS:
        mirror.forget(name)
    return _finished(folder, jobs, mirror)


def restore(folder: Path, settings: Settings) -> Copied:
    """Make a home of a backup; a restore that was interrupted goes on where it was.

    Raises
    ------
    InvalidRequestError
        The folder is no backup.
    ConflictError
        The home is in use already.
    UnavailableError
        The backup's job store cannot be read.
    """
    manifest = Manifest.read(folder)
    _require_apart(settings.home, folder)
    # Whatever else a restore copies, the job store is last.
    if settings.database.exists():
        raise ConflictError(
            f"There is a job store in '{settings.home}' already.",
            hint="Restore into a new home: set CRYOMAMBA_HOME to an empty folder, or move the old one away.",
        )
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    mirror = _Mirror(folder, settings.home)
    for name in FOLDERS:
        mirror.copy(name)
    remove_parts(settings.database)
    with atomic_path(settings.database) as part:
        _snapshot(folder / DATABASE, part)
    return Copied(manifest, mirror.copied, mirror.copied_nbytes)


def _require_apart(home: Path, folder: Path) -> None:
    inside, outside = folder.resolve(), home.resolve()
    if inside.is_relative_to(outside) or outside.is_relative_to(inside):
        raise InvalidRequestError(
            "The backup and the home lie in each other.", hint="Name a folder elsewhere, best on another disk."
        )


def _snapshot(source: Path, target: Path) -> int:
    """Copy a consistent snapshot of a job store, check the copy, and return the number of its jobs."""
    target.touch(mode=0o600)
    try:
        with closing(sqlite3.connect(source, timeout=30.0)) as live, closing(sqlite3.connect(target)) as copy:
            live.backup(copy)
            # One file, whatever the original's journal: it can be carried about.
            copy.execute("PRAGMA journal_mode = DELETE")
            problems = [str(row[0]) for row in copy.execute("PRAGMA quick_check")]
            if problems != ["ok"]:
                raise sqlite3.DatabaseError("; ".join(problems[:3]))
            return int(copy.execute("SELECT count(*) FROM jobs").fetchone()[0])
    except sqlite3.Error as error:
        raise UnavailableError(
            f"The job store '{source}' cannot be copied: {error}.",
            hint="Is it locked by another program, is the disk full, or is the file damaged?",
        ) from None


class _Mirror:
    """Copies regular files from one folder to another, but for those that are there already."""

    def __init__(self, source: Path, target: Path) -> None:
        self._source = source
        self._target = target
        self._links: dict[tuple[int, int], Path] = {}
        self.files = self.nbytes = self.copied = self.copied_nbytes = 0

    def copy(self, name: str) -> None:
        """Copy a folder."""
        for path in _regular_files(self._source / name):
            # What goes while we look is gone with its job.
            with suppress(FileNotFoundError):
                self._copy(path, self._target / path.relative_to(self._source))

    def forget(self, name: str) -> None:
        """Remove what the source has no longer."""
        for path in list(_regular_files(self._target / name)):
            if not (self._source / path.relative_to(self._target)).exists():
                path.unlink()
                with suppress(OSError):
                    path.parent.rmdir()

    def _copy(self, path: Path, target: Path) -> None:
        status = path.stat()
        self.files += 1
        self.nbytes += status.st_size
        twin = self._links.setdefault((status.st_dev, status.st_ino), target)
        if _same(status, target):
            return
        for folder in reversed([one for one in target.parents if not one.exists()]):
            folder.mkdir(mode=0o700)
        remove_parts(target)
        with atomic_path(target) as part:
            if twin is not target and _linked(twin, part):
                return
            shutil.copy2(path, part)
        self.copied += 1
        self.copied_nbytes += status.st_size


def _regular_files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        # Folders that begin with a dot are about to go or to get their name.
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(parent, name)
            if not name.startswith(".") and path.is_file() and not path.is_symlink():
                yield path


def _same(status: os.stat_result, target: Path) -> bool:
    try:
        there = target.stat()
    except OSError:
        return False
    return (there.st_size, there.st_mtime_ns) == (status.st_size, status.st_mtime_ns)


def _linked(twin: Path, path: Path) -> bool:
    """Whether a second name of a file could be made; uploads with the same content share it."""
    try:
        os.link(twin, path)
    except OSError:
        return False
    return True


def _finished(folder: Path, jobs: int, mirror: _Mirror) -> Copied:
    manifest = Manifest(
        version=__version__, created_at=datetime.now(UTC), jobs=jobs, files=mirror.files, nbytes=mirror.nbytes
    )
    write_atomically(folder / MANIFEST, manifest.model_dump_json(indent=2), private=True)
    return Copied(manifest, mirror.copied, mirror.copied_nbytes)
