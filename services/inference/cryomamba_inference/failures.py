"""Turns unexpected exceptions into typed errors."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any, Final

from cryomamba.errors import CryoMambaError, ErrorCode, InvalidRequestError, JobFailedError
from cryomamba.printable import file_text
from cryomamba.system_errors import system_error

_CRASH: Final = ("The compute process crashed.", "The job will be retried; see the log of the inference service.")
# By exit code (minus the signal); numbers, because Windows has neither signal.
_SIGNALLED: Final = {
    -9: ("The compute process was killed.", "Linux kills processes when memory runs out. The job will be retried."),
    -7: (
        "The compute process could not access a mapped file: the disk is full, or the tomogram was truncated.",
        "Check the disk and the file. The job will be retried.",
    ),
}

_TEXT_MAX: Final = 300


class EngineFailedError(JobFailedError):
    """An engine raised an unexpected exception: remote users see its type, local ones also its message and traceback.

    Parameters
    ----------
    kind : str
        Name of the exception's type.
    text : str
        Its message, which may contain paths.
    trace : str
        The traceback, as text: not every exception can be pickled.
    """

    default_code = ErrorCode.ENGINE_FAILED

    def __init__(self, kind: str, text: str, trace: str) -> None:
        super().__init__(f"The engine failed: {kind}.", hint="See the log of the inference service.")
        self.kind, self.text, self.trace = kind, text, trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (EngineFailedError, (self.kind, self.text, self.trace))

    def for_local_run(self) -> JobFailedError:
        """Return the error with message and traceback, for a local run."""
        what = f"{self.kind}: {self.text}".rstrip(": .")
        error = JobFailedError(
            f"The engine failed: {what}.",
            code=self.code,
            hint="Run it again with CRYOMAMBA_LOG=debug for the traceback, and report it to the engine's author.",
        )
        error.add_note(self.trace)
        return error


class UnreadableFileError(InvalidRequestError):
    """A Dask worker cannot read a file: remote users see its name, local ones its path.

    Parameters
    ----------
    worker : str
        Its address.
    path : str
        Of the file or folder.
    """

    default_code = ErrorCode.PATH_FORBIDDEN

    def __init__(self, worker: str, path: str, *, shown: str | None = None) -> None:
        super().__init__(
            f"The Dask worker {worker} cannot read {shown or file_text(Path(path).name)}.",
            hint="Have the shared folders under the same paths on every worker, and run the workers as a user who may "
            "read them. That holds for the tomogram, for models, and for the folder of the temporary files: the data "
            "directory of a server, or the folder of the mask.",
        )
        self.worker, self.path = worker, path

    def __reduce__(self) -> tuple[Any, ...]:
        return (UnreadableFileError, (self.worker, self.path))

    def for_local_run(self) -> UnreadableFileError:
        """Return the error with the path, for a local run."""
        return UnreadableFileError(self.worker, self.path, shown=file_text(self.path))


def as_error(error: BaseException) -> CryoMambaError:
    """Return the typed error for an exception that ended a job; typed errors are returned unchanged."""
    if isinstance(error, CryoMambaError):
        return error
    if isinstance(error, MemoryError):
        return JobFailedError(
            "The machine ran out of memory.",
            code=ErrorCode.OUT_OF_MEMORY,
            hint="Close other programs or reduce CRYOMAMBA_PROCESSES, then retry.",
            retryable=True,
        )
    of_the_machine = system_error(error)
    if of_the_machine is not None:
        return of_the_machine
    return EngineFailedError(
        type(error).__name__, " ".join(str(error).split())[:_TEXT_MAX], "".join(traceback.format_exception(error))
    )


def cancelled_error() -> JobFailedError:
    """Return the error of a cancelled job."""
    return JobFailedError("The job was cancelled.", code=ErrorCode.CANCELLED, hint="Retry it to run it again.")


def lost_error(exit_code: int | None) -> JobFailedError:
    """Return the error for a compute process that died, by its exit code (negative: a signal)."""
    message, hint = _SIGNALLED.get(exit_code or 0, _CRASH)
    return JobFailedError(
        message, code=ErrorCode.WORKER_LOST, hint=hint, retryable=True, details={"exit_code": exit_code}
    )
