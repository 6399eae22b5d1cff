"""Receives the bytes of a part and writes them to the disk, a quarter of a megabyte at a time."""

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

BLOCK_BYTES: Final = 256 * 1024


def _sync(descriptor: int) -> None:
    # The file has its final length already, so its data are all that must reach the disk.
    if hasattr(os, "fdatasync"):
        os.fdatasync(descriptor)
    else:
        os.fsync(descriptor)


async def read_blocks(body: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """Yield a body in blocks of about 256 KiB.

    Parameters
    ----------
    body : async iterator of bytes
    size : int
        The number of bytes that it must have.

    Raises
    ------
    InvalidRequestError
        ``too_large`` as soon as it has more than `size` bytes, ``bad_request`` if it ends with fewer.
    """
    buffer, received = bytearray(), 0
    async for block in body:
        received += len(block)
        if received > size:
            raise InvalidRequestError(
                f"The part is longer than {size} bytes.", code=ErrorCode.TOO_LARGE, details={"part_bytes": size}
            )
        buffer += block
        if len(buffer) >= BLOCK_BYTES:
            yield bytes(buffer)
            buffer.clear()
    if received != size:
        raise InvalidRequestError(
            f"The part has {received} bytes instead of {size}.",
            hint="Send all parts with the agreed size; only the last one is shorter.",
            details={"part_bytes": size},
        )
    if buffer:
        yield bytes(buffer)


class BodySplitter:
    """Splits one body into the bodies of consecutive parts.

    Parameters
    ----------
    body : async iterator of bytes
    """

    def __init__(self, body: AsyncIterator[bytes]) -> None:
        self._body = aiter(body)
        self._rest = b""

    async def part(self, nbytes: int) -> AsyncGenerator[bytes, None]:
        """Yield the next `nbytes` bytes as they arrive, or fewer if the body ends."""
        while nbytes > 0:
            if not self._rest:
                block = await anext(self._body, None)
                if block is None:
                    return
                self._rest = block
            taken, self._rest = self._rest[:nbytes], self._rest[nbytes:]
            nbytes -= len(taken)
            yield taken


async def checksums_of(blocks: AsyncIterator[bytes], executor: Executor) -> Checksums:
    """Compute the checksums of a body without storing it."""
    checksums = Checksums()
    loop = asyncio.get_running_loop()
    async for block in blocks:
        await loop.run_in_executor(executor, checksums.add, block)
    return checksums


async def write_at(path: Path, offset: int, blocks: AsyncIterator[bytes], executor: Executor) -> Checksums:
    """Write a body into a file at an offset, sync it to the disk, and return its checksums.

    Raises
    ------
    FileNotFoundError, ConflictError
        The upload is finished or removed, or is being assembled.
    """
    loop = asyncio.get_running_loop()
    checksums = Checksums()
    descriptor = await loop.run_in_executor(executor, open_for_part, path)

    def write(block: bytes) -> None:
        os.lseek(descriptor, offset + checksums.nbytes, os.SEEK_SET)
        view = memoryview(block)
        while view:
            view = view[os.write(descriptor, view) :]
        checksums.add(block)

    writing: asyncio.Future[None] | None = None
    try:
        async for block in blocks:
            # A block is received while the one before it is hashed and written.
            if writing is not None:
                await asyncio.shield(writing)
            writing = loop.run_in_executor(executor, write, block)
        if writing is not None:
            await asyncio.shield(writing)
        writing = loop.run_in_executor(executor, _sync, descriptor)
        await asyncio.shield(writing)
    finally:
        # After a cancellation the write continues in its thread and needs the descriptor.
        if writing is not None:
            await asyncio.wait({writing})
            # Of two errors, that of the body is reported; this one counts as noticed.
            writing.exception()
        os.close(descriptor)
    return checksums
