"""Dropping the subscriptions of a key that was revoked; its requests are refused anyway.

A publishing socket cannot drop a single subscriber, so it is closed and bound again. All others reconnect within a
moment and receive the current state, as after any other disconnect.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from cryomamba_broker.authenticator import BusAuthenticator
from cryomamba_broker.preview_relay import PreviewRelay
from cryomamba_broker.publisher import EventPublisher

CHECK_INTERVAL_S: Final = 1.0

logger = logging.getLogger(__name__)


class Revocation:
    """Drops all subscriptions when a key was revoked."""

    def __init__(self, authenticator: BusAuthenticator, relay: PreviewRelay, publisher: EventPublisher) -> None:
        self._authenticator, self._relay, self._publisher = authenticator, relay, publisher

    async def run(self) -> None:
        """Check the list of keys once a second, forever."""
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            if self._authenticator.pop_revoked():
                self._publisher.drop_subscriptions()
                self._relay.drop_subscriptions()
                logger.info("A key was revoked; all subscribers were disconnected, those with valid keys reconnect.")
