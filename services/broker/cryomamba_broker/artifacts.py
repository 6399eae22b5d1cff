"""Reading and deleting finished files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from cryomamba.errors import CryoMambaError, ErrorCode, InvalidRequestError, NotFoundError
from cryomamba.models.jobs import JobRecord
from cryomamba.volumes.allowed_paths import verify_opened
from cryomamba.wire.buffers import BufferSpec, encode_bytes
from cryomamba.wire.requests import ArtifactRead


def require_listed(record: JobRecord, name: str) -> None:
    """Refuse a file that the job's record does not list.

    Raises
    ------
    NotFoundError
        The job has no such file; only listed names ever become part of a path.
    """
    if all(artifact.name != name for artifact in record.artifacts):
        listed = ", ".join(artifact.name for artifact in record.artifacts) or "none yet"
        raise NotFoundError("The job has no such file.", hint=f"Its files: {listed}.")


def read_chunk(folder: Path, request: ArtifactRead) -> tuple[BufferSpec, bytes, int]:
    """Read a chunk of a job's file; blocks, so it must run in a thread.

    Returns
    -------
    spec : BufferSpec
    chunk : bytes
    size : int
        Size of the file, in bytes.

    Raises
    ------
    NotFoundError
        The file does not exist any more.
    InvalidRequestError
        ``range_not_satisfiable``: the offset lies beyond the end of the file.
    """
    try:
        # A symbolic link in place of the file could lead anywhere.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(folder / request.job / request.name, flags), "rb") as file:
            _require_inside(file.fileno(), folder, request)
            status = os.fstat(file.fileno())
            if request.offset > status.st_size:
                raise InvalidRequestError(
                    f"The file '{request.name}' has only {status.st_size} bytes.", code=ErrorCode.RANGE_NOT_SATISFIABLE
                )
            file.seek(request.offset)
            spec, chunk = encode_bytes(file.read(request.length))
            return spec, chunk, status.st_size
    except OSError:
        raise _gone(request.name) from None


def _require_inside(opened: int, folder: Path, request: ArtifactRead) -> None:
    """Refuse a file that is reached through a symbolic link, or that is not a regular file."""
    try:
        verify_opened(opened, folder / request.job / request.name, (folder,))
    except CryoMambaError:
        raise _gone(request.name) from None


def remove_files(folder: Path) -> None:
    """Delete a job's files; those that cannot be deleted are left to ``cryomamba gc``."""
    shutil.rmtree(folder, ignore_errors=True)


def _gone(name: str) -> NotFoundError:
    return NotFoundError(
        f"The file '{name}' does not exist on the server any more.", hint="Run the job again to create it."
    )
