"""How many tomograms are segmented at once on this machine, and with how many processes each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NBYTES_PER_PROCESS: Final = 1 << 30
"""Memory that a run is taken to need for each of its processes: docs/operations/capacity.md has what was measured."""
SERVER_SLOTS: Final = 4
"""Jobs that a session keeps on a server at once: so many that workers never wait for an upload or a download."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """How work is divided.

    Attributes
    ----------
    slots : int
        Tomograms at once.
    processes : int
        Processes for each of them.
    """

    slots: int
    processes: int = 1


def local_capacity(cores: int, free_nbytes: int, tomograms: int | None, slots: int | None = None) -> Capacity:
    """Divide the cores of this machine among tomograms, as far as memory allows.

    A tomogram on one core wastes none of it, so as many tomograms as possible run at once.

    Parameters
    ----------
    cores : int
    free_nbytes : int
        Memory that is available.
    tomograms : int or None
        How many there are; None if more may come.
    slots : int, optional
        Tomograms at once, if somebody has decided that.
    """
    processes = max(min(cores, free_nbytes // NBYTES_PER_PROCESS), 1)
    if slots is None:
        slots = min(processes, max(tomograms or processes, 1))
    return Capacity(slots, max(processes // slots, 1))


def available_nbytes() -> int:
    """Return the memory of this machine that programs can still use, in bytes."""
    from cryomamba.optional_imports import requires_extra

    with requires_extra("inference"):
        import psutil
    return int(psutil.virtual_memory().available)
