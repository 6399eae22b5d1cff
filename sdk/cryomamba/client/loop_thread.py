"""An event loop in a thread of its own, for callers that are not asynchronous."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

from cryomamba.errors import UnavailableError

R = TypeVar("R")

_CANCEL_S = 5.0


class _Call(Generic[R]):
    """A coroutine that the loop's thread runs while another thread waits for it.

    A signal handler may raise an exception between any two bytecodes of the waiting thread. A ``concurrent`` future
    would not survive that: its condition variable turns the exception into a ``RuntimeError``. A ``SimpleQueue`` does.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, R]) -> None:
        self._coroutine = coroutine
        self._task: asyncio.Task[R] | None = None
        self._results: list[R] = []
        self._error: BaseException | None = None
        self._ended: queue.SimpleQueue[None] = queue.SimpleQueue()

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._coroutine)
        self._task.add_done_callback(self._finish)

    def cancel(self) -> None:
        """Cancel the coroutine, whether it has started or not; in the loop's thread."""
        if self._task is not None:
            self._task.cancel()
        else:
            # It has not started, or it ended when the signal arrived.
            self._coroutine.close()
            self._ended.put(None)

    def _finish(self, task: asyncio.Task[R]) -> None:
        # The waiting thread must not free the task: an exception that a signal raises meanwhile would be lost.
        self._task = None
        if task.cancelled():
            self._error = UnavailableError("The client was closed during this call.")
        elif (error := task.exception()) is not None:
            self._error = error
        else:
            self._results.append(task.result())
        self._ended.put(None)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the coroutine has ended, in the waiting thread; raise ``queue.Empty`` after `timeout` seconds."""
        self._ended.get(timeout=timeout)

    def result(self) -> R:
        """Return the result or raise the error; after :meth:`wait`."""
        if self._error is not None:
            try:
                raise self._error
            finally:
                # Its traceback refers to this call, which would refer to it in turn.
                self._error = None
        return self._results[0]


class LoopThread:
    """An event loop in a daemon thread; :meth:`run` may be called from any other thread."""

    def __init__(self, name: str = "cryomamba-client") -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Run a coroutine in the loop's thread and wait for it.

        An exception that a signal handler raises in this thread meanwhile, such as ``KeyboardInterrupt``, cancels it.

        Raises
        ------
        UnavailableError
            Another thread closed the client meanwhile.
        RuntimeError
            The loop is closed.
        """
        if self.loop.is_closed():
            coroutine.close()
            raise RuntimeError("The event loop of the client is closed.")
        call = _Call(coroutine)
        try:
            self.loop.call_soon_threadsafe(call.start)
            call.wait()
        except BaseException:
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(call.cancel)
            # Until it has ended: a generator in the middle of a step cannot be closed.
            with contextlib.suppress(queue.Empty):
                call.wait(_CANCEL_S)
            raise
        return call.result()

    def _run(self) -> None:
        self.loop.run_forever()
        # As `asyncio.run` does: a task that is only forgotten leaves its coroutine in the middle of a step.
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))

    def stop(self) -> None:
        """Cancel all tasks, and stop the loop and its thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
