"""What follows when a key is taken away: requests are refused by themselves, subscriptions have to be cut.

A publishing socket cannot drop one subscriber, so it is closed and bound anew. Whoever still has a key is back by
itself within a moment and asks for the present state, as after any other cut.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from cryomamba_broker.authenticator import BusAuthenticator
from cryomamba_broker.publisher import EventPublisher
from cryomamba_broker.relay import PreviewRelay

LOOK_S: Final = 1.0

logger = logging.getLogger(__name__)


class Revocation:
    """Cuts the subscriptions when a key has gone from the list.

    Parameters
    ----------
    guard : Guard
    relay : PreviewRelay
    publisher : EventPublisher
    """

    def __init__(self, guard: BusAuthenticator, relay: PreviewRelay, publisher: EventPublisher) -> None:
        self._guard = guard
        self._relay = relay
        self._publisher = publisher

    async def run(self) -> None:
        """Look at the list once a second, for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._guard.take_revoked():
                self._publisher.cut()
                self._relay.cut()
                logger.info("A key was revoked; subscriptions were cut and are made again by those that may.")
