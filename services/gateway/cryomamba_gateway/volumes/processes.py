"""Helper processes that run functions for the gateway.

What holds the interpreter lock there cannot delay the event loop. Each thread of the pool has a process of its own,
which is started when it is needed, and again if it has died.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, Final, ParamSpec, TypeVar

from cryomamba.errors import UnavailableError
from cryomamba_server.process_lifetime import die_with_parent, leave_signals_to_parent, uninterrupted_start

_JOIN_S: Final = 2.0
P = ParamSpec("P")
T = TypeVar("T")


class Processes:
    """A pool of helper processes. For one event loop.

    Parameters
    ----------
    count : int
        Processes at most.
    name : str
    prepare : callable
        Runs first in each process; a function of a module, or a ``partial`` of one.
    nice : int
        By how much they leave the processor to other processes, from 0 to 19; not on Windows.
    """

    def __init__(self, count: int, name: str, prepare: Callable[[], None], *, nice: int = 0) -> None:
        self._threads = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._name = name
        self._prepare = prepare
        self._nice = nice
        self._own = threading.local()
        self._lock = threading.Lock()
        self._running: set[_HelperProcess] = set()
        self._closed = False

    def start(self) -> None:
        """Start a process, unless one is running, without waiting for it."""
        if not self._running:
            self._threads.submit(self._process)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function of a module in one of the processes.

        Raises
        ------
        UnavailableError
            The process died.
        Exception
            As the function raises.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._call, function, args, kwargs)

    def _call(self, function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        process = self._process()
        try:
            done, result = process.call(function, args, kwargs)
        except (EOFError, OSError):
            self._own.process = None
            with self._lock:
                self._running.discard(process)
                process.end()
            raise UnavailableError(
                "A process that was reading the volume ended unexpectedly.", hint="Try again.", retryable=True
            ) from None
        if not done:
            raise result
        found: T = result
        return found

    def _process(self) -> _HelperProcess:
        """Return the process of this thread."""
        found: _HelperProcess | None = getattr(self._own, "process", None)
        if found is None:
            with self._lock:
                if self._closed:
                    raise UnavailableError("The gateway is shutting down.", retryable=True)
                found = _HelperProcess(self._name, self._prepare, self._nice)
                self._running.add(found)
            self._own.process = found
        return found

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        with self._lock:
            self._closed = True
            for process in self._running:
                process.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for process in self._running:
            process.end()
        self._running.clear()


class _HelperProcess:
    """One process; :meth:`call` belongs to one thread."""

    def __init__(self, name: str, prepare: Callable[[], None], nice: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe(duplex=True)
        arguments = theirs, os.getpid(), prepare, nice
        self._process: SpawnProcess = context.Process(target=_serve, args=arguments, name=name, daemon=True)
        with uninterrupted_start():
            self._process.start()
        theirs.close()

    def call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[bool, Any]:
        """Return whether the function has returned, and what it has returned or raised."""
        self._pipe.send((function, args, kwargs))
        done, result = self._pipe.recv()
        return done, result

    def kill(self) -> None:
        """End the process; a call under way raises ``EOFError``."""
        self._process.kill()

    def end(self) -> None:
        """Release everything."""
        self._process.kill()
        self._process.join(_JOIN_S)
        self._pipe.close()
        # A read from a disk that does not answer cannot be ended.
        with suppress(ValueError):
            self._process.close()


def _serve(pipe: Connection, parent: int, prepare: Callable[[], None], nice: int) -> None:
    """Run functions until the pipe is closed."""
    die_with_parent(parent)
    leave_signals_to_parent()
    if sys.platform != "win32" and nice:
        os.nice(nice)
    with suppress(EOFError, OSError):
        prepare()
        while True:
            function, args, kwargs = pipe.recv()
            pipe.send(_result(function, args, kwargs))


def _result(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[bool, Any]:
    try:
        return True, function(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 (raised again by the caller)
        return False, error
