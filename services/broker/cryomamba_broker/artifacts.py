"""Pieces of finished files."""

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
    """Read a piece of a job's file, and say how long the file is. Blocks, so it belongs into a thread.

    Raises
    ------
    NotFoundError
        The file is gone.
    InvalidRequestError
        ``range_not_satisfiable``: the piece begins behind the end.
    """
    try:
        # A link in the place of a file could lead anywhere.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(folder / request.job / request.name, flags), "rb") as file:
            _require_inside(file.fileno(), folder, request)
            status = os.fstat(file.fileno())
            if request.offset > status.st_size:
                raise InvalidRequestError(
                    f"'{request.name}' has {status.st_size} bytes.", code=ErrorCode.RANGE_NOT_SATISFIABLE
                )
            file.seek(request.offset)
            spec, piece = encode_bytes(file.read(request.length))
            return spec, piece, status.st_size
    except OSError:
        raise _gone(request.name) from None


def _require_inside(opened: int, folder: Path, request: ArtifactRead) -> None:
    """Refuse a file that is reached through a link, be it of a folder, or that is no file."""
    try:
        verify_opened(opened, folder / request.job / request.name, (folder,))
    except CryoMambaError:
        raise _gone(request.name) from None


def remove_files(folder: Path) -> None:
    """Remove a job's files; what cannot be removed is left to ``cryomamba gc``."""
    shutil.rmtree(folder, ignore_errors=True)


def _gone(name: str) -> NotFoundError:
    return NotFoundError(f"'{name}' is not on the server any more.", hint="Run the job again to make it anew.")
