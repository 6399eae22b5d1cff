"""Orderly shutdown: SIGTERM and Ctrl-C set an event, and the service's own code cleans up."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_on_signals() -> Iterator[asyncio.Event]:
    """Give an event that SIGTERM or SIGINT sets; for the main thread, inside a running event loop.

    Without it, SIGTERM would end the process before any ``finally`` block runs.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    before = {number: signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set)) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_service(main: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Run ``main(stop)`` in a new event loop, with signals that set ``stop``.

    ZeroMQ needs a loop that watches file descriptors, which is not the default one on Windows.
    """

    async def with_signals() -> None:
        with stop_on_signals() as stop:
            await main(stop)

    factory = asyncio.SelectorEventLoop if sys.platform == "win32" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(with_signals())
