"""The HTTP transport against what is not quite a gateway, and its rules without sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from cryomamba.client import calls
from cryomamba.client.http_transport import HttpTransport, check_http_url, header_key, is_on_this_machine, job_path
from cryomamba.client.http_watch import AllReader, JobReader, parse
from cryomamba.client.job_state_tracker import JobStateTracker
from cryomamba.errors import (
    ConflictError,
    CryoMambaError,
    ErrorCode,
    InvalidRequestError,
    NotFoundError,
    ProtocolError,
    UnavailableError,
)
from cryomamba.models.events import ConnectionEvent, PreviewEvent, ProgressEvent, StateEvent
from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import JobEvent, JobRecord, JobState, VolumeSummary

Handler = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[HttpTransport]:
    """Serve one handler for all requests; it gets the head of the request and the writer."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(await reader.readuntil(b"\r\n\r\n"), writer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    serving = await asyncio.start_server(accept, "127.0.0.1", 0)
    transport = HttpTransport(f"http://127.0.0.1:{serving.sockets[0].getsockname()[1]}")
    try:
        yield transport
    finally:
        await transport.close()
        serving.close()
        await serving.wait_closed()


def answer(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (
            "409 Conflict",
            json.dumps({"code": "job_final", "message": "It is over.", "hint": "h", "retryable": False}).encode(),
            ConflictError,
            ErrorCode.JOB_FINAL,
        ),
        ("502 Bad Gateway", b"<html>nginx</html>", UnavailableError, ErrorCode.UNAVAILABLE),
        ("404 Not Found", b"<html>a web shop</html>", ProtocolError, ErrorCode.PROTOCOL),
        ("200 OK", b"<html>a web shop</html>", ProtocolError, ErrorCode.PROTOCOL),
        ("200 OK", b"{}", ProtocolError, ErrorCode.PROTOCOL),
    ],
)
async def test_answers_become_typed_errors(
    status: str, body: bytes, kind: type[CryoMambaError], code: ErrorCode
) -> None:
    """The envelope keeps its fields; whatever else answers is named for what it is."""

    async def handler(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(status, body))

    async with server(handler) as transport:
        with pytest.raises(kind) as raised:
            await transport.call(calls.get_job("a-job"))
    assert raised.value.code is code
    assert raised.value.hint


