"""Turns of requests without a token, so that however many there are, most of the gateway's time is left to the others.

One event loop serves everybody, and a request without a token costs its sender next to nothing: 47 kB are a thousand of
them. So they are served one after the other, and after each there is a pause three times as long as it took. A
connection has one place in the queue, whatever it has sent in advance (pipelining).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from cryomamba_gateway.access.auth import presented_token, presents_grant
from cryomamba_gateway.access.connections import CONNECTION, Connection
from cryomamba_server.tokens import TokenStore

# One that waits for the broker, or whose client reads slowly, keeps the others waiting no longer.
LONGEST_S: Final = 0.005
# In proportion to a turn: a quarter of the time is theirs.
PAUSE: Final = 3


class _HeldTurn:
    """A turn that is passed on once: a while after its end, or when it has lasted too long."""

    def __init__(self, pass_on: Callable[[], None]) -> None:
        self._pass_on = pass_on
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._limit: asyncio.TimerHandle | None = self._loop.call_later(LONGEST_S, self.end)

    def end(self) -> None:
        """Pass the turn on after a pause in proportion to it."""
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
            self._loop.call_later(PAUSE * (self._loop.time() - self._started), self._pass_on)


class Turns:
    """A queue of requests, of which one at a time is served. For one event loop."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[bool]] = deque()
        self._taken = False

    @asynccontextmanager
    async def turn(self, connection: Connection | None) -> AsyncIterator[bool]:
        """Wait for a turn and hold it.

        Yields
        ------
        bool
            False if the connection was closed meanwhile, so that there is nobody to answer.
        """
        if self._taken and not await self._wait(connection):
            yield False
            return
        self._taken = True
        held = _HeldTurn(self._pass_on)
        try:
            yield True
        finally:
            held.end()

    async def _wait(self, connection: Connection | None) -> bool:
        place: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        # It counts as unauthenticated as long as it waits, so the queue is bounded.
        with connection.waiting_in(place) if connection is not None else nullcontext():
            try:
                return await place
            except asyncio.CancelledError:
                # The turn may have come just before.
                if not place.cancelled() and place.done() and place.result():
                    self._pass_on()
                raise

    def _pass_on(self) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(True)
                return
        self._taken = False


class TurnMiddleware:
    """Lets requests without a token, also for a WebSocket, wait for their turn, where the gateway asks for tokens.

    A token that is presented is not waited for, unless the connection has only sent requests without a valid one.
    """

    def __init__(self, app: ASGIApp, *, turns: Turns, tokens: TokenStore) -> None:
        self.app = app
        self.turns = turns
        self.tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, at once or when it is its turn."""
        connection: Connection | None = scope.get(CONNECTION)
        if scope["type"] == "lifespan" or not self.tokens.enabled or self._is_trusted(scope, connection):
            await self.app(scope, receive, send)
            return
        async with self.turns.turn(connection) as served:
            if served:
                await self.app(scope, receive, send)

    def _is_trusted(self, scope: Scope, connection: Connection | None) -> bool:
        refused_before = connection is not None and connection.only_without_token
        return not refused_before and (presents_grant(scope) or presented_token(Headers(scope=scope)) is not None)
