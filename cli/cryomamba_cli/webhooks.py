"""``webhooks``: URLs to which a server sends a signed message when a job ends."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cryomamba.errors import UnavailableError
from cryomamba_cli import output
from cryomamba_cli.jobs import SHORT, local_time, matching_id
from cryomamba_cli.options import Json, Server

if TYPE_CHECKING:
    from cryomamba.client import Client
    from cryomamba.models.webhooks import DeliveryRecord, WebhookRecord

app = typer.Typer(
    name="webhooks", no_args_is_help=True, help="Manage webhooks: signed messages to other servers when jobs end."
)

Webhook = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Webhook id, or its first characters.")]
# The server gives up a try after 10 s.
_TEST_S: Final = 20.0
_POLL_S: Final = 0.2


class Event(StrEnum):
    """An end of a job; Typer takes no list of literals."""

    COMPLETED = "job.completed"
    FAILED = "job.failed"
    CANCELLED = "job.cancelled"


@app.command()
def add(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where the messages are sent: https at a public address.")],
    event: Annotated[
        list[Event] | None,
        typer.Option("--event", "-e", help="Send only this event; may be repeated. All of them if not given."),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="Name of the webhook, to tell it from others.")] = "",
    server: Server = None,
    json: Json = False,
) -> None:
    """Register a webhook, and print the secret of its signatures once."""
    import cryomamba

    with cryomamba.connect(server) as client:
        created = client.add_webhook(url, events=[one.value for one in event or Event], name=name)
    output.result(created, created.secret, json=json)
    output.note(f"Webhook {created.webhook_id[:SHORT]} gets {', '.join(created.events)}.")
    output.note("The secret is not shown again. The receiver needs it to verify the messages.")


@app.command("list")
def list_webhooks(server: Server = None, json: Json = False) -> None:
    """List the webhooks, newest first."""
    import cryomamba

    with cryomamba.connect(server) as client:
        found = client.webhooks()
    heads = ("WEBHOOK", "STATE", "PENDING", "EVENTS", "URL", "NAME")
    output.listing(found, heads, _row, json=json, none="No webhooks.")


def _row(record: WebhookRecord) -> tuple[str, ...]:
    state = "enabled"
    if record.disabled_at is not None:
        state = f"disabled: {record.disabled_reason}"
    elif record.failing_since is not None:
        state = f"failing since {local_time(record.failing_since)}"
    events = ", ".join(event.removeprefix("job.") for event in record.events)
    return record.webhook_id[:SHORT], state, str(record.pending), events, record.url, record.name


@app.command()
def remove(webhook: Webhook, server: Server = None) -> None:
    """Delete a webhook; undelivered messages are discarded."""
    import cryomamba

    with cryomamba.connect(server) as client:
        found = resolve(client, webhook)
        client.delete_webhook(found)
    output.say(f"Webhook {found[:SHORT]} is deleted.")


@app.command("test")
def send_test(webhook: Webhook, server: Server = None, json: Json = False) -> None:
    """Send a test message, and print what the receiver answered. Success enables a disabled webhook."""
    import cryomamba

    with cryomamba.connect(server) as client:
        found = resolve(client, webhook)
        delivery = _ended(client, client.test_webhook(found))
    output.result(delivery, f"{delivery.state}, status {delivery.response_status or '–'}", json=json)
    if delivery.state != "delivered":
        raise UnavailableError(
            f"The test message was not delivered: {delivery.error}", hint="Correct the receiver or the URL."
        )


def _ended(client: Client, delivery: DeliveryRecord) -> DeliveryRecord:
    import time

    deadline = time.monotonic() + _TEST_S
    while delivery.state == "pending":
        if time.monotonic() > deadline:
            raise UnavailableError(
                "The test message has not been sent yet.",
                hint="Messages are sent by gateways; 'cryomamba webhooks deliveries' shows whether they arrive.",
            )
        time.sleep(_POLL_S)
        found = client.webhook_deliveries(delivery.webhook_id)
        delivery = next((one for one in found if one.delivery_id == delivery.delivery_id), delivery)
    return delivery


@app.command()
def deliveries(webhook: Webhook, server: Server = None, json: Json = False) -> None:
    """List the newest messages to a webhook, and what became of them."""
    import cryomamba

    with cryomamba.connect(server) as client:
        found = client.webhook_deliveries(resolve(client, webhook))
    heads = ("CREATED", "EVENT", "JOB", "STATE", "TRIES", "STATUS", "ERROR")
    output.listing(found, heads, _delivery_row, json=json, none="No messages yet.")


def _delivery_row(delivery: DeliveryRecord) -> tuple[str, ...]:
    again = "" if delivery.next_try_at is None else f", next try {local_time(delivery.next_try_at)}"
    return (
        local_time(delivery.created_at),
        delivery.type,
        (delivery.job_id or "")[:SHORT],
        delivery.state + (again if delivery.tries else ""),
        str(delivery.tries),
        str(delivery.response_status or ""),
        delivery.error,
    )


def resolve(client: Client, text: str) -> str:
    """Return the full id of the webhook whose id begins with a text.

    Raises
    ------
    NotFoundError
        No webhook has such an id.
    InvalidRequestError
        Several have.
    """
    from cryomamba.errors import no_such_webhook

    found = matching_id(text, (one.webhook_id for one in client.webhooks()), "webhook")
    if found is None:
        raise no_such_webhook(text)
    return found