async def test_a_request_is_sent_again_when_the_connection_breaks() -> None:
    """The first connections break before an answer; the caller does not notice."""
    tries = 0

    async def handler(_head: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            writer.transport.abort()
        else:
            writer.write(answer("200 OK", record("pending").model_dump_json().encode()))

    async with server(handler) as transport:
        assert (await transport.call(calls.get_job("a-job"))).job_id == "a-job"
    assert tries == 3


@pytest.mark.parametrize("takes_ranges", [True, False])
async def test_a_download_is_resumed(takes_ranges: bool) -> None:
    """Each connection breaks after a part; servers without Range send it all again, and the bytes are right."""
    content = np.random.default_rng(5).bytes(100_000)
    asked: list[bytes] = []

    async def handler(head: bytes, writer: asyncio.StreamWriter) -> None:
        asked.append(head)
        line = next((line for line in head.split(b"\r\n") if line.lower().startswith(b"range:")), b"")
        start = int(line.split(b"=")[1].rstrip(b"-")) if line and takes_ranges else 0
        status = "206 Partial Content" if line and takes_ranges else "200 OK"
        reply = answer(status, content[start:], 'ETag: "e"')
        breaks_at = 40_000 * (1 if takes_ranges else len(asked))
        writer.write(reply[:breaks_at] if breaks_at < len(reply) else reply)

    async with server(handler) as transport:
        got = b"".join([piece async for piece in transport.artifact("a-job", "mask.mrc")])
    assert got == content
    assert len(asked) >= 3
    assert b'if-range: "e"' in asked[1].lower()


async def test_a_file_that_changes_meanwhile_is_a_conflict() -> None:
    """Two halves of two files are never put together."""
    answers = [answer("200 OK", b"x" * 1000, 'ETag: "one"')[:500], answer("200 OK", b"y" * 1000, 'ETag: "two"')]

    async def handler(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answers.pop(0))

    async with server(handler) as transport:
        with pytest.raises(ConflictError):
            async for _ in transport.artifact("a-job", "mask.mrc"):
                pass


@pytest.mark.parametrize("url", ["http://", "ftp://a", "http://a:x", "http://a:0", "a:8000", "http://a:99999"])
def test_addresses_that_are_none(url: str) -> None:
    """Each is refused with an example of one."""
    with pytest.raises(InvalidRequestError, match="not an address"):
        check_http_url(url)


def test_addresses_that_are() -> None:
    """A path stays, a slash at the end goes; proxies are not for this machine."""
    assert check_http_url("https://lab.example/cryo/") == "https://lab.example/cryo"
    assert [is_on_this_machine(f"http://{host}:1") for host in ("127.0.0.1", "[::1]", "localhost", "lab")] == [
        True,
        True,
        True,
        False,
    ]


def test_keys_fit_into_a_header() -> None:
    """Plain ones as they are, others as their hash, always the same."""
    assert header_key("abc-1") == "abc-1"
    for odd in ("é", "a b", "x" * 201, "a\r\nb", "\ud800"):
        assert header_key(odd) == header_key(odd)
        assert header_key(odd).isalnum()
        assert len(header_key(odd)) == 64


@pytest.mark.parametrize("odd", ["", "a/b", "..", "a b", "é", "x" * 65])
def test_odd_ids_never_become_a_path(odd: str) -> None:
    """They are not found, without asking."""
    with pytest.raises(NotFoundError):
        job_path(odd)


NOW = datetime(2026, 1, 1, tzinfo=UTC)


def record(*states: str) -> JobRecord:
    """Return a job with a history of these states."""
    kinds: dict[str, Any] = {
        "pending": "job_created",
        "running": "job_started",
        "completed": "job_completed",
        "failed": "job_failed",
    }
    history = tuple(
        JobEvent(n=n, type=kinds[state], job_id="a-job", state=JobState(state), attempt=1, at=NOW)
        for n, state in enumerate(states, 10)
    )
    volume = VolumeSummary(name="demo", shape=(2, 2, 2), voxel_size_A=(1.0, 1.0, 1.0))
    return JobRecord(
        job_id="a-job",
        state=JobState(states[-1]),
        name="",
        engine="demo",
        params={},
        volume=volume,
        created_at=NOW,
        updated_at=NOW,
        history=history,
    )


def said(type_: str, data: JobRecord | dict[str, Any]) -> dict[str, Any]:
    plain = data.model_dump(mode="json") if isinstance(data, JobRecord) else data
    return {"type": type_, "job_id": "a-job", "seq": 0, "timestamp": "", "data": plain}


def preview(seq: int) -> PreviewFrame:
    return PreviewFrame("a-job", np.zeros((1, 1, 1), np.uint8), (1, 1, 1), (1, 1, 1), (1.0, 1.0, 1.0), 0, "", seq=seq)


def test_each_state_is_told_once_and_the_last_one_last() -> None:
    """Over two connections, with repeats, a gap, and a job that ended between them."""
    reader = JobReader(JobStateTracker(), previews=True)
    events = [
        *reader.read(said("connected", record("pending"))),
        *reader.read(said("job_created", record("pending"))),
        *reader.read(preview(1)),
        *reader.read(said("connected", record("pending", "running", "completed"))),
        *reader.read(preview(4)),
    ]
    assert not reader.ended
    events += reader.read(said("job_completed", record("pending", "running", "completed")))
    assert reader.ended
    assert [e.event.type for e in events if isinstance(e, StateEvent)] == [
        "job_created",
        "job_started",
        "job_completed",
    ]
    assert [e.skipped for e in events if isinstance(e, PreviewEvent)] == [0, 2]
    assert isinstance(events[-1], StateEvent)


def test_other_messages_become_events_or_nothing() -> None:
    """Progress, link, and types that a newer gateway may send."""
    reader = JobReader(JobStateTracker(), previews=False)
    (far,) = reader.read(said("progress", {"attempt": 2, "fraction": 0.5}))
    assert isinstance(far, ProgressEvent)
    assert (far.attempt, far.progress.fraction) == (2, 0.5)
    (lost,) = reader.read(said("link", {"status": "lost", "message": "Away.", "retry_s": 1.5}))
    assert lost == ConnectionEvent("lost", "Away.", 1.5)
    assert reader.read(said("of_the_future", {})) == []
    assert reader.read(preview(1)) == []


def test_all_jobs_are_followed_from_where_the_gateway_says_on() -> None:
    """Only then is the link told to be there; what came before that number, or came already, is not told again."""
    reader = AllReader()
    assert reader.read({"type": "opened"}) == reader.read(said("link", {"status": "connected"})) == []
    running = record("pending", "running", "completed")
    first, second, third = (event.n for event in running.history)
    (link,) = reader.read({"type": "subscribed", "seq": first})
    assert isinstance(link, ConnectionEvent)
    assert link.status == "connected"
    found = [reader.read({**said("job_started", running), "seq": number}) for number in (first, second, second)]
    assert [[event.event.n for event in events if isinstance(event, StateEvent)] for events in found] == [
        [],
        [second],
        [],
    ]
    reader.read({"type": "subscribed", "seq": third})
    assert reader.last == second


@pytest.mark.parametrize("raw", ["", "{", "[]", "{}", '{"type": 1}', b"", b"\x00" * 20])
def test_what_is_no_message_is_an_error(raw: str | bytes) -> None:
    """Text or bytes."""
    with pytest.raises(ProtocolError):
        parse(raw)
