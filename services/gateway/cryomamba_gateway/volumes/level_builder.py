"""Makes the coarser levels of large images, one after the other, in a process that leaves the processor to others."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Final

from cryomamba.errors import CryoMambaError
from cryomamba_gateway.volumes.open_images import ImageSource
from cryomamba_gateway.volumes.processes import Processes
from cryomamba_gateway.volumes.reading import LevelFolder, make_levels, prepare

NICE: Final = 10
# After a failure, such as a full disk.
RETRY_S: Final = 600.0
_FAILED_MAX: Final = 256

logger = logging.getLogger(__name__)


class LevelBuilder:
    """Makes levels in the order in which they are wanted. For one event loop.

    Parameters
    ----------
    folder : LevelFolder
        With a bound of 0, none are made.
    """

    def __init__(self, folder: LevelFolder) -> None:
        self._folder = folder
        self._process: Processes | None = None
        self._closed = False
        self._making: dict[ImageSource, asyncio.Task[None]] = {}
        self._failed: dict[ImageSource, float] = {}

    def want(self, source: ImageSource) -> None:
        """Have the levels of an image made, unless that has just failed."""
        retry = self._failed.get(source, 0.0)
        if not self._folder.max_nbytes or source in self._making or retry > asyncio.get_running_loop().time():
            return
        if self._closed:
            return
        if self._process is None:
            self._process = Processes(1, "cryomamba-levels", partial(prepare, self._folder), nice=NICE)
        self._making[source] = asyncio.create_task(self._make(source, self._process), name="volumes-levels")

    def is_waiting(self, source: ImageSource) -> bool:
        """Whether the levels of an image are being made, or will be."""
        return source in self._making

    async def sweep(self) -> None:
        """Remove levels of files that were removed or changed since."""
        await asyncio.to_thread(self._folder.open().sweep)

    async def _make(self, source: ImageSource, process: Processes) -> None:
        try:
            made = await process.run(make_levels, source)
            problem = "" if made else "there is no room for them (CRYOMAMBA_VOLUME_LEVELS, CRYOMAMBA_DISK_RESERVE)"
        except (CryoMambaError, OSError, ValueError) as error:
            problem = str(error)
        finally:
            del self._making[source]
        if not self._making and not self._closed:
            self._process = None
            await asyncio.to_thread(process.close)
        if problem and not self._closed:
            logger.warning("The coarser levels of %s were not made: %s.", source.name, problem.rstrip("."))
            while len(self._failed) >= _FAILED_MAX:
                del self._failed[next(iter(self._failed))]
            self._failed[source] = asyncio.get_running_loop().time() + RETRY_S

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._closed = True
        if self._process is not None:
            self._process.close()
