"""What an unexpected exception is called when it reaches people."""

from __future__ import annotations

from typing import Final

from cryomamba.errors import CryoMambaError, ErrorCode, JobFailedError, UnavailableError
from cryomamba.volumes.aside import is_full

_CRASH: Final = (
    "The computing process crashed.",
    "The job is tried again; the log of the inference service has the details.",
)
# By exit code; spelled out, because Windows has neither signal.
_DEATHS: Final = {
    -9: ("The computing process was killed.", "Linux kills processes when memory runs out; the job is tried again."),
    -7: (
        "The computing process lost a file that it was working on: the disk is full, or the tomogram was cut short.",
        "Look at the disk and at the file; the job is tried again.",
    ),
}


def as_error(error: BaseException) -> CryoMambaError:
    """Return the typed error for whatever ended a job; typed ones as they are."""
    if isinstance(error, CryoMambaError):
        return error
    if isinstance(error, MemoryError):
        return JobFailedError(
            "The machine ran out of memory.",
            code=ErrorCode.OUT_OF_MEMORY,
            hint="Close other programs or set CRYOMAMBA_PROCESSES to a smaller number, then retry.",
            retryable=True,
        )
    if isinstance(error, OSError) and is_full(error):
        return UnavailableError(
            "The disk that holds the results is full.",
            code=ErrorCode.INSUFFICIENT_STORAGE,
            hint="Free some space, or set CRYOMAMBA_HOME to a larger disk.",
        )
    return JobFailedError(
        f"The engine failed: {type(error).__name__}.",
        code=ErrorCode.ENGINE_FAILED,
        hint="The log of the inference service has the details.",
    )


def cancelled_error() -> JobFailedError:
    """Return the error that a cancelled job ends with."""
    return JobFailedError("The job was cancelled.", code=ErrorCode.CANCELLED, hint="Retry it to run it again.")


def lost_error(exit_code: int | None) -> JobFailedError:
    """Return the error of a computing process that ended by itself, by its exit code (negative: a signal)."""
    message, hint = _DEATHS.get(exit_code or 0, _CRASH)
    return JobFailedError(
        message, code=ErrorCode.WORKER_LOST, hint=hint, retryable=True, details={"exit_code": exit_code}
    )
