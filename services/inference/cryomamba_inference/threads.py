"""Threads: one per tile, and several for what is prepared before the first tile.

As many processes as cores compute tiles already, and sums in another order would make other bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from typing import TypeVar

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]


Item = TypeVar("Item")
Answer = TypeVar("Answer")


def one_thread() -> AbstractContextManager[object]:
    """Keep numerical libraries to one thread while the context lasts."""
    limits: AbstractContextManager[object] = threadpool_limits(1)
    return limits


def each(work: Callable[[Item], Answer], items: Iterable[Item], *, threads: int) -> list[Answer]:
    """Return ``work(item)`` for every item, in order; for few items that are all in memory."""
    if threads <= 1:
        return list(map(work, items))
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, items))


def run_all(tasks: Iterable[Callable[[], None]], *, threads: int, done: Callable[[int], None]) -> None:
    """Run tasks that do not depend on each other, in any order.

    Parameters
    ----------
    tasks : iterable of callables
        Taken in the calling thread, and only shortly before they run, so that what they hold stays little.
    threads : int
    done : callable
        Told in the calling thread how many are done; what it raises stops the rest.
    """
    count = 0
    with ThreadPoolExecutor(threads) as pool:
        running: set[Future[None]] = set()
        try:
            for task in tasks:
                running.add(pool.submit(task))
                if len(running) <= threads:
                    continue
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                count = _reap(finished, count, done)
            while running:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                count = _reap(finished, count, done)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _reap(finished: set[Future[None]], count: int, done: Callable[[int], None]) -> int:
    for future in finished:
        future.result()
    done(count + len(finished))
    return count + len(finished)
