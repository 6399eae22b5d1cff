"""What follows when a key is taken away: requests are refused by themselves, subscriptions have to be cut.

A publishing socket cannot drop one subscriber, so it is closed and bound anew. Whoever still has a key is back by
itself within a moment and asks for the present state, as after any other cut.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from cryomamba.errors import UnavailableError

from .guard import Guard
from .publisher import EventPublisher
from .relay import PreviewRelay
from .sockets import BusSockets

LOOK_S: Final = 1.0
BIND_PAUSE_S: Final = 0.02
BIND_TRIES: Final = 250

logger = logging.getLogger(__name__)


class Revocation:
    """Cuts the subscriptions when a key has gone from the list.

    Parameters
    ----------
    guard : Guard
    sockets : BusSockets
    relay : PreviewRelay
    publisher : EventPublisher
    """

    def __init__(self, guard: Guard, sockets: BusSockets, relay: PreviewRelay, publisher: EventPublisher) -> None:
        self._guard = guard
        self._sockets = sockets
        self._relay = relay
        self._publisher = publisher

    async def run(self) -> None:
        """Look at the list once a second, for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._guard.take_revoked():
                await self._cut()
                logger.info("A key was revoked; subscriptions were cut and are made again by those that may.")

    async def _cut(self) -> None:
        self._publisher.use(self._sockets.renew_events())
        self._relay.use(self._sockets.renew_preview_out())
        for bind in (self._sockets.bind_events, self._sockets.bind_preview_out):
            await _until_bound(bind)


async def _until_bound(bind: Callable[[], None]) -> None:
    """Bind as soon as the system has let go of the address, which takes it a moment."""
    for _ in range(BIND_TRIES):
        try:
            bind()
        except UnavailableError:
            await asyncio.sleep(BIND_PAUSE_S)
        else:
            return
    bind()
