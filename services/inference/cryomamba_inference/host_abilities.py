"""What this machine offers a job besides engines: memory, graphics processors, and the folders that it can read."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass

import psutil

from cryomamba.errors import CryoMambaError
from cryomamba.settings import Settings
from cryomamba_server.gpus import list_gpus

_FOLDERS_MAX = 32
_GPUS_MAX = 16

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HostAbilities:
    """What a worker tells the broker of its machine.

    Attributes
    ----------
    memory_bytes : int
        Memory that one job may use: the limit of the settings, or the machine's divided by the slots.
    gpus : tuple of str
        Names of the graphics processors.
    folders : tuple of str
        The allowed input directories that can be read.
    """

    memory_bytes: int = 0
    gpus: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()

    @classmethod
    def measure(cls, settings: Settings) -> HostAbilities:
        """Look at this machine; blocks for up to 10 s."""
        memory = int(psutil.virtual_memory().total) // settings.slots
        try:
            gpus = tuple(gpu.name[:100] for gpu in list_gpus()[:_GPUS_MAX])
        except CryoMambaError as error:
            log.warning("The graphics processors are not known: %s", error)
            gpus = ()
        readable = (str(root) for root in settings.roots if os.access(root, os.R_OK | os.X_OK))
        folders = tuple(root for root in readable if len(root) <= 1024)[:_FOLDERS_MAX]
        return cls(min(memory, settings.job_memory) if settings.job_memory else memory, gpus, folders)
