"""Request ids and trace contexts: what is valid, and that they go along on the bus."""

from __future__ import annotations

import pytest

from cryomamba.errors import ProtocolError
from cryomamba.wire.envelope import EnvelopeFactory, decode, encode
from cryomamba.wire.trace_context import (
    TraceContext,
    current_trace,
    is_request_id,
    is_traceparent,
    trace_headers,
    use_trace,
)

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize("text", ["a", "beamline-7.run_42", "x" * 128])
def test_valid_request_ids(text: str) -> None:
    """Letters, digits and ``._-``, up to 128 of them."""
    assert is_request_id(text)


@pytest.mark.parametrize("text", ["", "x" * 129, "a b", "a\n", "\x1b[2J", "ä", "a/b", '"'])
def test_invalid_request_ids(text: str) -> None:
    """Nothing that could forge or break a log line."""
    assert not is_request_id(text)


@pytest.mark.parametrize(
    "text",
    [
        TRACEPARENT.upper(),
        TRACEPARENT + "\n",
        TRACEPARENT[:-1],
        "ff" + TRACEPARENT[2:],
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01",
    ],
)
def test_invalid_traceparents(text: str) -> None:
    """As W3C Trace Context defines it: lower case, whole, no ids of zeros, no version ff."""
    assert is_traceparent(TRACEPARENT)
    assert not is_traceparent(text)


def test_an_envelope_carries_the_context() -> None:
    """What is encoded is decoded, and nothing is added where there is none."""
    trace = TraceContext("r-1", TRACEPARENT, "ada/0f3c")
    made = EnvelopeFactory("me").envelope("ping", {}, ts=1.0, trace=trace)
    assert decode(encode(made)).trace == trace
    assert decode(encode(EnvelopeFactory("me").envelope("ping", {}, ts=1.0))).trace == TraceContext()


@pytest.mark.parametrize(
    "trace", [TraceContext("a\nb"), TraceContext("r", "00-1"), TraceContext("r", None, "a b"), TraceContext("x" * 129)]
)
def test_an_invalid_context_is_refused(trace: TraceContext) -> None:
    """The same rules hold on the bus as over HTTP."""
    with pytest.raises(ProtocolError):
        encode(EnvelopeFactory("me").envelope("ping", {}, ts=1.0, trace=trace))


def test_the_context_ends_with_its_block() -> None:
    """Requests made inside the block carry it, over HTTP too."""
    with use_trace(TraceContext("r-1", TRACEPARENT)):
        assert current_trace().trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
        assert trace_headers() == {"X-Request-ID": "r-1", "traceparent": TRACEPARENT}
    assert trace_headers() == {}
