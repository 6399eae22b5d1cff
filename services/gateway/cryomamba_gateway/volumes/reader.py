"""Reads chunks and slices of images in helper processes, with bounds on work and memory."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from cryomamba.system_errors import system_errors_translated
from cryomamba_gateway.volumes.byte_cache import ByteCache
from cryomamba_gateway.volumes.caller_turns import CallerTurns
from cryomamba_gateway.volumes.hierarchy import Image, Index, chunk_shape
from cryomamba_gateway.volumes.level_builder import LevelBuilder
from cryomamba_gateway.volumes.open_images import ImageSource, OpenImages
from cryomamba_gateway.volumes.processes import Processes
from cryomamba_gateway.volumes.reading import (
    ImageState,
    LevelFolder,
    Limits,
    contrast_limits_of,
    prepare,
    read_chunks,
    read_section,
)
from cryomamba_gateway.volumes.sections import SectionQuery

PROCESSES: Final = min(4, os.cpu_count() or 1)
TURNS_PER_CALLER: Final = 2
# Chunks of a coarser level that lie side by side along x are computed together: for one, whole rows are read.
GROUP_NBYTES: Final = 32 << 20
_LIMITS_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class KnownImage:
    """An image whose header was read.

    Attributes
    ----------
    source : ImageSource
    image : Image
    key : str
        Stands for the state of the file; part of every ETag.
    large : bool
        Whether coarser levels are samples until they were made.
    """

    source: ImageSource
    image: Image
    key: str
    large: bool

    @property
    def state(self) -> ImageState:
        """What a helper process needs to know."""
        return ImageState(self.source, self.key, self.large)


class Part(NamedTuple):
    """The bytes of a part of an image, and whether it is made of a sample, because the coarser levels are not there."""

    content: bytes
    sampled: bool = False


class ClientGoneError(Exception):
    """The client has closed its connection, so there is nobody to work for."""


IsGone = Callable[[], Awaitable[bool]]
"""Whether the client has gone; asked once its turn has come."""


class VolumeReader:
    """Reads images for all clients of a gateway. For one event loop.

    Parameters
    ----------
    cache_nbytes : int
        Bound on the memory for pictures and chunks of coarser levels. Chunks of the full resolution are not cached:
        they are cut out of the file, which the operating system caches.
    levels : LevelFolder
        Where the coarser levels of large images are kept.
    """

    def __init__(self, cache_nbytes: int, levels: LevelFolder) -> None:
        # Of these the headers are read here; the helper processes open files of their own.
        self._images = OpenImages()
        self._cache = ByteCache(cache_nbytes)
        self._turns = CallerTurns(TURNS_PER_CALLER)
        self._processes = Processes(PROCESSES, "cryomamba-volumes", partial(prepare, levels))
        self._groups: dict[tuple[str, int, Index], asyncio.Task[dict[Index, Part]]] = {}
        self._limits: dict[str, Limits | None] = {}
        self.levels = LevelBuilder(levels)

    def start(self) -> None:
        """Start a helper process, so that the first reader does not wait for it."""
        self._processes.start()

    async def describe(self, source: ImageSource) -> KnownImage:
        """Read the header of an image.

        Raises
        ------
        CryoMambaError
            As :meth:`OpenImages.lease`.
        """

        def known() -> KnownImage:
            with system_errors_translated(), self._images.lease(source) as opened:
                return KnownImage(source, opened.image, opened.key, opened.large)

        # Voxels will be asked for next.
        self.start()
        # Not behind the work of others: a viewer asks for this first.
        return await asyncio.to_thread(known)

    async def contrast_limits(self, known: KnownImage) -> Limits | None:
        """Return good limits for the display of an image; None for labels."""
        if known.image.labels:
            return None
        if known.key not in self._limits:
            found = await self._processes.run(contrast_limits_of, known.source)
            while len(self._limits) >= _LIMITS_MAX:
                del self._limits[next(iter(self._limits))]
            self._limits[known.key] = found
        return self._limits[known.key]

    async def section(
        self, known: KnownImage, query: SectionQuery, limits: Limits | None, caller: str, gone: IsGone
    ) -> Part:
        """Return a section as an image.

        Parameters
        ----------
        known : KnownImage
        query : SectionQuery
        limits : tuple of float or None
            Densities that become black and white; None for labels.
        caller : str
            Whose turn it takes.
        gone : callable

        Raises
        ------
        ClientGoneError
        InvalidRequestError
            The volume has no such plane.
        VolumeError
            ``volume_changed``.
        """
        name = known.key, query, limits
        cached = self._cached(known, name)
        if cached is None:
            async with self._turns.turn(caller):
                if await gone():
                    raise ClientGoneError
                cached = Part(*await self._processes.run(read_section, known.state, query, limits))
            self._keep(known, name, cached)
        return cached

    async def chunk(self, known: KnownImage, level: int, index: Index, caller: str, gone: IsGone) -> Part:
        """Return the bytes of a chunk; parameters and errors as for :meth:`section`."""
        name = known.key, level, index
        cached = self._cached(known, name)
        if cached is not None:
            return cached
        async with self._turns.turn(caller):
            if await gone():
                raise ClientGoneError
            if level == 0 or known.large:
                chunks, sampled = await self._processes.run(read_chunks, known.state, level, [index])
                part = Part(chunks[index], sampled)
                if level:
                    self._keep(known, name, part)
                return part
            cached = self._cached(known, name)
            return cached if cached is not None else (await self._group(known, level, index))[index]

    def _cached(self, known: KnownImage, name: tuple[object, ...]) -> Part | None:
        found = self._cache.get(name)
        if found is not None:
            return Part(found)
        # A sample will do while the levels are being made.
        sample = self._cache.get((*name, "sample")) if known.large and self.levels.is_waiting(known.source) else None
        return None if sample is None else Part(sample, sampled=True)

    def _keep(self, known: KnownImage, name: tuple[object, ...], part: Part) -> None:
        if part.sampled:
            self.levels.want(known.source)
        self._cache.put((*name, "sample") if part.sampled else name, part.content)

    async def _group(self, known: KnownImage, level: int, index: Index) -> dict[Index, Part]:
        """Return a chunk of a coarser level with its neighbours; all who ask at the same time share the work."""
        members = group_of(known.image, level, index)
        key = known.key, level, members[0]
        task = self._groups.get(key)
        if task is None:
            task = asyncio.create_task(self._make_group(known, level, members), name="volumes-group")
            self._groups[key] = task
            task.add_done_callback(lambda made: self._made(key, made))
        return await asyncio.shield(task)

    def _made(self, key: tuple[str, int, Index], task: asyncio.Task[dict[Index, Part]]) -> None:
        del self._groups[key]
        # Whoever asked may have gone; an error that nobody retrieves would be logged as a defect.
        if not task.cancelled():
            task.exception()

    async def _make_group(self, known: KnownImage, level: int, members: list[Index]) -> dict[Index, Part]:
        chunks, sampled = await self._processes.run(read_chunks, known.state, level, members)
        made = {index: Part(content, sampled) for index, content in chunks.items()}
        for index, part in made.items():
            self._keep(known, (known.key, level, index), part)
        return made

    def close(self) -> None:
        """End the processes, and close all files."""
        self._processes.close()
        self.levels.close()
        self._images.close()


def group_of(image: Image, level: int, index: Index) -> list[Index]:
    """Return the chunks of a level that are made together with one of them."""
    z, y, x = index
    shape = chunk_shape(image.levels[level])
    count = -(-image.levels[level].shape[2] // shape[2])
    each = max(1, GROUP_NBYTES // (shape[0] * shape[1] * shape[2] * image.dtype.itemsize))
    first = x - x % each
    return [(z, y, n) for n in range(first, min(first + each, count))]
