"""One SQLite connection: opened, migrated, and written to only in whole transactions."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryomamba.errors import ConflictError, ErrorCode, UnavailableError
from cryomamba.system_errors import disk_full_error, is_disk_full
from cryomamba_broker.store.schema import APPLICATION_ID, MIGRATIONS, SCHEMA

_OLDEST_SQLITE: Final = (3, 37, 0)
_MIN_FREE_BYTES: Final = 64 * 1024
_DISK_ERRORS: Final = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_DAMAGE: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


@dataclass(frozen=True, slots=True)
class Clock:
    """Two clocks: `wall` (seconds since 1970) for people, and `steady`, which cannot be set, for leases."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic


class Database:
    """A connection to the job store, for one thread.

    Parameters
    ----------
    path : Path
        The file; created if it does not exist.

    Raises
    ------
    ConflictError
        The file was written by a newer CryoMamba, or is not a job store.
    UnavailableError
        The file cannot be opened or read, or is damaged (``store_damaged``).
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise UnavailableError(
                f"SQLite {sqlite3.sqlite_version} is too old for the job store.",
                hint="Use a Python whose SQLite is 3.37 or newer.",
            )
        self.clock = clock
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=5.0)
        except (OSError, sqlite3.Error) as error:
            raise _unopened(error, path.parent) from error
        self._connection.row_factory = sqlite3.Row
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._connection.close()
            raise _unopened(error, path.parent) from error
        except (ConflictError, UnavailableError):
            self._connection.close()
            raise

    def _prepare(self) -> None:
        version = self._check_owner()
        problem = str(self._connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        if problem != "ok":
            raise damaged_error(problem)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "trusted_schema = OFF"):
            self._connection.execute(f"PRAGMA {pragma}")
        if version == SCHEMA:
            return
        with self.write() as connection:
            version = self._check_owner()
            for migration in MIGRATIONS[version:]:
                for statement in migration.split(";"):
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA}")

    def _check_owner(self) -> int:
        version = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        owner = int(self._connection.execute("PRAGMA application_id").fetchone()[0])
        tables = int(self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])
        if (tables or version) and owner != APPLICATION_ID:
            raise ConflictError(
                "The file of the job store belongs to another program.",
                hint="Set CRYOMAMBA_HOME to a data directory of its own.",
            )
        if version > SCHEMA:
            raise ConflictError(
                f"The job store was written by a newer CryoMamba (schema {version}; this one knows {SCHEMA}).",
                hint="Update CryoMamba, or set CRYOMAMBA_HOME to another data directory.",
                details={"schema": version, "known": SCHEMA},
            )
        return version

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Run a transaction: when the block ends, it is either on the disk or rolled back.

        Raises
        ------
        UnavailableError
            The disk is full or failing.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # A full disk makes SQLite roll back by itself.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.OperationalError as error:
            raise store_error(error) from error

    @property
    def read(self) -> sqlite3.Connection:
        """The connection, for single statements that only read."""
        return self._connection

    def close(self) -> None:
        """Close the file; SQLite merges the write-ahead log into it."""
        self._connection.close()


def require_not_emptied(path: Path, finished: Path) -> None:
    """Refuse a job store without a byte beside finished files: it has lost its jobs, and SQLite would begin a new one.

    Parameters
    ----------
    path : Path
        The file of the store.
    finished : Path
        The folder of finished files.

    Raises
    ------
    UnavailableError
        ``store_damaged``.
    """
    if path.is_file() and not path.stat().st_size and finished.is_dir() and any(finished.iterdir()):
        raise damaged_error("its file is empty, although there are files of jobs")


def _unopened(error: Exception, folder: Path) -> UnavailableError:
    if is_full_disk(error, folder):
        return _disk_full()
    if _is_damage(error):
        return damaged_error(str(error))
    return UnavailableError(
        f"The job store cannot be opened: {error}.",
        retryable=False,
        hint="Check that the data directory (CRYOMAMBA_HOME) is writable.",
    )


def is_full_disk(error: Exception, folder: Path) -> bool:
    """Whether an error of the system or of SQLite, whose code may not tell, means that the disk of a folder is full."""
    if isinstance(error, OSError):
        return is_disk_full(error)
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    unclear = code in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
    return code == sqlite3.SQLITE_FULL or (unclear and shutil.disk_usage(folder).free < _MIN_FREE_BYTES)


def _disk_full() -> UnavailableError:
    return disk_full_error("The job store cannot be written: the disk is full or failing.")


def _is_damage(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF in _DAMAGE


def damaged_error(problem: str) -> UnavailableError:
    """Return the error for a job store whose file is damaged, with SQLite's own words."""
    return UnavailableError(
        f"The job store of the server is damaged: {problem}.",
        code=ErrorCode.STORE_DAMAGED,
        retryable=False,
        hint="Stop the services, and restore the newest backup into a new data directory with 'cryomamba restore'.",
    )


def store_error(error: sqlite3.Error) -> UnavailableError:
    """Return the error that clients get for a failure of the database."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code & 0xFF in _DISK_ERRORS:
        return _disk_full()
    if _is_damage(error):
        return damaged_error(str(error))
    return UnavailableError(f"The job store cannot be used at the moment: {error}.", hint="Try again in a moment.")
