"""The WebSocket's JSON messages and previews, each encoded once for all clients that receive it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, TypeVar

import orjson
from pydantic import Field, TypeAdapter, ValidationError

from cryomamba.client.bus_subscriber import BusMessage
from cryomamba.errors import CryoMambaError, ProtocolError
from cryomamba.models.base import Request
from cryomamba.models.events import ConnectionEvent, ProgressEvent, StateEvent
from cryomamba.models.jobs import JobId, JobRecord, Progress
from cryomamba.wire.requests import invalid_fields
from cryomamba.wire.webframe import encode_web_frame
from cryomamba_gateway.deprecated import FINAL_TYPES
from cryomamba_gateway.live.json_preview import preview_data
from cryomamba_gateway.models import job_out

T = TypeVar("T")

KEPT: Final = 64


class Ping(Request):
    """Check that the gateway is there; it answers ``pong``."""

    type: Literal["ping"]


class Auth(Request):
    """The first message of a client that cannot send its token with the handshake, such as a browser."""

    type: Literal["auth"]
    token: str = Field(max_length=4096)


class Ack(Request):
    """Acknowledge the binary frame with this number, so that the next one is sent."""

    type: Literal["ack"]
    seq: int = Field(ge=0, le=2**63)


class Subscribe(Request):
    """Follow a job, or with ``*`` the states and progress of all, starting after the event `since` of an `epoch`."""

    type: Literal["subscribe"]
    job_id: JobId | Literal["*"]
    since: int | None = Field(None, ge=0, le=2**63)
    epoch: int | None = Field(None, ge=0, le=2**63)
    previews: bool = True


class Unsubscribe(Request):
    """Stop following a job, or all jobs."""

    type: Literal["unsubscribe"]
    job_id: JobId | Literal["*"]


Inbound = Ping | Auth | Ack | Subscribe | Unsubscribe
_INBOUND: Final[TypeAdapter[Inbound]] = TypeAdapter(Annotated[Inbound, Field(discriminator="type")])


def parse_inbound(text: str) -> Inbound:
    """Parse a client's message.

    Raises
    ------
    InvalidRequestError
        It is not one of the messages that a client may send.
    """
    try:
        return _INBOUND.validate_json(text)
    except ValidationError as error:
        raise invalid_fields(error) from None


def message(type_: str, job_id: str | None, data: object, *, seq: int = 0, at: datetime | None = None) -> str:
    """Return a message as text."""
    fields = {
        "type": type_,
        "job_id": job_id,
        "timestamp": (at or datetime.now(UTC)).astimezone(UTC),
        "seq": seq,
        "data": data,
    }
    return orjson.dumps(fields, option=orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC).decode()


def connected(record: JobRecord) -> str:
    """Return the first message about a job: its present record."""
    seq = record.history[-1].n if record.history else 0
    return message("connected", record.job_id, _record(record), seq=seq)


def subscribed(last: int, epoch: int) -> str:
    """Return the first message to a client that follows all jobs: events after this number will follow."""
    return message("subscribed", None, {"epoch": epoch}, seq=last)


def state(event: StateEvent) -> str:
    """Return the message for a change of state."""
    changed = event.event
    return message(changed.type, event.job_id, _record(event.record), seq=changed.n, at=changed.at)


def first_final(event: StateEvent) -> str | None:
    """Return the last message about a job with the type that it had first; None if it has not such an end."""
    changed = event.event
    type_ = FINAL_TYPES.get(changed.type)
    if type_ is None:
        return None
    errors = event.record.errors
    data = errors[-1].error().payload() if type_ == "error" and errors else _record(event.record)
    return message(type_, event.job_id, data, seq=changed.n, at=changed.at)


def progress(event: ProgressEvent, *, seq: int, ts: float) -> str:
    """Return the message for a job's progress."""
    data = {"attempt": event.attempt, **event.progress.model_dump(mode="json")}
    return message("progress", event.job_id, data, seq=seq, at=datetime.fromtimestamp(ts, UTC))


