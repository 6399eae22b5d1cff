"""Delivers messages to webhooks: claims them from the broker, sends them, and reports what became of them."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from cryomamba.access.visibility import Visibility
from cryomamba.client import webhook_calls
from cryomamba.errors import CryoMambaError, UnavailableError
from cryomamba.models.webhooks import SignedDelivery
from cryomamba.wire.webhook_requests import DeliveryResult
from cryomamba_gateway.bus_connection import BusConnection
from cryomamba_gateway.webhooks.sender import TryResult, WebhookSender
from cryomamba_server.tokens import Scope, TokenStore

# Twice as many as the broker lends for one owner (DeliveryPolicy.per_owner).
CONCURRENT: Final = 8
_BROKER_PAUSE_S: Final = 2.0
# As long as the broker lends a delivery to nobody else, at least.
_REPORT_S: Final = 20.0
_REPORT_PAUSE_S: Final = 0.5
_EVERYTHING: Final = Visibility.everything()

logger = logging.getLogger(__name__)


class WebhookDelivery:
    """The task that delivers messages, several at a time; other gateways of the same broker share the work.

    Parameters
    ----------
    bus : BusConnection
    tokens : TokenStore
        Nothing is sent on behalf of an owner whose tokens are no longer valid.
    sender : WebhookSender
    """

    def __init__(self, bus: BusConnection, tokens: TokenStore, sender: WebhookSender) -> None:
        self._bus, self._tokens, self._sender = bus, tokens, sender

    async def run(self) -> None:
        """Deliver messages, forever."""
        await asyncio.gather(*(self._deliver_all() for _ in range(CONCURRENT)))

    async def _deliver_all(self) -> None:
        while True:
            try:
                claimed = await self._bus.call(_EVERYTHING, webhook_calls.claim_delivery())
                if claimed.delivery is not None:
                    await self._deliver(claimed.delivery)
            except CryoMambaError as error:
                # The lease of a delivery ends by itself.
                logger.debug("Messages to webhooks are not delivered at the moment: %s", error)
                await asyncio.sleep(_BROKER_PAUSE_S)
            except Exception:
                logger.exception("Delivering a message to a webhook failed because of a defect; others are delivered.")
                await asyncio.sleep(_BROKER_PAUSE_S)

    async def _deliver(self, delivery: SignedDelivery) -> None:
        problem = await asyncio.to_thread(self._problem_of_owner, delivery)
        result = TryResult("gone", error=problem) if problem else await self._send(delivery)
        # Neither path nor query of the URL is logged: some receivers have a secret there.
        about: dict[str, object] = {"webhook_id": delivery.webhook_id, "delivery_id": delivery.delivery_id}
        if result.status is not None:
            about["status"] = result.status
        if result.outcome == "delivered":
            logger.info("A message to webhook %s was delivered.", delivery.webhook_id, extra=about)
        else:
            logger.info("A message to webhook %s failed: %s", delivery.webhook_id, result.error, extra=about)
        report = DeliveryResult(
            delivery=delivery.delivery_id,
            claim=delivery.claim,
            outcome=result.outcome,
            status=result.status,
            error=result.error,
            retry_after_s=result.retry_after_s,
        )
        await self._report(report)

    async def _send(self, delivery: SignedDelivery) -> TryResult:
        try:
            return await self._sender.send(delivery)
        except Exception:
            # It counts as a try, so that a message which nobody can send does not come again without end.
            logger.exception("A message to webhook %s failed with an unexpected error.", delivery.webhook_id)
            return TryResult("failed", error="The server failed with an unexpected error; see the log of its gateway.")

    async def _report(self, result: DeliveryResult) -> None:
        """Report a result, again while the broker restarts: otherwise what was delivered would be sent again."""
        deadline = asyncio.get_running_loop().time() + _REPORT_S
        while True:
            try:
                await self._bus.call(_EVERYTHING, webhook_calls.report_delivery(result))
            except UnavailableError:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(_REPORT_PAUSE_S)
            else:
                return

    def _problem_of_owner(self, delivery: SignedDelivery) -> str:
        """Return why the owner of a webhook gets nothing any more; empty if there is no reason. Reads files."""
        if not self._tokens.enabled or delivery.registered_by == "key":
            return ""
        if delivery.registered_by == "nobody":
            return "It was registered when the server required no tokens."
        scope = Scope.ADMIN if delivery.everything else Scope.READ
        if self._tokens.has_valid(delivery.owner, scope):
            return ""
        return "Its owner has no valid token that may register it."
