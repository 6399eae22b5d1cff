"""The envelope: the msgpack header that goes before every payload on the bus."""

from __future__ import annotations

import secrets
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import msgpack

from cryomamba.errors import ErrorCode, ProtocolError
from cryomamba.wire.buffers import BufferSpec
from cryomamba.wire.constants import BUFFERS_MAX, HEADER_MAX_BYTES, PROTOCOL_VERSION
from cryomamba.wire.trace_context import NO_TRACE, TraceContext, is_actor, is_request_id, is_traceparent

_TEXT_MAX = 128
_YEAR_10000 = 253_402_300_800


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message's header.

    Attributes
    ----------
    type : str
        What the message is, for example ``job.submit`` or ``preview``.
    id : str
        Unique per message.
    src, epoch : str, int
        Who sent it, and the random number it drew when it started: a change means it restarted.
    seq : int
        Counts per source, epoch and topic, so that a gap is seen.
    ts : float
        Seconds since 1970 on the sender's clock.
    corr : str or None
        The `id` of the request that this answers.
    job, attempt : str or None, int or None
        The job concerned.
    owner : str or None
        In a request: the owner on whose behalf it is made, ``*`` for all whom the sender may act for.
    trace : TraceContext
        The request that the message belongs to: its id, its W3C trace context and who makes it, where they are known.
    body : dict
        The message's own fields.
    buffers : tuple of BufferSpec
        One per payload part that follows.
    """

    type: str
    id: str
    src: str
    epoch: int
    seq: int
    ts: float
    corr: str | None = None
    job: str | None = None
    attempt: int | None = None
    owner: str | None = None
    trace: TraceContext = NO_TRACE
    body: Mapping[str, Any] = field(default_factory=dict)
    buffers: tuple[BufferSpec, ...] = ()

    def __str__(self) -> str:
        """Name the message for a log, without the values of its body and without payloads."""
        about = "" if self.job is None else f" of job {self.job}"
        body, nbytes = ", ".join(self.body), sum(spec.nbytes for spec in self.buffers)
        return f"{self.type} {self.seq} from {self.src}{about} ({body}; {nbytes} bytes of payload)"


class EnvelopeFactory:
    """Makes the envelopes of one sender, with its name, epoch and sequence numbers. Not thread-safe.

    Parameters
    ----------
    src : str
        The sender's name, unique on the bus.
    """

    def __init__(self, src: str) -> None:
        self.src = src
        self.epoch = secrets.randbits(48)
        self._seq: defaultdict[bytes, int] = defaultdict(int)

    def envelope(
        self,
        type_: str,
        body: Mapping[str, Any],
        *,
        ts: float,
        topic: bytes = b"",
        corr: str | None = None,
        job: str | None = None,
        attempt: int | None = None,
        owner: str | None = None,
        trace: TraceContext = NO_TRACE,
        buffers: Sequence[BufferSpec] = (),
    ) -> Envelope:
        """Make the next envelope for a topic (or for the request channel, the empty topic)."""
        self._seq[topic] += 1
        return Envelope(
            type=type_,
            id=str(uuid.uuid4()),
            src=self.src,
            epoch=self.epoch,
            seq=self._seq[topic],
            ts=ts,
            corr=corr,
            job=job,
            attempt=attempt,
            owner=owner,
            trace=trace,
            body=body,
            buffers=tuple(buffers),
        )

    def last_seq(self, topic: bytes) -> int:
        """Return the number of the last envelope made for a topic, 0 if there was none."""
        return self._seq.get(topic, 0)

    def forget(self, topic: bytes) -> None:
        """Stop counting a topic that has ended."""
        self._seq.pop(topic, None)


def encode(envelope: Envelope) -> bytes:
    """Encode an envelope.

    Raises
    ------
    ProtocolError
        :func:`decode` would refuse it, or it holds something that msgpack has no type for.
    """
    fields: dict[str, Any] = {"v": PROTOCOL_VERSION}
    for name in ("type", "id", "src", "epoch", "seq", "ts", "body", "corr", "job", "attempt", "owner"):
        if (value := getattr(envelope, name)) is not None:
            fields[name] = value
    for name in ("request_id", "traceparent", "actor"):
        if (value := getattr(envelope.trace, name)) is not None:
            fields[name] = value
    if envelope.buffers:
        fields["buffers"] = [spec.to_wire() for spec in envelope.buffers]
    _from_fields(fields)
    try:
        raw = msgpack.packb(fields, use_bin_type=True)
    except (TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"The message cannot be packed: {error}.") from None
    if len(raw) > HEADER_MAX_BYTES:
        raise ProtocolError(
            f"The message header has {len(raw)} bytes, more than the {HEADER_MAX_BYTES} that are allowed.",
            code=ErrorCode.TOO_LARGE,
        )
    return bytes(raw)


def decode(raw: bytes | memoryview) -> Envelope:
    """Decode a header, whatever the bytes are.

    Raises
    ------
    ProtocolError
        The bytes are not an envelope of a supported version.
    """
    if len(raw) > HEADER_MAX_BYTES:
        raise ProtocolError("The message header is larger than 64 KiB.", code=ErrorCode.TOO_LARGE)
    try:
        fields = msgpack.unpackb(raw, raw=False, strict_map_key=True)
    except (ValueError, msgpack.UnpackException, RecursionError, TypeError):
        raise ProtocolError("The message header is not msgpack.") from None
    if not isinstance(fields, dict):
        raise ProtocolError("The message header is not a map.")
    version = fields.get("v")
    if version != PROTOCOL_VERSION or isinstance(version, bool):
        raise ProtocolError(
            f"The message is of bus version {str(version)[:16]}; this program supports version {PROTOCOL_VERSION}.",
            hint="Install the same release of CryoMamba on both sides.",
            details={"supported": [PROTOCOL_VERSION]},
        )
    return _from_fields(fields)


def _from_fields(fields: Mapping[str, Any]) -> Envelope:
    return Envelope(
        type=_text(fields, "type"),
        id=_text(fields, "id"),
        src=_text(fields, "src"),
        epoch=_whole(fields, "epoch"),
        seq=_whole(fields, "seq"),
        ts=_time(fields, "ts"),
        corr=_optional_text(fields, "corr"),
        job=_optional_text(fields, "job"),
        attempt=_whole(fields, "attempt") if fields.get("attempt") is not None else None,
        owner=_optional_text(fields, "owner"),
        trace=_trace(fields),
        body=_map(fields, "body"),
        buffers=_buffers(fields),
    )


def _text(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= _TEXT_MAX:
        raise ProtocolError(f"The header field '{key}' is not a short text.")
    return value


def _optional_text(fields: Mapping[str, Any], key: str) -> str | None:
    return None if fields.get(key) is None else _text(fields, key)


def _whole(fields: Mapping[str, Any], key: str) -> int:
    value = fields.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ProtocolError(f"The header field '{key}' is not a non-negative integer.")
    return value


def _time(fields: Mapping[str, Any], key: str) -> float:
    value = fields.get(key)
    if not is_time(value):
        raise ProtocolError(f"The header field '{key}' is not a time.")
    return float(value)


def is_time(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number of seconds since 1970 that a calendar has a day for."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _YEAR_10000


def _map(fields: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = fields.get(key, {})
    if not isinstance(value, dict):
        raise ProtocolError(f"The header field '{key}' is not a map.")
    return value


def _trace(fields: Mapping[str, Any]) -> TraceContext:
    found = TraceContext(*(_optional_text(fields, key) for key in ("request_id", "traceparent", "actor")))
    if found.request_id is not None and not is_request_id(found.request_id):
        raise ProtocolError("The header field 'request_id' has characters other than letters, digits and '._-'.")
    if found.traceparent is not None and not is_traceparent(found.traceparent):
        raise ProtocolError("The header field 'traceparent' is not a W3C trace context.")
    if found.actor is not None and not is_actor(found.actor):
        raise ProtocolError("The header field 'actor' has characters other than letters, digits and '_.@/-'.")
    return found


def _buffers(fields: Mapping[str, Any]) -> tuple[BufferSpec, ...]:
    specs = fields.get("buffers", [])
    if not isinstance(specs, list) or len(specs) > BUFFERS_MAX:
        raise ProtocolError(f"The header field 'buffers' is not a list of at most {BUFFERS_MAX}.")
    return tuple(BufferSpec.from_wire(spec) for spec in specs)
