"""Errors of the machine and not of the file at hand: too many open files, a full disk, a read-only or failing one.

The operating system reports them for whatever file or socket happens to be next, so each place that explains an
``OSError`` to people asks here first. Otherwise a good volume would be called unreadable because of a busy server.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cryomamba.errors import ErrorCode, UnavailableError

_DISK_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DESCRIPTORS: Final = {errno.EMFILE, errno.ENFILE}
# numpy's ``tofile`` gives no error number.
_SHORT_WRITE: Final = re.compile(r"\d+ requested and \d+ written")


def is_disk_full(error: OSError) -> bool:
    """Return whether a write failed because the disk, a quota or the largest file size is exhausted."""
    return error.errno in _DISK_FULL or (error.errno is None and bool(_SHORT_WRITE.fullmatch(str(error))))


def is_out_of_descriptors(error: BaseException) -> bool:
    """Return whether the process or the machine has too many files and connections open."""
    return getattr(error, "errno", None) in _DESCRIPTORS


def disk_full_error(message: str = "The disk is full: there is no space for a file.") -> UnavailableError:
    """Return the error for a full disk."""
    return UnavailableError(
        message,
        code=ErrorCode.INSUFFICIENT_STORAGE,
        hint="Free some space on that disk; on a server, ask whoever runs it.",
    )


def system_error(error: BaseException) -> UnavailableError | None:
    """Return the typed error for a condition of the machine; None for an error of the file itself."""
    if is_out_of_descriptors(error):
        return UnavailableError(
            "Too many files and connections are open at the moment.",
            hint="Try again in a moment. If it persists, whoever runs the service should raise its limit on open files "
            "(LimitNOFILE, ulimit -n).",
        )
    if not isinstance(error, OSError):
        return None
    if is_disk_full(error):
        return disk_full_error()
    if error.errno == errno.EROFS:
        return UnavailableError(
            "The disk is read-only: nothing can be written to it.",
            retryable=False,
            hint="Choose a folder on another disk; on a server, ask whoever runs it to mount the disk for writing.",
        )
    if error.errno == errno.EIO:
        return UnavailableError(
            "The disk failed to read or write.",
            retryable=False,
            hint="Ask whoever runs the machine to check the disk; the system's log has details.",
        )
    return None


@contextmanager
def system_errors_translated() -> Iterator[None]:
    """Turn an ``OSError`` for which the machine is the cause into its typed error; a context manager.

    Raises
    ------
    UnavailableError
        See :func:`system_error`. Any other exception passes unchanged.
    """
    try:
        yield
    except OSError as error:
        typed = system_error(error)
        if typed is not None:
            raise typed from error
        raise
