"""Spreads large messages over several turns of the event loop, so that small ones are served in between."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

TURN_BYTES: Final = 1024 * 1024


class SendScheduler:
    """Allows a number of bytes in each turn of the event loop; later senders wait for the next turn, in order.

    A frame with two hundred clients makes two hundred sends ready at the same moment. All in one turn, they would
    delay a change of state by the sum of their times; spread over turns, by a few of them. A message larger than
    `turn_bytes` gets a turn of its own. For one event loop.

    Parameters
    ----------
    turn_bytes : int
    """

    def __init__(self, turn_bytes: int = TURN_BYTES) -> None:
        self._turn_bytes = turn_bytes
        self._used = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._scheduled = False

    async def acquire(self, nbytes: int) -> None:
        """Wait until a message of `nbytes` may be sent."""
        loop = asyncio.get_running_loop()
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._next_turn)
        if not self._waiting and self._fits(nbytes):
            self._used += nbytes
            return
        granted: asyncio.Future[None] = loop.create_future()
        self._waiting.append((nbytes, granted))
        await granted

    def _fits(self, nbytes: int) -> bool:
        return not self._used or self._used + nbytes <= self._turn_bytes

    def _next_turn(self) -> None:
        self._used = 0
        while self._waiting and self._fits(self._waiting[0][0]):
            nbytes, granted = self._waiting.popleft()
            # A cancelled sender uses nothing.
            if not granted.done():
                self._used += nbytes
                granted.set_result(None)
        self._scheduled = bool(self._used)
        if self._scheduled:
            asyncio.get_running_loop().call_soon(self._next_turn)
