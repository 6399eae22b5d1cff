"""The JSON messages of the WebSocket, and the previews inside them, encoded once for all who watch the same."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, TypeVar

import orjson
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from cryomamba.client.bus_subscriber import BusMessage
from cryomamba.errors import CryoMambaError, InvalidRequestError, ProtocolError
from cryomamba.models.base import Request
from cryomamba.models.events import ConnectionEvent, ProgressEvent, StateEvent
from cryomamba.models.jobs import JobId, JobRecord, Progress
from cryomamba.wire.requests import invalid_fields
from cryomamba.wire.webframe import encode_web_frame
from cryomamba_gateway.live.json_preview import preview_data
from cryomamba_gateway.models import job_out

T = TypeVar("T")

KEPT: Final = 64


class Ping(Request):
    """Is anybody there? The answer is ``pong``."""

    type: Literal["ping"]


class Auth(Request):
    """The first message of a client that could not send its token with the handshake."""

    type: Literal["auth"]
    token: str = Field(max_length=4096)


class Ack(Request):
    """The binary frame of this number was taken; the next may come."""

    type: Literal["ack"]
    seq: int = Field(ge=0, le=2**63)


class Subscribe(Request):
    """Follow a job, or with ``*`` the states and progress of all, from the event after number `since` on."""

    type: Literal["subscribe"]
    job_id: JobId | Literal["*"]
    since: int | None = Field(None, ge=0, le=2**63)
    previews: bool = True


class Unsubscribe(Request):
    """Follow it no longer."""

    type: Literal["unsubscribe"]
    job_id: JobId | Literal["*"]


Inbound = Annotated[Ping | Auth | Ack | Subscribe | Unsubscribe, Field(discriminator="type")]
_INBOUND: Final[TypeAdapter[Ping | Auth | Ack | Subscribe | Unsubscribe]] = TypeAdapter(Inbound)


def parse_inbound(text: str) -> Ping | Auth | Ack | Subscribe | Unsubscribe:
    """Take over what a client says.

    Raises
    ------
    InvalidRequestError
        It is not one of the messages that a client may send.
    """
    try:
        return _INBOUND.validate_json(text)
    except ValidationError as error:
        raise invalid_fields(error) from None


class Outbound(BaseModel):
    """What every JSON message looks like.

    Attributes
    ----------
    seq : int
        Counts up within a type and job: the broker's event number for changes of state, the frame's for previews.
        A message has the same number on every connection, so that a client that comes back knows repeats.
    data : object
        The job record, the progress, the preview, or the error envelope, by type.
    """

    type: str
    job_id: str | None
    timestamp: datetime
    seq: int
    data: Any = None


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
    """Return the first message about a job: the record as it stands."""
    seq = record.history[-1].n if record.history else 0
    return message("connected", record.job_id, _record(record), seq=seq)


def subscribed(last: int) -> str:
    """Return the first message to one who follows all jobs: what happened after this event will be told."""
    return message("subscribed", None, None, seq=last)


def state(event: StateEvent) -> str:
    """Return the message about a change of state."""
    changed = event.event
    return message(changed.type, event.job_id, _record(event.record), seq=changed.n, at=changed.at)


def progress(event: ProgressEvent, *, seq: int, ts: float) -> str:
    """Return the message that says how far a job is."""
    data = {"attempt": event.attempt, **event.progress.model_dump(mode="json")}
    return message("progress", event.job_id, data, seq=seq, at=datetime.fromtimestamp(ts, UTC))


def link(event: ConnectionEvent) -> str:
    """Return the message that says that the gateway has lost or found the broker."""
    return message("link", None, {"status": event.status, "message": event.message, "retry_s": event.retry_s})


def error(problem: CryoMambaError, job_id: str | None = None) -> str:
    """Return the message that says what went wrong."""
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
    """From the bus to clients, each message once for all of them; for one event loop.

    What many clients watch is parsed and encoded on the first demand and kept for the others, as far as
    :data:`KEPT` messages go back.
    """

    def __init__(self) -> None:
        self._parsed: OrderedDict[Hashable, Any] = OrderedDict()
        self._previews: OrderedDict[Hashable, asyncio.Future[str | bytes]] = OrderedDict()

    def record(self, found: BusMessage) -> JobRecord:
        """Return the job record in a state message.

        Raises
        ------
        ProtocolError
            There is none.
        """

        def parse() -> JobRecord:
            try:
                return JobRecord.model_validate(found.envelope.body.get("record"))
            except ValidationError:
                raise ProtocolError("A state message holds no job record.") from None

        return self._once(("record", found.envelope.id), parse)

    def state(self, event: StateEvent) -> str:
        """Return the message about a change of state."""
        key = ("state", event.job_id, event.event.n, event.record.history[-1].n, event.record.updated_at)
        return self._once(key, lambda: state(event))

    def progress(self, found: BusMessage) -> str:
        """Return the message that says how far a job is.

        Raises
        ------
        ProtocolError
            The message does not say it.
        """
        envelope = found.envelope

        def parse() -> str:
            try:
                far = Progress.model_validate(envelope.body.get("progress"))
            except ValidationError:
                raise ProtocolError("A progress message does not say how far the job is.") from None
            event = ProgressEvent(envelope.job or "", envelope.attempt or 0, far)
            return progress(event, seq=envelope.seq, ts=envelope.ts)

        return self._once(("progress", envelope.id), parse)

    async def preview(self, found: BusMessage, *, binary: bool) -> str | bytes:
        """Return a preview as a binary frame or a JSON message; the work is done in a thread.

        Raises
        ------
        ProtocolError
            The message is not a preview.
        """
        envelope = found.envelope
        key = (envelope.job, envelope.attempt, envelope.seq, envelope.ts, binary)
        encoding = self._previews.get(key)
        if encoding is None:
            encode = encode_web_frame if binary else None
            work = asyncio.to_thread(json_preview, found) if encode is None else _at_once(encode, found)
            encoding = asyncio.ensure_future(work)
            _keep(self._previews, key, encoding, KEPT // 4)
        return await asyncio.shield(encoding)

    def _once(self, key: Hashable, make: Callable[[], T]) -> T:
        if key not in self._parsed:
            _keep(self._parsed, key, make(), KEPT)
        made: T = self._parsed[key]
        return made


async def _at_once(encode: Callable[[Any, bytes], bytes], found: BusMessage) -> str | bytes:
    # Copying a payload of at most 1 MiB behind its header is not worth a thread.
    return encode(found.envelope, found.payload)


def _keep(store: OrderedDict[Hashable, Any], key: Hashable, value: object, bound: int) -> None:
    store[key] = value
    if len(store) > bound:
        store.popitem(last=False)


def unreadable() -> InvalidRequestError:
    """Return the error for a message that is not text."""
    return InvalidRequestError("A client's messages are JSON text.", hint="Send {'type': 'ping'}, for example.")
