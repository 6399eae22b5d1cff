"""Threads: one per tile, several while an engine is prepared.

Tiles are computed by as many processes as there are cores, and another order of summation would change the result.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TypeVar

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

_POLL_S = 0.1

Item = TypeVar("Item")
Output = TypeVar("Output")


def one_thread() -> AbstractContextManager[object]:
    """Limit numerical libraries to one thread inside the context."""
    limits: AbstractContextManager[object] = threadpool_limits(1)
    return limits


@dataclass(frozen=True, slots=True)
class ThreadTeam:
    """Threads that share work, each in the `compute_slot`; the result does not depend on their number."""

    threads: int = 1
    compute_slot: AbstractContextManager[object] = field(default_factory=nullcontext)

    def map(self, function: Callable[[Item], Output], items: Iterable[Item]) -> list[Output]:
        """Return ``function(item)`` for every item, in order; for few items that fit into memory."""
        if self.threads <= 1:
            return list(map(function, items))

        def compute(item: Item) -> Output:
            with self.compute_slot:
                return function(item)

        with ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(compute, items))

    def run(self, tasks: Iterable[Callable[[], None]], report: Callable[[int], None]) -> None:
        """Run independent tasks, in any order.

        Parameters
        ----------
        tasks : iterable of callables
            Consumed in the calling thread, each task shortly before it runs, so that few are in memory.
        report : callable
            Called often in the calling thread with the number of finished tasks; an exception cancels the rest.
        """
        count = 0
        with ThreadPoolExecutor(self.threads) as pool:
            running: set[Future[None]] = set()
            try:
                for task in tasks:
                    running.add(pool.submit(self._run, task))
                    while len(running) > self.threads:
                        running, count = _collect(running, count, report)
                while running:
                    running, count = _collect(running, count, report)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _run(self, task: Callable[[], None]) -> None:
        with self.compute_slot:
            task()


SINGLE_THREADED = ThreadTeam()


class Tally:
    """A sum that any thread may add to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.total = 0

    def add(self, count: int) -> None:
        """Add a number to the total."""
        with self._lock:
            self.total += count


def _collect(running: set[Future[None]], count: int, report: Callable[[int], None]) -> tuple[set[Future[None]], int]:
    finished, left = wait(running, _POLL_S, return_when=FIRST_COMPLETED)
    for future in finished:
        future.result()
    report(count + len(finished))
    return left, count + len(finished)
