"""The envelope survives the wire, and nothing else gets through."""

from __future__ import annotations

from dataclasses import replace

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryomamba.errors import CryoMambaError, ErrorCode, ProtocolError
from cryomamba.wire.buffers import BufferSpec
from cryomamba.wire.constants import HEADER_MAX_BYTES
from cryomamba.wire.envelope import Envelope, EnvelopeFactory, decode, encode

short_text = st.text(min_size=1, max_size=40)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
envelopes = st.builds(
    Envelope,
    type=short_text,
    id=short_text,
    src=short_text,
    epoch=st.integers(0, 2**48),
    seq=st.integers(0, 2**48),
    ts=st.floats(0, 4e9),
    corr=st.none() | short_text,
    job=st.none() | short_text,
    attempt=st.none() | st.integers(0, 1000),
    body=st.dictionaries(st.text(max_size=8), plain, max_size=5),
    buffers=st.just((BufferSpec("uint8", (2, 3, 4), 1, "raw", 3, 7),)) | st.just(()),
)


@given(envelopes)
def test_round_trip(envelope: Envelope) -> None:
    """What was packed comes back equal."""
    assert decode(encode(envelope)) == envelope


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(raw: bytes) -> None:
    """Any bytes give an envelope or a ProtocolError, never another exception."""
    try:
        decode(raw)
    except ProtocolError as error:
        assert error.code in {ErrorCode.PROTOCOL, ErrorCode.TOO_LARGE}


@given(envelopes, st.data())
def test_damaged_envelopes_are_refused_or_read(envelope: Envelope, data: st.DataObject) -> None:
    """One changed byte anywhere gives an envelope or a CryoMambaError, never another exception."""
    raw = bytearray(encode(envelope))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(raw))
    except CryoMambaError as error:
        assert error.message


@given(envelopes, st.sampled_from(["type", "id", "src", "epoch", "seq", "ts", "body"]), plain)
def test_wrong_fields_are_refused_or_fit(envelope: Envelope, field: str, value: object) -> None:
    """A field of any other value is refused by name or taken as it is."""
    fields = msgpack.unpackb(encode(envelope))
    fields[field] = value
    try:
        taken = getattr(decode(msgpack.packb(fields)), field)
    except ProtocolError as error:
        assert field in error.message
    else:
        assert taken == value


def test_unknown_fields_are_ignored() -> None:
    """A newer peer may add fields."""
    envelope = EnvelopeFactory("me").envelope("ping", {}, ts=1.0)
    fields = msgpack.unpackb(encode(envelope)) | {"from_the_future": [1, 2]}
    assert decode(msgpack.packb(fields)) == envelope


@pytest.mark.parametrize("version", [0, 2, "1", None, True])
def test_another_major_version_is_refused_with_a_hint(version: object) -> None:
    """An unknown major version is refused, and the hint says what to do."""
    fields = msgpack.unpackb(encode(EnvelopeFactory("me").envelope("ping", {}, ts=1.0))) | {"v": version}
    with pytest.raises(ProtocolError, match="bus version") as caught:
        decode(msgpack.packb(fields))
    assert "same release" in caught.value.hint


def test_a_header_over_64_kib_is_never_sent_nor_read() -> None:
    """64 KiB bound the header on both sides."""
    with pytest.raises(ProtocolError) as caught:
        encode(EnvelopeFactory("me").envelope("ping", {"text": "x" * HEADER_MAX_BYTES}, ts=1.0))
    assert caught.value.code is ErrorCode.TOO_LARGE
    with pytest.raises(ProtocolError):
        decode(b"\x81" + b"x" * HEADER_MAX_BYTES)


def test_numbers_run_per_topic() -> None:
    """Sequence numbers count per topic, so that a gap on one is seen."""
    stamp = EnvelopeFactory("me")
    seen = [stamp.envelope("t", {}, ts=0.0, topic=topic).seq for topic in (b"a/", b"a/", b"b/", b"a/")]
    assert seen == [1, 2, 1, 3]


def test_two_stamps_differ_in_epoch() -> None:
    """A restart is seen by its epoch."""
    assert EnvelopeFactory("me").epoch != EnvelopeFactory("me").epoch


@pytest.mark.parametrize(
    "change",
    [
        {"type": ""},
        {"src": "x" * 129},
        {"job": "x" * 129},
        {"owner": ""},
        {"seq": -1},
        {"attempt": -1},
        {"ts": float("nan")},
        {"ts": -1.0},
    ],
)
def test_what_would_be_refused_is_not_sent(change: dict[str, object]) -> None:
    """Packing checks the fields as unpacking does."""
    envelope = EnvelopeFactory("me").envelope("ping", {}, ts=1.0)
    with pytest.raises(ProtocolError):
        encode(replace(envelope, **change))  # type: ignore[arg-type]


def test_an_envelope_prints_without_its_payload() -> None:
    """A log line names the message and the fields of its body, not their values."""
    spec = BufferSpec("uint8", (2, 3, 4), 1, "raw", 3, 7)
    envelope = EnvelopeFactory("me").envelope("preview", {"token": "secret"}, ts=1.0, job="j-1", buffers=[spec])
    assert str(envelope) == "preview 1 from me of job j-1 (token; 3 bytes of payload)"
