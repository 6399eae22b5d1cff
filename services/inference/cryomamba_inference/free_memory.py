"""Returns freed memory to the operating system."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

_LIBRARY = ctypes.CDLL(None) if sys.platform == "linux" else None
_MALLOC_TRIM = getattr(_LIBRARY, "malloc_trim", None)
_MALLOPT = getattr(_LIBRARY, "mallopt", None)
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Options of glibc's ``mallopt``, see malloc.h."""
_FREE_NBYTES: Final = 16 * 1024**2
"""Of the heap, what may stay free, and the least block that is no part of it; by ``benchmarks/torch_peers.py``."""


def release_free_memory() -> None:
    """Return freed memory to the system; does nothing where the C library (other than glibc) does so by itself.

    After a stage with large arrays, glibc keeps some hundred MB that the next stage, with arrays of other sizes,
    cannot reuse.
    """
    if _MALLOC_TRIM is not None:
        _MALLOC_TRIM(0)


def keep_little_free_memory() -> None:
    """Return large blocks to the system as soon as they are freed, for the rest of the process; glibc alone has this.

    Networks allocate blocks of ever other sizes in several threads, and glibc by default keeps what was freed, for each
    thread by itself.
    """
    if _MALLOPT is not None:
        _MALLOPT(_TRIM_THRESHOLD, _FREE_NBYTES)
        _MALLOPT(_MMAP_THRESHOLD, _FREE_NBYTES)
        _MALLOPT(_ARENA_MAX, 1)
