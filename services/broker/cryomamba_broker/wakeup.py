"""Waiting until there may be something new, or until a deadline; for one event loop."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Wakeup:
    """A waiting task's side: somebody else wakes it, also before it begins to wait."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Let the task look again."""
        self._woken.set()

    async def wait(self, deadline: float) -> bool:
        """Wait to be woken until `deadline` (in the loop's time); False if that passed first."""
        try:
            async with asyncio.timeout_at(deadline):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True


class Waiters:
    """All that wait for the same thing, and are woken together."""

    def __init__(self) -> None:
        self._waiting: set[Wakeup] = set()

    @contextmanager
    def waiting(self) -> Iterator[Wakeup]:
        """Register somebody who waits."""
        wakeup = Wakeup()
        self._waiting.add(wakeup)
        try:
            yield wakeup
        finally:
            self._waiting.discard(wakeup)

    def wake_all(self) -> None:
        """Let all of them look again."""
        for wakeup in self._waiting:
            wakeup.wake()


class PendingRenewals:
    """The renewals of leases that are not answered yet, by job: they are woken when the job changes."""

    def __init__(self) -> None:
        self._by_job: defaultdict[str, set[Wakeup]] = defaultdict(set)

    @contextmanager
    def waiting(self, job_id: str) -> Iterator[Wakeup]:
        """Register a renewal while it is served."""
        wakeup = Wakeup()
        self._by_job[job_id].add(wakeup)
        try:
            yield wakeup
        finally:
            self._by_job[job_id].discard(wakeup)
            if not self._by_job[job_id]:
                del self._by_job[job_id]

    def wake(self, job_id: str) -> None:
        """Let the worker of a job know that it was cancelled, focused elsewhere or changed otherwise."""
        for wakeup in self._by_job.get(job_id, ()):
            wakeup.wake()
