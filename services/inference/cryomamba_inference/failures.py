"""What an unexpected exception is called when it reaches people."""

from __future__ import annotations

import traceback
from typing import Any, Final

from cryomamba.atomic import disk_full_error, is_disk_full
from cryomamba.errors import CryoMambaError, ErrorCode, JobFailedError

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

_WORDS: Final = 300


class EngineFailedError(JobFailedError):
    """An engine raised something unexpected: its kind for people elsewhere, its words and traceback for this machine.

    Parameters
    ----------
    kind : str
        Name of the exception's type.
    words : str
        What it said, which may name paths.
    trace : str
        The traceback, as text: the exception itself may not fit through a pipe.
    """

    default_code = ErrorCode.ENGINE_FAILED

    def __init__(self, kind: str, words: str, trace: str) -> None:
        super().__init__(f"The engine failed: {kind}.", hint="The log of the inference service has the details.")
        self.kind, self.words, self.trace = kind, words, trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (EngineFailedError, (self.kind, self.words, self.trace))

    def here(self) -> JobFailedError:
        """Return the error for who runs the engine without a service: there is no log, and nothing to keep back."""
        said = f"{self.kind}: {self.words}".rstrip(": .")
        error = JobFailedError(
            f"The engine failed: {said}.",
            code=self.code,
            hint="Run it again with CRYOMAMBA_LOG=debug to see where, and tell the engine's makers.",
        )
        error.add_note(self.trace)
        return error


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
    if isinstance(error, OSError) and is_disk_full(error):
        return disk_full_error()
    return EngineFailedError(
        type(error).__name__, " ".join(str(error).split())[:_WORDS], "".join(traceback.format_exception(error))
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