def link(event: ConnectionEvent) -> str:
    """Return the message for the gateway's connection to the broker: lost, or restored."""
    return message("link", None, {"status": event.status, "message": event.message, "retry_s": event.retry_s})


def error(problem: CryoMambaError, job_id: str | None = None) -> str:
    """Return the message for an error."""
    return message("error", job_id, problem.payload())


def json_preview(found: BusMessage) -> str:
    """Return a preview as a message with the labels in base64.

    Raises
    ------
    ProtocolError
        The message is not a preview.
    """
    envelope = found.envelope
    at = datetime.fromtimestamp(envelope.ts, UTC)
    return message("preview", envelope.job, preview_data(found), seq=envelope.seq, at=at)


def pong() -> str:
    """Return the answer to a ping."""
    return message("pong", None, None)


def _record(record: JobRecord) -> orjson.Fragment:
    return orjson.Fragment(job_out(record).model_dump_json())


class MessageEncoder:
    """Encodes messages from the bus for WebSocket clients, each once for all of them. For one event loop.

    A message is parsed and encoded when the first client needs it, and cached for the others; the cache holds
    :data:`KEPT` messages.
    """

    def __init__(self) -> None:
        self._parsed: OrderedDict[Hashable, Any] = OrderedDict()
        self._previews: OrderedDict[Hashable, asyncio.Future[str | bytes]] = OrderedDict()

    def record(self, found: BusMessage) -> JobRecord:
        """Return the job record in a state message.

        Raises
        ------
        ProtocolError
            The message holds none.
        """

        def parse() -> JobRecord:
            try:
                return JobRecord.model_validate(found.envelope.body.get("record"))
            except ValidationError:
                raise ProtocolError("A state message has no job record.") from None

        return self._once(("record", found.envelope.id), parse)

    def state(self, event: StateEvent) -> str:
        """Return the message for a change of state."""
        key = ("state", event.job_id, event.event.n, event.record.history[-1].n, event.record.updated_at)
        return self._once(key, lambda: state(event))

    def progress(self, found: BusMessage) -> str:
        """Return the message that says how far a job is.

        Raises
        ------
        ProtocolError
            The message holds none.
        """
        envelope = found.envelope

        def parse() -> str:
            try:
                found_progress = Progress.model_validate(envelope.body.get("progress"))
            except ValidationError:
                raise ProtocolError("A progress message has no progress.") from None
            event = ProgressEvent(envelope.job or "", envelope.attempt or 0, found_progress)
            return progress(event, seq=envelope.seq, ts=envelope.ts)

        return self._once(("progress", envelope.id), parse)

    async def preview(self, found: BusMessage, *, binary: bool) -> str | bytes:
        """Return a preview as a binary frame, or as a JSON message, which is encoded in a thread.

        Raises
        ------
        ProtocolError
            The message is not a preview.
        """
        envelope = found.envelope
        key = (envelope.job, envelope.attempt, envelope.seq, envelope.ts, binary)
        encoding = self._previews.get(key)
        if encoding is None:
            work = _binary_preview(found) if binary else asyncio.to_thread(json_preview, found)
            encoding = asyncio.ensure_future(work)
            _keep(self._previews, key, encoding, KEPT // 4)
        return await asyncio.shield(encoding)

    def _once(self, key: Hashable, make: Callable[[], T]) -> T:
        if key not in self._parsed:
            _keep(self._parsed, key, make(), KEPT)
        made: T = self._parsed[key]
        return made


async def _binary_preview(found: BusMessage) -> str | bytes:
    # Copying a payload of at most 1 MiB behind its header is not worth a thread.
    return encode_web_frame(found.envelope, found.payload)


def _keep(store: OrderedDict[Hashable, Any], key: Hashable, value: object, bound: int) -> None:
    store[key] = value
    if len(store) > bound:
        store.popitem(last=False)
