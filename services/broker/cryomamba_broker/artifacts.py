"""Accepting, reading and deleting finished files."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from cryomamba.atomic import sync_folder
from cryomamba.errors import CryoMambaError, ErrorCode, InvalidRequestError, NotFoundError
from cryomamba.models.jobs import Artifact, JobRecord
from cryomamba.system_errors import system_error, system_errors_translated
from cryomamba.volumes.allowed_paths import verify_opened
from cryomamba.wire.buffers import BufferSpec, encode_bytes
from cryomamba.wire.requests import ArtifactRead
from cryomamba_server.attempt_files import attempt_folder


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
    UnavailableError
        Too many files are open, or the disk fails.
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
    except OSError as error:
        raise system_error(error) or _gone(request.name) from error


def _require_inside(opened: int, folder: Path, request: ArtifactRead) -> None:
    """Refuse a file that is reached through a symbolic link, or that is not a regular file."""
    try:
        verify_opened(opened, folder / request.job / request.name, (folder,))
    except CryoMambaError:
        raise _gone(request.name) from None


def accept_files(folder: Path, job_id: str, attempt: int, artifacts: Sequence[Artifact]) -> None:
    """Check the files that an attempt has published, and give them their final names; everything else is removed.

    Repeating it after an interruption continues where it stopped. Blocks.

    Raises
    ------
    InvalidRequestError
        A file is listed twice, is missing, is no regular file, or has another size.
    UnavailableError
        The disk is full, read-only or failing.
    """
    source, final = attempt_folder(folder, job_id, attempt), folder / job_id
    names = {artifact.name for artifact in artifacts}
    if len(names) < len(artifacts):
        raise InvalidRequestError("The list of artifacts names a file twice.")
    with system_errors_translated():
        for artifact in artifacts:
            # What is in the attempt's folder replaces what an interrupted request has moved already.
            parent = source if os.path.lexists(source / artifact.name) else final
            if final.is_symlink() or not _is_published(parent / artifact.name, artifact):
                raise InvalidRequestError(
                    f"The attempt has not published '{artifact.name}' with {artifact.size_bytes} bytes.",
                    hint="A worker on another machine must use the same directory for finished files as the broker.",
                )
        for name in names:
            # It may have been moved before an interruption.
            with suppress(FileNotFoundError):
                (source / name).replace(final / name)
        if final.is_dir():
            _remove_others(final, names)
            sync_folder(final)


def _is_published(path: Path, artifact: Artifact) -> bool:
    if path.parent.is_symlink():
        return False
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size == artifact.size_bytes


def _remove_others(folder: Path, kept: Collection[str]) -> None:
    """Remove what other attempts have left."""
    for path in folder.iterdir():
        if path.name in kept:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def remove_files(folder: Path) -> None:
    """Delete a job's files; those that cannot be deleted are left to ``cryomamba gc``."""
    shutil.rmtree(folder, ignore_errors=True)


def _gone(name: str) -> NotFoundError:
    return NotFoundError(
        f"The file '{name}' does not exist on the server any more.", hint="Run the job again to create it."
    )
