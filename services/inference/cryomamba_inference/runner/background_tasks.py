"""Work in a thread of its own, beside what its caller does meanwhile."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, Self, TypeVar

from cryomamba_inference.failures import cancelled_error

Answer = TypeVar("Answer")
Check = Callable[[], None]
_GLANCE_S = 0.05


class BackgroundTasks(Generic[Answer]):
    """Tasks that are done one after the other in a thread; a context manager, at whose end none is left.

    Parameters
    ----------
    tasks : sequence of callables
        Each is given a function to call often: it raises once nobody wants the answer any more.
    core : context manager, optional
        Entered by the thread while it works on a task.
    """

    def __init__(
        self, tasks: Sequence[Callable[[Check], Answer]], core: AbstractContextManager[object] | None = None
    ) -> None:
        self._core = core or nullcontext()
        self._dropped = threading.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="beside")
        self._coming: deque[Future[Answer]] = deque(self._pool.submit(self._do, task) for task in tasks)

    def finished(self) -> Iterator[Answer]:
        """Yield the answers that have come since the last time, in the order of the tasks; raises what a task did."""
        while self._coming and self._coming[0].done():
            yield self._coming.popleft().result()

    def rest(self, meanwhile: Callable[[], None]) -> Iterator[Answer]:
        """Yield all answers that are still to come; `meanwhile` is called often and may raise."""
        while self._coming:
            wait([self._coming[0]], _GLANCE_S)
            meanwhile()
            yield from self.finished()

    def _do(self, task: Callable[[Check], Answer]) -> Answer:
        with self._core:
            return task(self._check)

    def _check(self) -> None:
        if self._dropped.is_set():
            raise cancelled_error()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._dropped.set()
        self._pool.shutdown(cancel_futures=True)
