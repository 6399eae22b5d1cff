"""The NVIDIA GPUs of this machine."""

from __future__ import annotations

import shutil
import subprocess
from typing import Final, NamedTuple

from cryomamba.errors import UnavailableError

_TIMEOUT_S: Final = 10.0
_MIB: Final = 1024 * 1024


class GpuInfo(NamedTuple):
    """A GPU with its memory in bytes."""

    name: str
    memory_bytes: int


def list_gpus() -> list[GpuInfo]:
    """Return the GPUs that ``nvidia-smi`` lists; none where that program is not installed. Blocks for up to 10 s.

    Raises
    ------
    UnavailableError
        ``nvidia-smi`` fails or does not respond.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        # The program is the one on the PATH, its arguments are constants.
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=True)  # noqa: S603  # nosec B603
    except (OSError, subprocess.SubprocessError):
        raise UnavailableError("'nvidia-smi' fails or does not respond.", hint="Check the NVIDIA driver.") from None
    return parse_gpus(done.stdout.decode("utf-8", "replace"))


def parse_gpus(listing: str) -> list[GpuInfo]:
    """Parse lines of ``name, mebibytes``; other lines are skipped."""
    gpus = []
    for line in listing.splitlines():
        name, separator, memory = line.rpartition(",")
        if separator and memory.strip().isdecimal():
            gpus.append(GpuInfo(name.strip(), int(memory) * _MIB))
    return gpus
