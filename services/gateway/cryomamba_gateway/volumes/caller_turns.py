"""Turns at a shared resource: each caller has a few at a time, the rest of its requests waits. For one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class CallerTurns:
    """Limits how much of a resource one caller can occupy, so that another one never waits behind all of its requests.

    Parameters
    ----------
    per_caller : int
        Turns of each caller at a time.
    """

    def __init__(self, per_caller: int) -> None:
        self._per_caller = per_caller
        self._callers: dict[str, tuple[asyncio.Semaphore, int]] = {}

    @asynccontextmanager
    async def turn(self, caller: str) -> AsyncIterator[None]:
        """Wait for a turn and hold it."""
        semaphore, users = self._callers.get(caller, (asyncio.Semaphore(self._per_caller), 0))
        self._callers[caller] = semaphore, users + 1
        try:
            async with semaphore:
                yield
        finally:
            semaphore, users = self._callers.pop(caller)
            if users > 1:
                self._callers[caller] = semaphore, users - 1
