"""The description of the messages to webhooks, for the section ``webhooks`` of the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Header

from cryomamba.models.webhooks import JobEndedMessage, WebhookTestMessage

MessageId = Annotated[str, Header(alias="webhook-id", description="The same for every try of a message.")]
Timestamp = Annotated[
    str, Header(alias="webhook-timestamp", description="When this try was made, in seconds since 1970.")
]
Signature = Annotated[
    str,
    Header(
        alias="webhook-signature",
        description="`v1,` and the base64 of the HMAC-SHA256, keyed with the decoded secret, of `ID.TIMESTAMP.BODY`.",
    ),
]
_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    "2XX": {"description": "The message was received; the body is ignored."},
    "410": {"description": "The webhook is disabled."},
    "default": {
        "description": "The message is sent again later; `Retry-After` is respected. Redirects are not followed."
    },
}


def described_messages() -> APIRouter:
    """Return routes that only describe what a receiver gets."""
    messages = APIRouter(tags=["webhooks"])

    @messages.post(
        "jobEnded",
        operation_id="jobEnded",
        description="A job has ended. Signed after the Standard Webhooks specification; delivered at least once, in no "
        "particular order.",
        response_description="The message was received.",
        status_code=204,
        responses=_ANSWERS,
    )
    def job_ended(body: JobEndedMessage, webhook_id: MessageId, timestamp: Timestamp, signature: Signature) -> None:
        """Describe the message about the end of a job."""

    @messages.post(
        "webhookTest",
        operation_id="webhookTest",
        description="A test that somebody has asked for. It is tried once.",
        response_description="The message was received.",
        status_code=204,
        responses=_ANSWERS,
    )
    def webhook_test(
        body: WebhookTestMessage, webhook_id: MessageId, timestamp: Timestamp, signature: Signature
    ) -> None:
        """Describe the message that tests a webhook."""

    return messages
