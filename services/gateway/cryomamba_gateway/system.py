"""Information on the machine that runs the gateway."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil

from cryomamba_gateway.models import Gpu, SystemInfo

_NVIDIA_SMI_S = 3.0
_MIB = 1024 * 1024


async def system_info() -> SystemInfo:
    """Return the machine's platform, processors and GPUs."""
    return SystemInfo(
        platform=platform.platform(),
        python=platform.python_version(),
        architecture=platform.machine(),
        cpu_count=os.cpu_count() or 1,
        gpus=await _gpus(),
    )


async def _gpus() -> tuple[Gpu, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            "--query-gpu=name,memory.total",
            "--format=csv,noheader,nounits",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return ()
    try:
        async with asyncio.timeout(_NVIDIA_SMI_S):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return ()
    return parse_gpus(output.decode("utf-8", "replace"))


def parse_gpus(listing: str) -> tuple[Gpu, ...]:
    """Take apart lines of ``name, mebibytes``; others are left out."""
    found = []
    for line in listing.splitlines():
        name, separator, memory = line.rpartition(",")
        if separator and memory.strip().isdecimal():
            found.append(Gpu(name=name.strip(), memory_bytes=int(memory) * _MIB))
    return tuple(found)
