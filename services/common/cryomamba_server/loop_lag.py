"""How late an event loop is: the time by which a timer comes after it is due, because something held the loop up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

INTERVAL_S: Final = 0.5
# From an idle loop to one that clients take for dead.
BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


async def measure_loop_lag(observe: Callable[[float], None]) -> None:
    """Measure the lag of the running loop twice a second, forever.

    Parameters
    ----------
    observe : callable
        Called with each lag, in seconds.
    """
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + INTERVAL_S
        await asyncio.sleep(INTERVAL_S)
        observe(max(0.0, loop.time() - due))
