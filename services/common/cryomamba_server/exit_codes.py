"""The exit codes of ``cryomamba`` and of the services; ``docs/reference/exit-codes.md`` lists them."""

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
    """All exit codes; scripts may rely on them."""

    OK = 0
    JOB_FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    UNAVAILABLE = 4
    VOLUME = 5
    CONFLICT = 6
    ACCESS = 7
    DAMAGED = 8
    INTERNAL = 70
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143


MEANINGS: Final[Mapping[ExitCode, str]] = {
    ExitCode.OK: "Success.",
    ExitCode.JOB_FAILED: "The job failed or was cancelled, or a check of `doctor` failed.",
    ExitCode.USAGE: "The command line or the request is not valid: an option, a parameter, an engine, a path.",
    ExitCode.NOT_FOUND: "The server has no such job or file.",
    ExitCode.UNAVAILABLE: "The server or a service cannot be reached, does not respond in time, or its disk is full.",
    ExitCode.VOLUME: "The volume cannot be used: missing, truncated, unsupported, or with NaN or infinite voxels.",
    ExitCode.CONFLICT: "Conflict: the file already exists, or the job has already ended.",
    ExitCode.ACCESS: "The server refuses access, or the rate limit is exceeded.",
    ExitCode.DAMAGED: "The server's job store is damaged; restore a backup.",
    ExitCode.INTERNAL: "A defect in CryoMamba; run again with `--verbose` for the traceback.",
    ExitCode.INTERRUPTED: "Interrupted by Ctrl-C; `segment` and `demo` have cancelled their job.",
    ExitCode.BROKEN_PIPE: "The reader of the output has closed the pipe.",
    ExitCode.TERMINATED: "Terminated by SIGTERM; jobs are cancelled as with Ctrl-C.",
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
    """Return the exit code for an error; a peer with another protocol counts as unreachable."""
    if error.code is ErrorCode.PROTOCOL:
        return ExitCode.UNAVAILABLE
    if error.code is ErrorCode.STORE_DAMAGED:
        return ExitCode.DAMAGED
    return next((code for kind, code in _OF_CLASS if isinstance(error, kind)), ExitCode.INTERNAL)
