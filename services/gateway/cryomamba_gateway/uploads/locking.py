"""Who may write: parts as long as the upload is open, nobody any more once it is being finished.

The lock is the file's own (``flock``), so it holds between several gateways and ends with the process that has it.
Where the system has none, the final check of all checksums is what is left.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cryomamba.errors import ConflictError


def open_for_part(path: Path) -> int:
    """Open the data for writing a part; closing the descriptor ends the right to.

    Raises
    ------
    FileNotFoundError
        The upload is finished, or gone.
    ConflictError
        It is being finished.
    """
    descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0))
    try:
        _lock(descriptor, alone=False)
        # It may have been finished between opening and locking; this file is somebody's volume then.
        if not os.path.samestat(os.fstat(descriptor), path.stat()):
            raise FileNotFoundError(path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def seal(descriptor: int) -> None:
    """Keep all parts out until the descriptor is closed.

    Raises
    ------
    ConflictError
        A part is being written.
    """
    _lock(descriptor, alone=True)


def _lock(descriptor: int, *, alone: bool) -> None:
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConflictError(
            "A part is still arriving." if alone else "The upload is being completed.",
            hint="Try again in a moment.",
            retryable=True,
        ) from None
