"""The HTTP transport against servers that misbehave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest
from tests.sdk.client.records import record

from cryomamba.client import calls
from cryomamba.client.http_transport import HttpTransport
from cryomamba.errors import ConflictError, CryoMambaError, ErrorCode, ProtocolError, UnavailableError

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


async def test_a_closed_client_says_so() -> None:
    """What is asked of a client that was closed is an error of its own, without anything being sent."""
    transport = HttpTransport("http://127.0.0.1:9")
    await transport.close()
    with pytest.raises(UnavailableError, match="closed") as caught:
        await transport.call(calls.get_job("j1"))
    assert not caught.value.retryable


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
