"""Information on the machine that runs the gateway."""

from __future__ import annotations

import asyncio
import os
import platform

from cryomamba.errors import UnavailableError
from cryomamba_gateway.models import Gpu, SystemInfo
from cryomamba_server.gpus import list_gpus


async def system_info() -> SystemInfo:
    """Return operating system, processors and GPUs."""
    try:
        gpus = await asyncio.to_thread(list_gpus)
    except UnavailableError:
        gpus = []
    return SystemInfo(
        platform=platform.platform(),
        python=platform.python_version(),
        architecture=platform.machine(),
        cpu_count=os.cpu_count() or 1,
        gpus=tuple(Gpu(name=one.name, memory_bytes=one.memory_bytes) for one in gpus),
    )
