"""When a tomogram is tried again after an error that may pass, and when it has failed. Pure."""

from __future__ import annotations

from typing import Final

from cryomamba.errors import CryoMambaError, ErrorCode, JobFailedError, UnavailableError

_TRIES: Final = 3
"""Tries of a tomogram whose error may pass, other than that of a server that is away or a full disk."""
_FIRST_PAUSE_S: Final = 5.0
_LONGEST_PAUSE_S: Final = 300.0
INTERRUPTIONS: Final = 5
"""So often the program may be ended while it works on one tomogram, before that is taken as its fault."""


def pause_s(error: CryoMambaError, tries: int) -> float | None:
    """Return after how many seconds a tomogram is tried again; None if the error is final.

    Parameters
    ----------
    error : CryoMambaError
    tries : int
        How often it was tried again before.
    """
    passes = error.retryable or error.code is ErrorCode.VOLUME_CHANGED
    endless = isinstance(error, UnavailableError)
    if not passes or (tries + 1 >= _TRIES and not endless):
        return None
    return float(min(_FIRST_PAUSE_S * 2**tries, _LONGEST_PAUSE_S))


def interrupted_too_often(count: int) -> CryoMambaError:
    """Return the error of a tomogram during which the program was ended again and again."""
    return JobFailedError(
        f"The program was ended {count} times while it worked on this tomogram.",
        hint="Memory may be too small for it: try it alone, with fewer processes (CRYOMAMBA_PROCESSES).",
    )
