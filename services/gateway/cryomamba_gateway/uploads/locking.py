"""Locks on an upload's data: shared while parts are written, exclusive while the file is assembled.

The lock belongs to the open file (``flock``): it holds across several gateways and ends with the process that has it.
On systems without it, the verification of all checksums is the only protection.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cryomamba.errors import ConflictError


def open_for_part(path: Path) -> int:
    """Open the data to write a part, under a shared lock that ends when the descriptor is closed.

    Raises
    ------
    FileNotFoundError
        The upload is finished or removed.
    ConflictError
        The file is being assembled.
    """
    descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0))
    try:
        _lock(descriptor, exclusive=False)
        # It may have been assembled between opening and locking, and be a finished file now.
        if not os.path.samestat(os.fstat(descriptor), path.stat()):
            raise FileNotFoundError(path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def lock_exclusive(descriptor: int) -> None:
    """Prevent parts from being written until the descriptor is closed.

    Raises
    ------
    ConflictError
        A part is being written.
    """
    _lock(descriptor, exclusive=True)


def _lock(descriptor: int, *, exclusive: bool) -> None:
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConflictError(
            "A part is still being received." if exclusive else "The upload is being completed.",
            hint="Try again in a moment.",
            retryable=True,
        ) from None
