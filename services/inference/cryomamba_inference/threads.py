"""One thread per tile: as many processes as cores compute already, and sums in another order would make other bytes."""

from __future__ import annotations

from contextlib import AbstractContextManager

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]


def one_thread() -> AbstractContextManager[object]:
    """Keep numerical libraries to one thread while the context lasts."""
    limits: AbstractContextManager[object] = threadpool_limits(1)
    return limits
