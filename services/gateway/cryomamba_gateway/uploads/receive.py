"""Bytes of one part from a client to the disk, a quarter of a megabyte at a time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Final

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba_gateway.uploads.locking import open_for_part
from cryomamba_gateway.uploads.partial_upload import Checksums

CHUNK_BYTES: Final = 256 * 1024


async def read_chunks(body: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """Yield a body in pieces of about 256 KiB.

    Parameters
    ----------
    body : async iterator of bytes
    size : int
        How many bytes it must have.

    Raises
    ------
    InvalidRequestError
        ``too_large`` as soon as it has more than `size` bytes, ``bad_request`` if it ends with fewer.
    """
    buffer, seen = bytearray(), 0
    async for piece in body:
        seen += len(piece)
        if seen > size:
            raise InvalidRequestError(
                f"The part has more than its {size} bytes.", code=ErrorCode.TOO_LARGE, details={"part_bytes": size}
            )
        buffer += piece
        if len(buffer) >= CHUNK_BYTES:
            yield bytes(buffer)
            buffer.clear()
    if seen != size:
        raise InvalidRequestError(
            f"The part has {seen} bytes in place of {size}.",
            hint="Send all parts with the size that the upload was begun with; only the last one is shorter.",
            details={"part_bytes": size},
        )
    if buffer:
        yield bytes(buffer)


class ChunkReader:
    """A body that is handed out in portions, one after the other.

    Parameters
    ----------
    body : async iterator of bytes
    """

    def __init__(self, body: AsyncIterator[bytes]) -> None:
        self._pieces = aiter(body)
        self._rest = b""

    async def take(self, nbytes: int) -> AsyncGenerator[bytes, None]:
        """Yield the next `nbytes` as they come, or what is left."""
        while nbytes > 0:
            if not self._rest:
                piece = await anext(self._pieces, None)
                if piece is None:
                    return
                self._rest = piece
            portion, self._rest = self._rest[:nbytes], self._rest[nbytes:]
            nbytes -= len(portion)
            yield portion


async def checksums_of(pieces: AsyncIterator[bytes], executor: Executor) -> Checksums:
    """Take the checksums of a body and keep none of it."""
    checksums = Checksums()
    loop = asyncio.get_running_loop()
    async for piece in pieces:
        await loop.run_in_executor(executor, checksums.add, piece)
    return checksums


async def write_at(path: Path, offset: int, pieces: AsyncIterator[bytes], executor: Executor) -> Checksums:
    """Write a body into a file from an offset on, and return its checksums.

    Raises
    ------
    FileNotFoundError, ConflictError
        The upload is finished, or being finished.
    """
    loop = asyncio.get_running_loop()
    checksums = Checksums()
    descriptor = await loop.run_in_executor(executor, open_for_part, path)

    def put(piece: bytes) -> None:
        os.lseek(descriptor, offset + checksums.nbytes, os.SEEK_SET)
        view = memoryview(piece)
        while view:
            view = view[os.write(descriptor, view) :]
        checksums.add(piece)

    writing: asyncio.Future[None] | None = None
    try:
        async for piece in pieces:
            writing = loop.run_in_executor(executor, put, piece)
            await asyncio.shield(writing)
    finally:
        # The write of a request that was cancelled goes on in its thread and needs the descriptor.
        if writing is not None:
            await asyncio.wait({writing})
        os.close(descriptor)
    return checksums
