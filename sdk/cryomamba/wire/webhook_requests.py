"""The bodies of requests about webhooks and their deliveries."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cryomamba.models.base import Request
from cryomamba.models.webhooks import WebhookId


class WebhookRef(Request):
    """The webhook that a request is about."""

    webhook: WebhookId


class WebhookListRequest(Request):
    """``webhook.list``: newest first, those of the request's owner; a page ends early when the reply is full."""

    limit: int = Field(50, ge=1, le=200)
    cursor: str | None = Field(None, max_length=200)


class DeliveryClaim(Request):
    """``delivery.claim``: a gateway asks for a delivery to try, and waits up to `wait_s`."""

    wait_s: float = Field(20.0, ge=0, le=60)


class DeliveryResult(Request):
    """``delivery.report``: what became of a try.

    Attributes
    ----------
    delivery, claim : str, int
        As claimed.
    outcome : str
        ``delivered``; ``failed``, to be tried again; ``gone``: the webhook is disabled.
    status : int, optional
        The receiver's answer.
    error : str
        Why it failed, for the owner of the webhook.
    retry_after_s : float
        How long the receiver wants to be left alone.
    """

    delivery: WebhookId
    claim: int = Field(ge=1)
    outcome: Literal["delivered", "failed", "gone"]
    status: int | None = Field(None, ge=100, le=999)
    error: str = Field("", max_length=1000)
    retry_after_s: float = Field(0.0, ge=0, allow_inf_nan=False)
