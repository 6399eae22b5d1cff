"""One broker per home folder."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from cryomamba.errors import ErrorCode, UnavailableError
from cryomamba_broker.store.database import is_full_disk


class DataDirectoryLock:
    """Held as long as the process lives; the system lets go of it when the process dies, however it dies.

    SQLite's exclusive lock is the same call on every system, on network file systems as far as they lock at all.

    Raises
    ------
    UnavailableError
        Another broker holds it, or the folder cannot be written to.
    """

    def __init__(self, home: Path) -> None:
        try:
            home.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(home / "broker.lock", isolation_level=None, timeout=0)
        except (OSError, sqlite3.Error) as error:
            raise _unusable(error, home) from error
        try:
            self._connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            self._connection.close()
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                raise UnavailableError(
                    "Another broker runs with this home folder.",
                    retryable=False,
                    hint="Stop it first, or set CRYOMAMBA_HOME to another folder for a second one.",
                ) from None
            raise _unusable(error, home) from error

    def release(self) -> None:
        """Let go of the lock."""
        self._connection.close()


def _unusable(error: Exception, home: Path) -> UnavailableError:
    if is_full_disk(error, home):
        return UnavailableError(
            "The disk of the home folder is full.",
            code=ErrorCode.INSUFFICIENT_STORAGE,
            hint="Make room there, or set CRYOMAMBA_HOME to a folder on another disk.",
        )
    return UnavailableError(
        f"The home folder cannot be used: {error}.",
        retryable=False,
        hint="Set CRYOMAMBA_HOME to a folder that may be written to.",
    )
