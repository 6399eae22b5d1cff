"""Sending a file to a gateway: several parts at a time, through restarts of either side, and never twice."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
from pydantic import ValidationError

from cryomamba.errors import (
    AccessError,
    ConflictError,
    CryoMambaError,
    ErrorCode,
    ProtocolError,
    UnavailableError,
    VolumeError,
)
from cryomamba.models.base import Record
from cryomamba.models.files import FileRecord, UploadStatus

R = TypeVar("R", bound=Record)
Ask = Callable[..., Awaitable[httpx.Response]]
ProgressCall = Callable[[int, int], None]

PART_BYTES: Final = 8 * 1024 * 1024
READ_BYTES: Final = 32 * 1024 * 1024
PARALLEL: Final = 4
PATIENCE_S: Final = 120.0
COMPLETE_S: Final = 600.0
GIVE_UP_S: Final = 3.0
ROUNDS_MAX: Final = 4
_PIECE: Final = 1024 * 1024
_LONGEST_PAUSE_S: Final = 5.0


class Upload:
    """One file on its way.

    Which parts are there is asked of the gateway, by the file's SHA-256, so an upload that was interrupted goes on
    where it was, also from another process or machine.

    Parameters
    ----------
    ask : callable
        ``ask(method, path, **more)``, which raises :class:`~cryomamba.errors.CryoMambaError` for every other answer.
    path : Path
    progress : callable, optional
        Called with bytes there and bytes in all.
    reading : callable, optional
        Called before that, while the file's checksum is made, with bytes read and bytes in all.
    parallel : int
        Parts at a time; each is held in memory, with at most 8 MiB.
    keep : bool
        Whether an upload that is cancelled stays on the gateway, to go on later.

    Attributes
    ----------
    fresh : bool
        Whether the gateway had not got the file already.
    """

    def __init__(
        self,
        ask: Ask,
        path: Path,
        *,
        progress: ProgressCall | None = None,
        reading: ProgressCall | None = None,
        parallel: int = PARALLEL,
        keep: bool = True,
    ) -> None:
        self._ask = ask
        self._path = path
        self._progress = progress
        self._reading = reading
        self._parallel = parallel
        self._keep = keep
        self.fresh = False
        self._done = 0
        self._total = 0

    async def run(self) -> FileRecord:
        """Send what is missing and return the finished file.

        Raises
        ------
        VolumeError
            There is no such file here, or it is no volume.
        UnavailableError
            The gateway was away for longer than two minutes, or its disk is full.
        ConflictError
            The file was changed while it was sent.
        """
        self._total = await asyncio.to_thread(_size, self._path)
        digest = await self._digest()
        begin = {
            "filename": self._path.name,
            "total_size_bytes": self._total,
            "chunk_size_bytes": PART_BYTES,
            "sha256": digest,
        }
        status = _parsed(UploadStatus, await self._request("POST", "/v1/uploads/init", json=begin))
        self.fresh = status.file is None
        try:
            return await self._finish(status)
        except asyncio.CancelledError:
            if not self._keep:
                await self._give_up(status)
            raise

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
                self._tell(self._total)
                return status.file
            await self._send_missing(status)
            try:
                return await self._complete(status)
            except ConflictError as error:
                if not error.retryable:
                    raise
            status = _parsed(UploadStatus, await self._request("GET", _address(status)))
        raise ConflictError("The gateway keeps missing parts.", hint="Try again; its log may say more.")

    async def _send_missing(self, status: UploadStatus) -> None:
        self._tell(status.received_bytes)
        missing = iter(sorted(set(range(status.part_count)) - set(status.received_parts)))
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(self._parallel):
                    tasks.create_task(self._send_parts(status, missing))
        except ExceptionGroup as failed:
            # One part that cannot be sent ends them all; callers expect its error, not a group of them.
            raise failed.exceptions[0] from None

    async def _send_parts(self, status: UploadStatus, missing: Iterator[int]) -> None:
        for index in missing:
            size = status.part_size(index)
            content = await asyncio.to_thread(_read, self._path, index * status.chunk_size_bytes, size)
            if len(content) != size:
                raise _changed()
            await self._request("PUT", f"{_address(status)}/part/{index}", content=content)
            self._tell(self._done + size)

    async def _complete(self, status: UploadStatus) -> FileRecord:
        reply = await self._request("POST", f"{_address(status)}/complete", timeout=COMPLETE_S)
        return _parsed(FileRecord, reply)

    async def _give_up(self, status: UploadStatus) -> None:
        """Have the gateway forget what was sent; it removes it by itself later if this does not reach it."""
        with contextlib.suppress(CryoMambaError, TimeoutError):
            async with asyncio.timeout(GIVE_UP_S):
                await self._ask("DELETE", _address(status))

    async def _request(self, method: str, path: str, **more: Any) -> httpx.Response:  # noqa: ANN401 (httpx's own)
        """Ask until there is an answer, through a restart of the gateway and its limits of requests."""
        until, pause = time.monotonic() + PATIENCE_S, 0.2
        while True:
            try:
                return await self._ask(method, path, **more)
            except (UnavailableError, AccessError) as error:
                if not _worth_waiting(error) or time.monotonic() + pause > until:
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    def _tell(self, done: int) -> None:
        self._done = done
        if self._progress is not None:
            self._progress(done, self._total)


def _address(status: UploadStatus) -> str:
    return f"/v1/uploads/{status.upload_id}"


def _worth_waiting(error: CryoMambaError) -> bool:
    return error.retryable and error.code is not ErrorCode.INSUFFICIENT_STORAGE


def _size(path: Path) -> int:
    try:
        # Opened, not only looked at: a file that may not be read is told before anything else.
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
    except OSError as error:
        raise VolumeError(
            f"The file {path.name} cannot be read: {error.strerror}.",
            code=ErrorCode.VOLUME_NOT_FOUND if isinstance(error, FileNotFoundError) else ErrorCode.VOLUME_UNREADABLE,
            hint="Look at the path and its permissions.",
        ) from None
    if not size:
        raise VolumeError(f"The file {path.name} is empty.", hint="Copy it again; it was probably interrupted.")
    return size


def _add(digest: hashlib._Hash, path: Path, offset: int, size: int) -> None:
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(offset)
            while size and (piece := file.read(min(size, _PIECE))):
                digest.update(piece)
                size -= len(piece)
    except OSError:
        raise _changed() from None
    if size:
        raise _changed()


def _read(path: Path, offset: int, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)
    except OSError:
        raise _changed() from None


def _changed() -> ConflictError:
    return ConflictError(
        "The file was changed while it was sent.",
        code=ErrorCode.CHECKSUM_MISMATCH,
        hint="Send it again when nobody writes to it.",
    )


def _parsed(model: type[R], reply: httpx.Response) -> R:
    try:
        return model.model_validate_json(reply.content)
    except ValidationError:
        raise ProtocolError(
            "The gateway's answer is not what this client expects.",
            hint="Install the same release of CryoMamba on both sides.",
        ) from None
