"""A thread that alone uses some sockets, and a socket through which others tell it something."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final

import zmq

STOP: Final = b"stop"
DROP: Final = b"drop"
WAKE: Final = b"wake"


class SocketThread:
    """Runs `work` in a thread of its own.

    Parameters
    ----------
    context : zmq.Context
        That of the sockets that `work` uses.
    name : str
    work : callable
        Called in the thread with the socket that receives the signals; it must return after `STOP`.
    """

    def __init__(self, context: zmq.Context[Any], name: str, work: Callable[[zmq.Socket[bytes]], None]) -> None:
        self._context, self._name, self._work = context, name, work
        self._signals: zmq.Socket[bytes] | None = None

    async def run(self) -> None:
        """Work until cancelled; the thread has ended when this returns."""
        address = f"inproc://{self._name}-{id(self)}"
        signals: zmq.Socket[bytes] = zmq.Socket(self._context, zmq.PAIR)
        with ThreadPoolExecutor(1, thread_name_prefix=self._name) as thread, signals:
            signals.bind(address)
            self._signals = signals
            working = asyncio.get_running_loop().run_in_executor(thread, self._run_work, address)
            try:
                await asyncio.shield(working)
            finally:
                self._signals = None
                with suppress(zmq.Again):
                    signals.send(STOP, zmq.NOBLOCK)

    def signal(self, message: bytes) -> None:
        """Send a signal, for the event loop; nothing while the thread does not run."""
        if self._signals is not None:
            with suppress(zmq.Again):
                self._signals.send(message, zmq.NOBLOCK)

    def _run_work(self, address: str) -> None:
        signals: zmq.Socket[bytes] = zmq.Socket(self._context, zmq.PAIR)
        with signals:
            signals.connect(address)
            self._work(signals)
