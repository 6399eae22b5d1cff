"""Webhooks: register, list, test, delete, and look at deliveries."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Body, Query
from starlette.responses import Response

from cryomamba.client import webhook_calls
from cryomamba.errors import ErrorCode
from cryomamba.models.webhooks import (
    CreatedWebhook,
    DeliveryList,
    DeliveryRecord,
    RegisteredBy,
    WebhookId,
    WebhookPage,
    WebhookRecord,
    WebhookRequest,
)
from cryomamba_gateway.context import Caller, Context
from cryomamba_gateway.examples import BUS, CHANGE, WEBHOOK, WEBHOOK_LINKS, errors, ok
from cryomamba_gateway.media_types import JSON_BODY
from cryomamba_gateway.models import WebhookBody, WebhookQuery

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

_WEBHOOK: Final = (ErrorCode.NOT_FOUND, *BUS)
_CREATE: Final = (
    ErrorCode.BAD_REQUEST,
    ErrorCode.URL_FORBIDDEN,
    ErrorCode.CONFLICT,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE,
    *CHANGE,
    *BUS,
)


@router.post(
    "",
    operation_id="createWebhook",
    status_code=201,
    dependencies=JSON_BODY,
    responses={201: ok("The webhook, with its secret", links=WEBHOOK_LINKS), **errors(*_CREATE)},
)
async def create_webhook(
    gateway: Context, caller: Caller, body: Annotated[WebhookBody, Body(openapi_examples=WEBHOOK)]
) -> CreatedWebhook:
    """Register a URL to which a signed message is sent when a job that the caller may see ends.

    The secret of the signatures is not shown again.
    """
    by: RegisteredBy = "token" if caller.token_id else "nobody"
    request = WebhookRequest(**body.model_dump(), owner=caller.owner, registered_by=by)
    return await gateway.bus.call(caller.visibility, webhook_calls.create_webhook(request))


@router.get(
    "", operation_id="listWebhooks", responses={200: ok("A page of webhooks"), **errors(ErrorCode.BAD_REQUEST, *BUS)}
)
async def list_webhooks(gateway: Context, caller: Caller, query: Annotated[WebhookQuery, Query()]) -> WebhookPage:
    """List webhooks, newest first; pass `cursor` to get the next page."""
    call = webhook_calls.list_webhooks(limit=query.limit, cursor=query.cursor)
    return await gateway.bus.call(caller.visibility, call)


@router.get("/{webhook_id}", operation_id="getWebhook", responses={200: ok("The webhook"), **errors(*_WEBHOOK)})
async def get_webhook(gateway: Context, caller: Caller, webhook_id: WebhookId) -> WebhookRecord:
    """Return a webhook: its events, and whether it is failing or disabled."""
    return await gateway.bus.call(caller.visibility, webhook_calls.get_webhook(webhook_id))


@router.delete(
    "/{webhook_id}",
    operation_id="deleteWebhook",
    status_code=204,
    response_class=Response,
    responses={204: ok("It is deleted"), **errors(*CHANGE, *_WEBHOOK)},
)
async def delete_webhook(gateway: Context, caller: Caller, webhook_id: WebhookId) -> Response:
    """Delete a webhook; undelivered messages are discarded."""
    await gateway.bus.call(caller.visibility, webhook_calls.delete_webhook(webhook_id))
    return Response(status_code=204)


@router.post(
    "/{webhook_id}/test",
    operation_id="testWebhook",
    status_code=202,
    responses={202: ok("The message will be sent at once"), **errors(ErrorCode.CONFLICT, *CHANGE, *_WEBHOOK)},
)
async def test_webhook(gateway: Context, caller: Caller, webhook_id: WebhookId) -> DeliveryRecord:
    """Send a test message, once; the deliveries show what became of it. Success enables a disabled webhook."""
    return await gateway.bus.call(caller.visibility, webhook_calls.test_webhook(webhook_id))


@router.get(
    "/{webhook_id}/deliveries",
    operation_id="listWebhookDeliveries",
    responses={200: ok("The deliveries"), **errors(*_WEBHOOK)},
)
async def list_webhook_deliveries(gateway: Context, caller: Caller, webhook_id: WebhookId) -> DeliveryList:
    """List the newest messages to a webhook, up to 100: state, tries, the receiver's status, and the last error."""
    return await gateway.bus.call(caller.visibility, webhook_calls.list_deliveries(webhook_id))
