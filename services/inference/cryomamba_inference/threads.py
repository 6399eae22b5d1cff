"""Threads: one per tile, and several for what is prepared before the first tile.

As many processes as cores compute tiles already, and sums in another order would make other bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TypeVar

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

_GLANCE_S = 0.1

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def one_thread() -> AbstractContextManager[object]:
    """Keep numerical libraries to one thread while the context lasts."""
    limits: AbstractContextManager[object] = threadpool_limits(1)
    return limits


@dataclass(frozen=True, slots=True)
class ThreadTeam:
    """Threads that share out work; the answer does not depend on how many there are.

    Attributes
    ----------
    threads : int
    core : context manager
        Each thread enters it while it computes; see :class:`~cryomamba.engines.api.VolumeContext`.
    """

    threads: int = 1
    core: AbstractContextManager[object] = field(default_factory=nullcontext)

    def map(self, work: Callable[[Item], Answer], items: Iterable[Item]) -> list[Answer]:
        """Return ``work(item)`` for every item, in order; for few items that are all in memory."""
        if self.threads <= 1:
            return list(map(work, items))

        def computed(item: Item) -> Answer:
            with self.core:
                return work(item)

        with ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(computed, items))

    def run(self, tasks: Iterable[Callable[[], None]], done: Callable[[int], None]) -> None:
        """Run tasks that do not depend on each other, in any order.

        Parameters
        ----------
        tasks : iterable of callables
            Taken in the calling thread, and only shortly before they run, so that what they hold stays little.
        done : callable
            Told often in the calling thread how many are done; what it raises stops the rest.
        """
        count = 0
        with ThreadPoolExecutor(self.threads) as pool:
            running: set[Future[None]] = set()
            try:
                for task in tasks:
                    running.add(pool.submit(self._compute, task))
                    while len(running) > self.threads:
                        running, count = _reap(running, count, done)
                while running:
                    running, count = _reap(running, count, done)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _compute(self, task: Callable[[], None]) -> None:
        with self.core:
            task()


SINGLE_THREADED = ThreadTeam()


def _reap(running: set[Future[None]], count: int, done: Callable[[int], None]) -> tuple[set[Future[None]], int]:
    finished, left = wait(running, _GLANCE_S, return_when=FIRST_COMPLETED)
    for future in finished:
        future.result()
    done(count + len(finished))
    return left, count + len(finished)
