"""Returns freed memory to the operating system."""

from __future__ import annotations

import ctypes
import sys

_MALLOC_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


def release_free_memory() -> None:
    """Return freed memory to the system; does nothing where the C library (other than glibc) does so by itself.

    After a stage with large arrays, glibc keeps some hundred MB that the next stage, with arrays of other sizes,
    cannot reuse.
    """
    if _MALLOC_TRIM is not None:
        _MALLOC_TRIM(0)
