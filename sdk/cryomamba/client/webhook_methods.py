"""What can be asked about webhooks."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from pydantic import ValidationError

from cryomamba.client import webhook_calls
from cryomamba.client.transport import Transport
from cryomamba.models.webhooks import ALL_EVENTS, CreatedWebhook, DeliveryRecord, WebhookRecord, WebhookRequest
from cryomamba.wire.requests import invalid_fields

_PAGE: Final = 200


class WebhookMethods:
    """The requests about webhooks, for one event loop."""

    transport: Transport

    async def add_webhook(self, url: str, *, events: Collection[str] = ALL_EVENTS, name: str = "") -> CreatedWebhook:
        """Register a URL to which the server sends a signed message when a job ends.

        Parameters
        ----------
        url : str
            ``https://…`` at a public address; a server may allow others.
        events : collection of str
            ``job.completed``, ``job.failed``, ``job.cancelled``; all of them by default.
        name : str
            Shown to people; several may have the same.

        Returns
        -------
        CreatedWebhook
            With the secret of the signatures, which is not shown again.

        Raises
        ------
        InvalidRequestError
            ``url_forbidden``: the server sends no webhooks to this URL.
        ConflictError
            The owner has as many webhooks as the server allows.
        """
        try:
            request = WebhookRequest.model_validate({"url": url, "events": tuple(events), "name": name})
        except ValidationError as error:
            raise invalid_fields(error) from None
        return await self.transport.call(webhook_calls.create_webhook(request))

    async def webhooks(self) -> list[WebhookRecord]:
        """Return the registered webhooks, newest first."""
        found: list[WebhookRecord] = []
        cursor: str | None = None
        while True:
            page = await self.transport.call(webhook_calls.list_webhooks(limit=_PAGE, cursor=cursor))
            found += page.webhooks
            cursor = page.cursor
            if cursor is None:
                return found

    async def webhook(self, webhook_id: str) -> WebhookRecord:
        """Return a webhook as it stands."""
        return await self.transport.call(webhook_calls.get_webhook(webhook_id))

    async def delete_webhook(self, webhook_id: str) -> None:
        """Delete a webhook; undelivered messages are discarded."""
        await self.transport.call(webhook_calls.delete_webhook(webhook_id))

    async def test_webhook(self, webhook_id: str) -> DeliveryRecord:
        """Have a test message sent; :meth:`webhook_deliveries` tells what becomes of it.

        It is tried once. One that succeeds enables a disabled webhook again.
        """
        return await self.transport.call(webhook_calls.test_webhook(webhook_id))

    async def webhook_deliveries(self, webhook_id: str) -> list[DeliveryRecord]:
        """Return the newest deliveries to a webhook, newest first."""
        return list((await self.transport.call(webhook_calls.list_deliveries(webhook_id))).deliveries)
