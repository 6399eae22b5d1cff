"""One broker per data directory."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from cryomamba.errors import ErrorCode, UnavailableError
from cryomamba_broker.store.database import is_full_disk


class DataDirectoryLock:
    """A lock on the data directory; the operating system releases it when the process ends, however it ends.

    SQLite's exclusive lock works on every platform, and on network file systems that support locks.

    Parameters
    ----------
    home : Path
        The data directory; created if it does not exist.

    Raises
    ------
    UnavailableError
        Another broker holds the lock, or the directory is not writable.
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
                    "Another broker is using this data directory.",
                    retryable=False,
                    hint="Stop the other broker, or set CRYOMAMBA_HOME to a different data directory.",
                ) from None
            raise _unusable(error, home) from error

    def release(self) -> None:
        """Release the lock."""
        self._connection.close()


def _unusable(error: Exception, home: Path) -> UnavailableError:
    if is_full_disk(error, home):
        return UnavailableError(
            "The disk with the data directory is full.",
            code=ErrorCode.INSUFFICIENT_STORAGE,
            hint="Free some disk space, or set CRYOMAMBA_HOME to a data directory on another disk.",
        )
    return UnavailableError(
        f"The data directory cannot be used: {error}.", retryable=False, hint="Set CRYOMAMBA_HOME to a writable folder."
    )
