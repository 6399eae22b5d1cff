"""What the exit status of ``cryomamba`` means; ``docs/reference/exit-codes.md`` states it and a test compares."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from cryomamba.errors import (
    AccessError,
    ConflictError,
    CryoMambaError,
    ErrorCode,
    InternalError,
    InvalidRequestError,
    JobFailedError,
    NotFoundError,
    UnavailableError,
    VolumeError,
)


class ExitCode(IntEnum):
    """The closed list of exit codes, part of the command line's contract."""

    OK = 0
    JOB_FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    UNAVAILABLE = 4
    VOLUME = 5
    CONFLICT = 6
    ACCESS = 7
    INTERNAL = 70
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143


MEANINGS: Final[Mapping[ExitCode, str]] = {
    ExitCode.OK: "Done.",
    ExitCode.JOB_FAILED: "The job failed or was cancelled, or `doctor` found something that must be put right.",
    ExitCode.USAGE: "The command line or the request is wrong: an option, a parameter, an engine, a path.",
    ExitCode.NOT_FOUND: "There is no such job or file on the server.",
    ExitCode.UNAVAILABLE: "The server or a service cannot be reached, is too slow, or has no room.",
    ExitCode.VOLUME: "The volume cannot be used: missing, truncated, unsupported, or not finite.",
    ExitCode.CONFLICT: "Something is in the way: a file that exists, a job that has ended.",
    ExitCode.ACCESS: "The server does not allow it, or not so often.",
    ExitCode.INTERNAL: "A defect in CryoMamba; run again with `CRYOMAMBA_LOG=debug` to see where.",
    ExitCode.INTERRUPTED: "Interrupted by Ctrl-C; `segment` and `demo` have cancelled their job.",
    ExitCode.BROKEN_PIPE: "Whoever read the output has closed the pipe.",
    ExitCode.TERMINATED: "Ended by SIGTERM, with the same care as Ctrl-C.",
}

_OF_CLASS: Final[tuple[tuple[type[CryoMambaError], ExitCode], ...]] = (
    (VolumeError, ExitCode.VOLUME),
    (InvalidRequestError, ExitCode.USAGE),
    (NotFoundError, ExitCode.NOT_FOUND),
    (ConflictError, ExitCode.CONFLICT),
    (AccessError, ExitCode.ACCESS),
    (UnavailableError, ExitCode.UNAVAILABLE),
    (JobFailedError, ExitCode.JOB_FAILED),
    (InternalError, ExitCode.INTERNAL),
)


def exit_code(error: CryoMambaError) -> ExitCode:
    """Return the exit code for an error; a peer that speaks another protocol counts as unreachable."""
    if error.code is ErrorCode.PROTOCOL:
        return ExitCode.UNAVAILABLE
    return next((code for kind, code in _OF_CLASS if isinstance(error, kind)), ExitCode.INTERNAL)
