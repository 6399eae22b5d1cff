"""Tasks in a background thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from typing import Generic, Self, TypeVar

from cryomamba_inference.failures import cancelled_error

Result = TypeVar("Result")
Check = Callable[[], None]
_POLL_S = 0.05


class BackgroundTasks(Generic[Result]):
    """Runs tasks one after the other in a background thread; leaving the context cancels what is left.

    Parameters
    ----------
    tasks : sequence of callables
        Each takes a function that it must call often; that function raises once the task is cancelled.
    compute_slot : context manager, optional
        Entered by the thread while it runs a task.
    """

    def __init__(
        self, tasks: Sequence[Callable[[Check], Result]], compute_slot: AbstractContextManager[object] | None = None
    ) -> None:
        self._compute_slot = compute_slot or nullcontext()
        self._cancelled = threading.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="background")
        self._pending: deque[Future[Result]] = deque(
            # With the context of the caller, so that what a task logs names its job.
            self._pool.submit(copy_context().run, self._run, task)
            for task in tasks
        )

    def completed(self) -> Iterator[Result]:
        """Yield the results that are new since the last call, in the order of the tasks; re-raises a task's error."""
        while self._pending and self._pending[0].done():
            yield self._pending.popleft().result()

    def wait_for_all(self, meanwhile: Callable[[], None]) -> Iterator[Result]:
        """Yield all results that are still to come; `meanwhile` is called often and may raise."""
        while self._pending:
            wait([self._pending[0]], _POLL_S)
            meanwhile()
            yield from self.completed()

    def _run(self, task: Callable[[Check], Result]) -> Result:
        with self._compute_slot:
            return task(self._check)

    def _check(self) -> None:
        if self._cancelled.is_set():
            raise cancelled_error()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._cancelled.set()
        self._pool.shutdown(cancel_futures=True)
