"""Webhooks: addresses to which the server sends a message when a job ends, the messages, and their deliveries."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal, get_args

from pydantic import Field, StringConstraints

from cryomamba.models.base import JobId, Record, Request
from cryomamba.models.jobs import JobState, Label, Owner

URL_MAX: Final = 2048
SIGNED_HEADERS: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")

WebhookEvent = Literal["job.completed", "job.failed", "job.cancelled"]
"""An end of a job; a webhook gets those for which it was registered."""
ALL_EVENTS: Final[tuple[WebhookEvent, ...]] = get_args(WebhookEvent)
TEST_EVENT: Final = "webhook.test"

# Printable ASCII alone: a host with other letters is written as browsers send it (xn--…).
WebhookUrl = Annotated[str, StringConstraints(max_length=URL_MAX, pattern=r"^https?://[!-~]+$")]
WebhookId = JobId
RegisteredBy = Literal["key", "token", "nobody"]


class WebhookRequest(Request):
    """A webhook as a client registers it.

    Attributes
    ----------
    url : str
        Where the messages are sent, with POST.
    events : tuple of str
        The ends of jobs that are sent; all of them by default.
    name : str
        Shown to people; several may have the same.
    owner : str
        Set by the gateway from the token, or by the broker from the key, and not by the client.
    registered_by : str
        What the owner showed to register it: a token, or nothing to a gateway without tokens. Set by the gateway.
    """

    url: WebhookUrl
    events: Annotated[tuple[WebhookEvent, ...], Field(min_length=1, max_length=len(ALL_EVENTS))] = ALL_EVENTS
    name: Label = ""
    owner: Owner = ""
    registered_by: RegisteredBy = "key"


class WebhookRecord(Record):
    """A registered webhook.

    Attributes
    ----------
    webhook_id : str
    url : str
        Where the messages are sent.
    events : tuple of str
        Outcomes of jobs for which messages are sent.
    name : str
        Shown to people; several may have the same.
    owner : str
        Who registered it.
    everything : bool
        Whether the jobs of all owners are sent, because an administrator registered it; otherwise the owner's.
    created_at : datetime
    pending : int
        Messages that are still to be delivered.
    failing_since : datetime or None
        The first of the tries that have failed since the last one that did not.
    disabled_at : datetime or None
        From when on nothing is sent any more; a test that succeeds enables it again.
    disabled_reason : str
        Why.
    """

    webhook_id: str
    url: str
    events: tuple[str, ...]
    name: str
    owner: str
    everything: bool
    created_at: datetime
    pending: int
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_reason: str


class CreatedWebhook(WebhookRecord):
    """A webhook that was just registered.

    Attributes
    ----------
    secret : str
        The secret with which its messages are signed; it is not shown again.
    """

    secret: str


class WebhookPage(Record):
    """One page of a listing, newest first; `cursor` continues it."""

    webhooks: tuple[WebhookRecord, ...]
    cursor: str | None


class DeliveryRecord(Record):
    """A message to a webhook, and what has become of it.

    Attributes
    ----------
    delivery_id : str
        The header `webhook-id` of the message, the same for every try.
    webhook_id : str
    type : str
        What happened: an end of a job, or `webhook.test`.
    job_id : str or None
    state : str
        `pending` until the receiver has answered with a status of 200 to 299, or the last try has failed.
    tries : int
        So far.
    created_at : datetime
    next_try_at : datetime or None
        While it is pending.
    ended_at : datetime or None
    response_status : int or None
        The receiver's last answer.
    error : str
        Why the last try failed.
    """

    delivery_id: str
    webhook_id: str
    type: str
    job_id: str | None
    state: Literal["pending", "delivered", "failed"]
    tries: int
    created_at: datetime
    next_try_at: datetime | None
    ended_at: datetime | None
    response_status: int | None
    error: str


class DeliveryList(Record):
    """The newest deliveries to a webhook, newest first."""

    deliveries: tuple[DeliveryRecord, ...]


class WebhookArtifact(Record):
    """An output file in a message, and the path on the gateway from which to download it."""

    name: str
    size_bytes: int
    url: str


class WebhookJob(Record):
    """A job that has ended, as a message has it.

    Attributes
    ----------
    job_id, name, engine, owner : str
    state : JobState
    reason : str
        Why it failed.
    created_at, completed_at : datetime
        When it was submitted, and when it ended.
    url : str
        Path of its record on the gateway.
    artifacts : tuple of WebhookArtifact
        Its output files.
    """

    job_id: str
    name: str
    engine: str
    owner: str
    state: JobState
    reason: str
    created_at: datetime
    completed_at: datetime
    url: str
    artifacts: tuple[WebhookArtifact, ...]


class JobEndedMessage(Record):
    """The body of a message: a job has ended."""

    type: WebhookEvent
    timestamp: datetime
    data: WebhookJob


class WebhookTested(Record):
    """The webhook that is tested."""

    webhook_id: str


class WebhookTestMessage(Record):
    """The body of a message that somebody asked for, to test a webhook."""

    type: Literal["webhook.test"]
    timestamp: datetime
    data: WebhookTested


class SignedDelivery(Record):
    """A try of a delivery, as a gateway makes it.

    Attributes
    ----------
    delivery_id : str
    claim : int
        Which try this is; the result of another one is ignored.
    webhook_id, owner, everything, registered_by : str, str, bool, str
        As the webhook's.
    url, headers, body : str, dict of str, str
        What is sent; the headers have the signature.
    """

    delivery_id: str
    claim: int
    webhook_id: str
    owner: str
    everything: bool
    registered_by: RegisteredBy
    url: str
    headers: dict[str, str]
    body: str


class ClaimedDelivery(Record):
    """The reply to ``delivery.claim``: a delivery to try now, or nothing yet."""

    delivery: SignedDelivery | None = None
