"""Memory that is free in this process, given back to the system."""

from __future__ import annotations

import ctypes
import sys

_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


def release_free_memory() -> None:
    """Give back what was freed; the C library (glibc; others do so by themselves) keeps it for later.

    After a stage with large arrays that is some hundred MB, which the next stage, with arrays of other sizes, takes
    besides.
    """
    if _TRIM is not None:
        _TRIM(0)
