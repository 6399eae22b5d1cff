"""The requests about webhooks: of each the form on the bus, the form over HTTP, and the record that answers it."""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError

from cryomamba.client.calls import Acknowledged, BusForm, Call, HttpForm
from cryomamba.errors import no_such_webhook
from cryomamba.models.webhooks import (
    ClaimedDelivery,
    CreatedWebhook,
    DeliveryList,
    DeliveryRecord,
    WebhookPage,
    WebhookRecord,
    WebhookRequest,
)
from cryomamba.wire import messages
from cryomamba.wire.webhook_requests import DeliveryClaim, DeliveryResult, WebhookListRequest, WebhookRef

CLAIM_WAIT_S: Final = 20.0
_ANSWER_S: Final = 10.0


def create_webhook(request: WebhookRequest) -> Call[CreatedWebhook]:
    """Register a webhook."""
    body = request.model_dump(mode="json", include={"url", "events", "name"})
    http = HttpForm("POST", "/v1/webhooks", json=body, repeatable=False)
    return Call(CreatedWebhook, BusForm(messages.WEBHOOK_CREATE, request), http)


def get_webhook(webhook_id: str) -> Call[WebhookRecord]:
    """Ask for a webhook."""
    ref = _ref(webhook_id)
    return Call(WebhookRecord, BusForm(messages.WEBHOOK_GET, ref), HttpForm("GET", _path(ref)))


def list_webhooks(*, limit: int = 50, cursor: str | None = None) -> Call[WebhookPage]:
    """Ask for one page of the webhooks, newest first."""
    body = WebhookListRequest(limit=limit, cursor=cursor)
    query = body.model_dump(mode="json", exclude_none=True)
    return Call(WebhookPage, BusForm(messages.WEBHOOK_LIST, body), HttpForm("GET", "/v1/webhooks", query))


def delete_webhook(webhook_id: str) -> Call[Acknowledged]:
    """Delete a webhook with its deliveries."""
    ref = _ref(webhook_id)
    http = HttpForm("DELETE", _path(ref), repeatable=False)
    return Call(Acknowledged, BusForm(messages.WEBHOOK_DELETE, ref), http)


def test_webhook(webhook_id: str) -> Call[DeliveryRecord]:
    """Have a test message sent."""
    ref = _ref(webhook_id)
    http = HttpForm("POST", f"{_path(ref)}/test", repeatable=False)
    return Call(DeliveryRecord, BusForm(messages.WEBHOOK_TEST, ref), http)


def list_deliveries(webhook_id: str) -> Call[DeliveryList]:
    """Ask for the newest deliveries to a webhook."""
    ref = _ref(webhook_id)
    return Call(DeliveryList, BusForm(messages.WEBHOOK_DELIVERIES, ref), HttpForm("GET", f"{_path(ref)}/deliveries"))


def claim_delivery(*, wait_s: float = CLAIM_WAIT_S) -> Call[ClaimedDelivery]:
    """Ask for a delivery to try; for gateways."""
    bus = BusForm(messages.DELIVERY_CLAIM, DeliveryClaim(wait_s=wait_s))
    return Call(ClaimedDelivery, bus, None, timeout_s=wait_s + _ANSWER_S)


def report_delivery(result: DeliveryResult) -> Call[Acknowledged]:
    """Report what became of a try; for gateways."""
    return Call(Acknowledged, BusForm(messages.DELIVERY_REPORT, result), None)


def _ref(webhook_id: str) -> WebhookRef:
    """Return the body that names a webhook; NotFoundError if none can have this id."""
    try:
        return WebhookRef(webhook=webhook_id)
    except ValidationError:
        raise no_such_webhook(webhook_id) from None


def _path(ref: WebhookRef) -> str:
    return f"/v1/webhooks/{ref.webhook}"
