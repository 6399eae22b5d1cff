"""What one attempt at a job may take: memory of its processes, and time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from cryomamba.errors import CryoMambaError, ErrorCode, JobFailedError
from cryomamba.settings import Settings

# Often enough that a process which takes a gigabyte a second is ended near its limit.
LOOK_S = 0.1


def resident_nbytes(pid: int) -> int:
    """Return the bytes of memory that a process and those it started hold together; 0 if it is gone.

    What they share, such as tiles on their way and libraries, is counted once.
    """
    own, shared = 0, 0
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                memory = process.memory_info()
                common = getattr(memory, "shared", 0)
                own += memory.rss - common
                shared = max(shared, common)
    return own + shared


async def exceeded(settings: Settings, pid: int, *, measure: Callable[[int], int] = resident_nbytes) -> CryoMambaError:
    """Wait until an attempt that begins now takes more than the settings allow, and return the error for it.

    Without limits it waits for ever. Memory is looked at ten times a second, so what is taken and given back in
    between is not seen.

    Parameters
    ----------
    settings : Settings
    pid : int
        The computing process.
    measure : callable
        Returns the bytes that a process and its children hold; called in a thread.
    """
    until = time.monotonic() + settings.job_seconds
    while settings.job_seconds or settings.job_memory:
        if settings.job_seconds and time.monotonic() > until:
            return _too_long(settings.job_seconds)
        if settings.job_memory and await asyncio.to_thread(measure, pid) > settings.job_memory:
            return _too_large(settings.job_memory)
        await asyncio.sleep(LOOK_S)
    never: asyncio.Future[CryoMambaError] = asyncio.get_running_loop().create_future()
    return await never


def _too_long(seconds: float) -> JobFailedError:
    return JobFailedError(
        f"The job took longer than the {seconds:,.0f} s that this server allows.",
        code=ErrorCode.TIMEOUT,
        hint="Take a smaller volume, or ask whoever runs the server for more (CRYOMAMBA_JOB_SECONDS).",
    )


def _too_large(nbytes: int) -> JobFailedError:
    return JobFailedError(
        f"The job needed more than the {nbytes / 1e9:,.1f} GB of memory that this server allows.",
        code=ErrorCode.OUT_OF_MEMORY,
        hint="Take a smaller volume, or ask whoever runs the server for more (CRYOMAMBA_JOB_MEMORY).",
    )
