"""Limits of one attempt at a job: memory of its processes, and time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from cryomamba.errors import CryoMambaError, ErrorCode, JobFailedError
from cryomamba.settings import Settings

# Short enough that a process that allocates a gigabyte per second is killed close to its limit.
POLL_S = 0.1


def resident_nbytes(pid: int) -> int:
    """Return the resident memory of a process and its descendants in bytes; 0 if it has ended or cannot be measured.

    Shared memory, such as tiles in transit and libraries, is counted once. Without a free descriptor nothing can be
    measured.
    """
    own, shared = 0, 0
    with suppress(psutil.Error, OSError):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                memory = process.memory_info()
                common = getattr(memory, "shared", 0)
                own += memory.rss - common
                shared = max(shared, common)
    return own + shared


async def exceeded(settings: Settings, pid: int, *, measure: Callable[[int], int] = resident_nbytes) -> CryoMambaError:
    """Wait until an attempt that starts now exceeds a limit of the settings, and return the error for it.

    Without limits it waits for ever. Memory is sampled ten times per second; shorter peaks go unnoticed.

    Parameters
    ----------
    pid : int
        The child process.
    measure : callable
        Returns the resident memory of a process and its descendants; called in a thread.
    """
    until = time.monotonic() + settings.job_seconds
    while settings.job_seconds or settings.job_memory:
        if settings.job_seconds and time.monotonic() > until:
            return JobFailedError(
                f"The job exceeded the time limit of this server, {settings.job_seconds:,.0f} s.",
                code=ErrorCode.TIMEOUT,
                hint="Use a smaller volume, or ask the administrator of the server to raise CRYOMAMBA_JOB_SECONDS.",
            )
        if settings.job_memory and await asyncio.to_thread(measure, pid) > settings.job_memory:
            return JobFailedError(
                f"The job exceeded the memory limit of this server, {settings.job_memory / 1e9:,.1f} GB.",
                code=ErrorCode.OUT_OF_MEMORY,
                hint="Use a smaller volume, or ask the administrator of the server to raise CRYOMAMBA_JOB_MEMORY.",
            )
        await asyncio.sleep(POLL_S)
    never: asyncio.Future[CryoMambaError] = asyncio.get_running_loop().create_future()
    return await never
