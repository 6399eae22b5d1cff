"""Reads chunks and slices of images in threads, so that the event loop is free, with bounds on work and memory."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from cryomamba.errors import ErrorCode, VolumeError
from cryomamba.system_errors import system_errors_translated
from cryomamba.volumes.binning import read_level
from cryomamba.volumes.voxel_file import Array
from cryomamba_gateway.volumes.byte_cache import ByteCache
from cryomamba_gateway.volumes.caller_turns import CallerTurns
from cryomamba_gateway.volumes.chunks import encode_chunk, voxels_of
from cryomamba_gateway.volumes.hierarchy import Image, Index, chunk_shape
from cryomamba_gateway.volumes.open_images import ImageSource, OpenImage, OpenImages
from cryomamba_gateway.volumes.row_cache import RowCache

T = TypeVar("T")
THREADS: Final = min(4, os.cpu_count() or 1)
TURNS_PER_CALLER: Final = 2
# Chunks of a coarser level that lie side by side along x are made together: to make one, whole rows are read.
GROUP_NBYTES: Final = 32 << 20


@dataclass(frozen=True, slots=True)
class KnownImage:
    """An image whose header was read.

    Attributes
    ----------
    source : ImageSource
    image : Image
    key : str
        Stands for the state of the file; part of every ETag.
    """

    source: ImageSource
    image: Image
    key: str


class ClientGoneError(Exception):
    """The client has closed its connection, so there is nobody to work for."""


class VolumeReader:
    """Reads images for all clients of a gateway. For one event loop.

    Parameters
    ----------
    cache_nbytes : int
        Bound on the memory for pictures, parts of rows, and chunks of coarser levels. Chunks of the full resolution
        are not cached: they are cut out of the file, which the operating system caches.

    Attributes
    ----------
    rows : RowCache
        Reads sections across the rows of a file.
    """

    def __init__(self, cache_nbytes: int) -> None:
        self._images = OpenImages()
        self._cache = ByteCache(cache_nbytes)
        self.rows = RowCache(self._cache)
        self._turns = CallerTurns(TURNS_PER_CALLER)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="volumes")
        self._groups: dict[tuple[str, int, Index], asyncio.Task[dict[Index, bytes]]] = {}

    async def describe(self, source: ImageSource) -> KnownImage:
        """Read the header of an image.

        Raises
        ------
        CryoMambaError
            As :meth:`OpenImages.lease`.
        """

        def known() -> KnownImage:
            with system_errors_translated(), self._images.lease(source) as opened:
                return KnownImage(source, opened.image, opened.key)

        # Not behind the work of others: a viewer asks for this first.
        return await asyncio.to_thread(known)

    async def contrast_limits(self, source: ImageSource) -> tuple[float, float] | None:
        """Return good limits for the display of an image; None for labels."""
        return await self._use(source, lambda opened: opened.contrast_limits)

    async def read(
        self, known: KnownImage, caller: str, gone: Callable[[], Awaitable[bool]], read: Callable[[OpenImage], T]
    ) -> T:
        """Run a function on an open image when it is the caller's turn.

        Parameters
        ----------
        known : KnownImage
        caller : str
            Whose turn it takes.
        gone : callable
            Whether the client has gone; asked once the turn has come.
        read : callable
            Runs in a thread.

        Raises
        ------
        ClientGoneError
        VolumeError
            ``volume_changed``.
        """
        async with self._turns.turn(caller):
            if await gone():
                raise ClientGoneError
            return await self._use(known.source, lambda opened: read(_unchanged(opened, known)))

    async def picture(
        self,
        name: str,
        known: KnownImage,
        caller: str,
        gone: Callable[[], Awaitable[bool]],
        make: Callable[[OpenImage], bytes],
    ) -> bytes:
        """Return what `make` makes of an open image, and keep it under `name`; otherwise like :meth:`read`."""
        kept = self._cache.get(name)
        if kept is None:
            kept = await self.read(known, caller, gone, make)
            self._cache.put(name, kept)
        return kept

    async def chunk(
        self, known: KnownImage, level: int, index: Index, caller: str, gone: Callable[[], Awaitable[bool]]
    ) -> bytes:
        """Return the bytes of a chunk; parameters and errors as for :meth:`read`."""
        key = known.key, level, index
        cached = self._cache.get(key)
        if cached is not None:
            return cached
        if level == 0:
            return await self.read(known, caller, gone, lambda opened: _chunks(opened, 0, [index])[index])
        async with self._turns.turn(caller):
            if await gone():
                raise ClientGoneError
            cached = self._cache.get(key)
            return cached if cached is not None else (await self._group(known, level, index))[index]

    async def _group(self, known: KnownImage, level: int, index: Index) -> dict[Index, bytes]:
        """Return a chunk of a coarser level with its neighbours; all who ask at the same time share the work."""
        members = group_of(known.image, level, index)
        key = known.key, level, members[0]
        task = self._groups.get(key)
        if task is None:
            task = asyncio.create_task(self._make_group(known, level, members), name="volumes-group")
            self._groups[key] = task
            task.add_done_callback(lambda made: self._made(key, made))
        return await asyncio.shield(task)

    def _made(self, key: tuple[str, int, Index], task: asyncio.Task[dict[Index, bytes]]) -> None:
        del self._groups[key]
        # Whoever asked may have gone; an error that nobody retrieves would be logged as a defect.
        if not task.cancelled():
            task.exception()

    async def _make_group(self, known: KnownImage, level: int, members: list[Index]) -> dict[Index, bytes]:
        made = await self._use(known.source, lambda opened: _chunks(_unchanged(opened, known), level, members))
        for index, content in made.items():
            self._cache.put((known.key, level, index), content)
        return made

    async def _use(self, source: ImageSource, use: Callable[[OpenImage], T]) -> T:
        def run() -> T:
            with system_errors_translated(), self._images.lease(source) as opened:
                return use(opened)

        return await asyncio.get_running_loop().run_in_executor(self._threads, run)

    @property
    def cached_nbytes(self) -> int:
        """Memory that the cached chunks take."""
        return self._cache.nbytes

    def close(self) -> None:
        """End the threads after their present work, and close all files."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._images.close()


def group_of(image: Image, level: int, index: Index) -> list[Index]:
    """Return the chunks of a level that are made together with one of them."""
    z, y, x = index
    shape = chunk_shape(image.levels[level])
    count = -(-image.levels[level].shape[2] // shape[2])
    each = max(1, GROUP_NBYTES // (shape[0] * shape[1] * shape[2] * image.dtype.itemsize))
    first = x - x % each
    return [(z, y, n) for n in range(first, min(first + each, count))]


def _chunks(opened: OpenImage, number: int, members: list[Index]) -> dict[Index, bytes]:
    """Read chunks that lie side by side along x."""
    image, level = opened.image, opened.image.levels[number]
    voxels = {index: voxels_of(level, index) for index in members}
    z, y, first = voxels[members[0]]
    block: Array = read_level(opened.content, level, z, y, slice(first.start, voxels[members[-1]][2].stop))
    found = {}
    for index, (_, _, x) in voxels.items():
        part = block[:, :, x.start - first.start : x.stop - first.start]
        found[index] = encode_chunk(part, chunk_shape(level), compressed=image.compressed)
    return found


def _unchanged(opened: OpenImage, known: KnownImage) -> OpenImage:
    if opened.key != known.key:
        raise VolumeError(
            f"{known.image.name} was changed while it was read.",
            code=ErrorCode.VOLUME_CHANGED,
            hint="Once the file is complete and no longer changes, open it again.",
        )
    return opened
