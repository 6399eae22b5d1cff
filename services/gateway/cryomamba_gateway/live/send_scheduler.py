"""Large messages a few at a time, so that small ones and requests are served between them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

TURN_BYTES: Final = 1024 * 1024


class SendScheduler:
    """Lets so many bytes pass in each turn of the event loop; who comes later waits for the next, in order of arrival.

    A frame that two hundred clients watch makes two hundred sends ready at the same moment. Done in one turn of the
    loop, they hold up a change of state by the sum of their times; a few in each turn, by one of them. A message larger
    than a turn passes alone. For one event loop.

    Parameters
    ----------
    turn_bytes : int
    """

    def __init__(self, turn_bytes: int = TURN_BYTES) -> None:
        self._turn_bytes = turn_bytes
        self._spent = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._turning = False

    async def pass_through(self, nbytes: int) -> None:
        """Wait until a message of so many bytes may be sent."""
        loop = asyncio.get_running_loop()
        if not self._turning:
            self._turning = True
            loop.call_soon(self._turn)
        if not self._waiting and self._fits(nbytes):
            self._spent += nbytes
            return
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append((nbytes, turn))
        await turn

    def _fits(self, nbytes: int) -> bool:
        return not self._spent or self._spent + nbytes <= self._turn_bytes

    def _turn(self) -> None:
        self._spent = 0
        while self._waiting and self._fits(self._waiting[0][0]):
            nbytes, turn = self._waiting.popleft()
            # One that was cancelled meanwhile takes nothing.
            if not turn.done():
                self._spent += nbytes
                turn.set_result(None)
        self._turning = bool(self._spent)
        if self._turning:
            asyncio.get_running_loop().call_soon(self._turn)
