"""Handlers of the requests about webhooks, and of those with which gateways deliver the messages to them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from cryomamba.errors import AccessError
from cryomamba.models.webhooks import ClaimedDelivery, CreatedWebhook, SignedDelivery, WebhookRequest
from cryomamba.wire import messages
from cryomamba.wire.webhook_requests import DeliveryClaim, DeliveryResult, WebhookListRequest, WebhookRef
from cryomamba_broker.authenticator import BusAuthenticator
from cryomamba_broker.core import Core
from cryomamba_broker.dispatch import Answer, Caller, Handler
from cryomamba_broker.store.deliveries import DueDelivery
from cryomamba_broker.webhook_secrets import WebhookSecrets
from cryomamba_server.webhook_addresses import WebhookPolicy
from cryomamba_server.webhook_signing import shown_secret, signed_headers

# Wall clock and steady clock may disagree about when something is due.
_SHORTEST_WAIT_S: Final = 0.05

logger = logging.getLogger(__name__)


class WebhookRequests:
    """Handlers of the requests about webhooks and their deliveries.

    Parameters
    ----------
    authenticator : BusAuthenticator
        Nothing is sent on behalf of an owner whose keys are no longer valid, if the webhook was registered with one.
    secrets : WebhookSecrets
    policy : WebhookPolicy
        Which URLs may be registered; a gateway checks again where a message really goes.
    limit : int
        Webhooks per owner.
    files : ThreadPoolExecutor
        For work with files, which blocks.
    """

    def __init__(
        self,
        core: Core,
        *,
        authenticator: BusAuthenticator,
        secrets: WebhookSecrets,
        policy: WebhookPolicy,
        limit: int,
        files: ThreadPoolExecutor,
    ) -> None:
        self._core, self._authenticator, self._secrets = core, authenticator, secrets
        self._policy, self._limit, self._files = policy, limit, files

    def handlers(self) -> Mapping[str, Handler]:
        """Return the handlers by request type."""
        return {
            messages.WEBHOOK_CREATE: self.create,
            messages.WEBHOOK_GET: self.get,
            messages.WEBHOOK_LIST: self.page,
            messages.WEBHOOK_DELETE: self.delete,
            messages.WEBHOOK_TEST: self.test,
            messages.WEBHOOK_DELIVERIES: self.deliveries,
            messages.DELIVERY_CLAIM: self.claim,
            messages.DELIVERY_REPORT: self.report,
        }

    async def create(self, request: WebhookRequest, caller: Caller) -> Answer:
        """Register a webhook; the answer alone has its secret."""
        self._policy.check_url(request.url)
        if caller.visibility.owner is not None:
            request = request.model_copy(update={"owner": caller.visibility.owner})
        record = await self._core.store.call(
            lambda store: store.webhooks.create(request, caller.visibility, limit=self._limit)
        )
        created = CreatedWebhook(**dict(record), secret=shown_secret(await self._secret(record.webhook_id)))
        return Answer(created.model_dump(mode="json"))

    async def _secret(self, webhook_id: str) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._files, self._secrets.secret, webhook_id)

    async def get(self, request: WebhookRef, caller: Caller) -> Answer:
        """Return a webhook."""
        record = await self._core.store.call(lambda store: store.webhooks.get(request.webhook, caller.visibility))
        return Answer(record.model_dump(mode="json"))

    async def page(self, request: WebhookListRequest, caller: Caller) -> Answer:
        """Return a page of webhooks."""
        page = await self._core.store.call(lambda store: store.webhooks.page(request, caller.visibility))
        return Answer(page.model_dump(mode="json"))

    async def delete(self, request: WebhookRef, caller: Caller) -> Answer:
        """Delete a webhook with its deliveries."""
        record = await self._core.store.call(lambda store: store.webhooks.delete(request.webhook, caller.visibility))
        return Answer(record.model_dump(mode="json"))

    async def test(self, request: WebhookRef, caller: Caller) -> Answer:
        """Queue a test message."""
        delivery = await self._core.store.call(
            lambda store: store.deliveries.queue_test(request.webhook, caller.visibility)
        )
        self._core.deliveries.wake_all()
        return Answer(delivery.model_dump(mode="json"))

    async def deliveries(self, request: WebhookRef, caller: Caller) -> Answer:
        """Return the newest deliveries to a webhook."""
        found = await self._core.store.call(lambda store: store.deliveries.newest(request.webhook, caller.visibility))
        return Answer(found.model_dump(mode="json"))

    async def claim(self, request: DeliveryClaim, caller: Caller) -> Answer:
        """Give a gateway a delivery to try, signed; if none is due, wait for one."""
        _require_everything(caller)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + request.wait_s
        with self._core.deliveries.waiting() as wakeup:
            while (due := await self._next()) is None:
                seconds = await self._core.store.call(lambda store: store.deliveries.next_due_s())
                until = deadline if seconds is None else loop.time() + max(seconds, _SHORTEST_WAIT_S)
                if not await wakeup.wait(min(until, deadline)) and loop.time() >= deadline:
                    return Answer(ClaimedDelivery().model_dump(mode="json"))
        return await self._claimed(due)

    async def _next(self) -> DueDelivery | None:
        """Lease the next delivery whose webhook may still get it."""
        while (due := await self._core.store.call(lambda store: store.deliveries.claim())) is not None:
            webhook = due.webhook
            by_key = webhook["registered_by"] == "key" and not webhook["everything"]
            if not by_key or self._authenticator.has_key(webhook["owner"]):
                return due
            error = "Its owner has no valid key that may register it."
            await self._report(
                DeliveryResult(delivery=due.row["id"], claim=due.row["claim"], outcome="gone", error=error)
            )
        return None

    async def _claimed(self, due: DueDelivery) -> Answer:
        row, webhook = due.row, due.webhook
        delivery_id, claim = str(row["id"]), int(row["claim"])
        secret = await self._secret(webhook["id"])
        signed = SignedDelivery(
            delivery_id=delivery_id,
            claim=claim,
            webhook_id=webhook["id"],
            owner=webhook["owner"],
            everything=bool(webhook["everything"]),
            registered_by=webhook["registered_by"],
            url=webhook["url"],
            headers=signed_headers(secret, delivery_id, int(self._core.clock.wall()), row["body"]),
            body=row["body"],
        )

        async def undo() -> None:
            await self._core.store.call(lambda store: store.deliveries.release(delivery_id, claim))
            self._core.deliveries.wake_all()

        return Answer(ClaimedDelivery(delivery=signed).model_dump(mode="json"), undo=undo)

    async def report(self, request: DeliveryResult, caller: Caller) -> Answer:
        """Enter the result of a try, as its gateway reports it."""
        _require_everything(caller)
        await self._report(request)
        # The next message to this webhook may go now.
        self._core.deliveries.wake_all()
        return Answer({})

    async def _report(self, result: DeliveryResult) -> None:
        reported = await self._core.store.call(lambda store: store.deliveries.report(result))
        if reported is not None:
            self._core.metrics.webhooks.count(reported.outcome)
            if reported.disabled:
                about = {"webhook_id": reported.webhook_id}
                logger.warning("Webhook %s is disabled: %s", reported.webhook_id, reported.disabled, extra=about)


def _require_everything(caller: Caller) -> None:
    if not caller.visibility.is_everything:
        raise AccessError(
            "Messages to the webhooks of all owners are delivered by gateways.",
            hint="Ask for them with the key of an administrator, on behalf of all owners ('*').",
        )
