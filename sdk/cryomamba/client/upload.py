"""Sending a file to a gateway: several parts at a time, resumed after restarts of either side, and never twice."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx

from cryomamba.client.backoff import pauses
from cryomamba.client.replies import parse_reply
from cryomamba.client.transport import ProgressCallback, UploadedFile
from cryomamba.errors import AccessError, ConflictError, CryoMambaError, ErrorCode, UnavailableError, VolumeError
from cryomamba.models.files import FileRecord, UploadStatus
from cryomamba.printable import file_text
from cryomamba.system_errors import system_error

SendRequest = Callable[..., Awaitable[httpx.Response]]

PART_BYTES: Final = 8 * 1024 * 1024
READ_BYTES: Final = 32 * 1024 * 1024
PARALLEL: Final = 4
PATIENCE_S: Final = 120.0
COMPLETE_S: Final = 600.0
ABORT_S: Final = 3.0
ROUNDS_MAX: Final = 4
_CHUNK: Final = 1024 * 1024


class Upload:
    """One file on its way.

    The gateway identifies the file by its SHA-256 and lists the parts that it has, so an interrupted upload is resumed,
    also from another process or machine.

    Parameters
    ----------
    send : callable
        ``send(method, path, **options)``, which raises :class:`~cryomamba.errors.CryoMambaError` unless it succeeds.
    path : Path
    progress : callable, optional
        Called with bytes sent and bytes in all.
    reading : callable, optional
        Called before that, while the checksum is computed, with bytes read and bytes in all.
    parallel : int
        Parts at a time; each is held in memory, with at most 8 MiB.
    keep : bool
        Whether the parts of a cancelled upload stay on the gateway, so that it can be resumed.
    """

    def __init__(
        self,
        send: SendRequest,
        path: Path,
        *,
        progress: ProgressCallback | None = None,
        reading: ProgressCallback | None = None,
        parallel: int = PARALLEL,
        keep: bool = True,
    ) -> None:
        self._send = send
        self._path = path
        self._progress = progress
        self._reading = reading
        self._parallel = parallel
        self._keep = keep
        self._done = 0
        self._total = 0

    async def run(self) -> UploadedFile:
        """Send what is missing and return the finished file.

        Raises
        ------
        VolumeError
            There is no such file on this machine, or it is not a volume.
        UnavailableError
            The gateway could not be reached for two minutes, or its disk is full.
        ConflictError
            The file was changed during the upload.
        """
        status = await self._begin()
        try:
            return UploadedFile(await self._finish(status), new=status.file is None)
        except asyncio.CancelledError:
            if not self._keep:
                await self._abort(status)
            raise

    async def send(self) -> str:
        """Send what is missing, and return the id of the upload, whose parts the gateway then has.

        Raises
        ------
        VolumeError, UnavailableError, ConflictError
            As for :meth:`run`.
        """
        status = await self._begin()
        await self._send_missing(status)
        return status.upload_id

    async def _begin(self) -> UploadStatus:
        self._total = await asyncio.to_thread(_size, self._path)
        digest = await self._digest()
        begin = {
            "filename": file_text(self._path.name),
            "total_size_bytes": self._total,
            "chunk_size_bytes": PART_BYTES,
            "sha256": digest,
        }
        return parse_reply(UploadStatus, (await self._request("POST", "/v1/uploads/init", json=begin)).content)

    async def _digest(self) -> str:
        digest = hashlib.sha256()
        for offset in range(0, self._total, READ_BYTES):
            size = min(READ_BYTES, self._total - offset)
            await asyncio.to_thread(_add, digest, self._path, offset, size)
            if self._reading is not None:
                self._reading(offset + size, self._total)
        return digest.hexdigest()

    async def _finish(self, status: UploadStatus) -> FileRecord:
        for _ in range(ROUNDS_MAX):
            if status.file is not None:
                self._report(self._total)
                return status.file
            await self._send_missing(status)
            try:
                return await self._complete(status)
            except ConflictError as error:
                if not error.retryable:
                    raise
            status = parse_reply(UploadStatus, (await self._request("GET", _address(status))).content)
        raise ConflictError("The gateway keeps losing parts of the file.", hint="Try again; see its log.")

    async def _send_missing(self, status: UploadStatus) -> None:
        self._report(status.received_bytes)
        missing = iter(sorted(set(range(status.part_count)) - set(status.received_parts)))
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(self._parallel):
                    tasks.create_task(self._send_parts(status, missing))
        except ExceptionGroup as failed:
            # The first part that fails ends the others; callers expect its error, not a group.
            raise failed.exceptions[0] from None

    async def _send_parts(self, status: UploadStatus, missing: Iterator[int]) -> None:
        for index in missing:
            size = status.part_size(index)
            content = await asyncio.to_thread(_read, self._path, index * status.chunk_size_bytes, size)
            if len(content) != size:
                raise _changed()
            await self._request("PUT", f"{_address(status)}/part/{index}", content=content)
            self._report(self._done + size)

    async def _complete(self, status: UploadStatus) -> FileRecord:
        reply = await self._request("POST", f"{_address(status)}/complete", timeout=COMPLETE_S)
        return parse_reply(FileRecord, reply.content)

    async def _abort(self, status: UploadStatus) -> None:
        """Have the gateway delete the parts; it does so by itself later if this does not reach it."""
        with contextlib.suppress(CryoMambaError, TimeoutError):
            async with asyncio.timeout(ABORT_S):
                await self._send("DELETE", _address(status))

    async def _request(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 (httpx's own)
        """Send a request until there is a reply, through a restart of the gateway and its rate limits."""
        waits = pauses(0.2, 5.0, within_s=PATIENCE_S)
        while True:
            try:
                return await self._send(method, path, **options)
            except (UnavailableError, AccessError) as error:
                worth_waiting = error.retryable and error.code is not ErrorCode.INSUFFICIENT_STORAGE
                pause = next(waits, None) if worth_waiting else None
                if pause is None:
                    raise
            await asyncio.sleep(pause)

    def _report(self, done: int) -> None:
        self._done = done
        if self._progress is not None:
            self._progress(done, self._total)


def _address(status: UploadStatus) -> str:
    return f"/v1/uploads/{status.upload_id}"


def _size(path: Path) -> int:
    try:
        # Opened, not only looked at, so that a file without read permission is reported at once.
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
    except OSError as error:
        if (of_the_machine := system_error(error)) is not None:
            raise of_the_machine from None
        raise VolumeError(
            f"The file {path.name} cannot be read: {error.strerror}.",
            code=ErrorCode.VOLUME_NOT_FOUND if isinstance(error, FileNotFoundError) else ErrorCode.VOLUME_UNREADABLE,
            hint="Check the path and its permissions.",
        ) from None
    if not size:
        raise VolumeError(f"The file {path.name} is empty.", hint="Copy it again; it was probably interrupted.")
    return size


def _add(digest: hashlib._Hash, path: Path, offset: int, size: int) -> None:
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(offset)
            while size and (chunk := file.read(min(size, _CHUNK))):
                digest.update(chunk)
                size -= len(chunk)
    except OSError as error:
        raise system_error(error) or _changed() from None
    if size:
        raise _changed()


def _read(path: Path, offset: int, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)
    except OSError as error:
        raise system_error(error) or _changed() from None


def _changed() -> ConflictError:
    return ConflictError(
        "The file was changed during the upload.",
        code=ErrorCode.CHECKSUM_MISMATCH,
        hint="Upload it again when nothing writes to it.",
    )
