"""Requests over the bus: each finds its own reply, or an error within its time."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import zmq
import zmq.asyncio

from cryomamba.access.visibility import Visibility
from cryomamba.client import bus_requester
from cryomamba.client.bus_requester import BusRequester
from cryomamba.client.bus_subscriber import BusSubscriber
from cryomamba.endpoints import BusEndpoints
from cryomamba.errors import ConflictError, ErrorCode, UnavailableError
from cryomamba.wire.envelope import Envelope, EnvelopeFactory, decode, encode
from cryomamba.wire.messages import ERROR, PING, REPLY
from cryomamba.wire.requests import Empty

BROKER = EnvelopeFactory("broker")
Answer = Callable[[Envelope], Awaitable[list[list[bytes]]]]


def reply(request: Envelope, body: dict[str, object] | None = None, *, type_: str = REPLY) -> list[bytes]:
    return [encode(BROKER.envelope(type_, body or {}, ts=1.0, corr=request.id))]


@asynccontextmanager
async def broker(answer: Answer) -> AsyncIterator[BusRequester]:
    """A socket that answers each request with these messages, and a requester that is connected to it."""
    context = zmq.asyncio.Context()
    socket = context.socket(zmq.ROUTER)
    socket.setsockopt(zmq.LINGER, 0)
    port = socket.bind_to_random_port("tcp://127.0.0.1")

    async def serve() -> None:
        while True:
            peer, raw = await socket.recv_multipart()
            for parts in await answer(decode(raw)):
                await socket.send_multipart([peer, *parts])

    serving = asyncio.create_task(serve())
    requester = BusRequester(f"tcp://127.0.0.1:{port}", src="me")
    try:
        yield requester
    finally:
        await requester.close()
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
        socket.close()
        context.term()


async def test_each_request_gets_its_own_reply() -> None:
    """Whatever the order of the replies, and with damaged ones and those of others between them."""
    waiting: list[Envelope] = []

    async def answer(request: Envelope) -> list[list[bytes]]:
        waiting.append(request)
        if len(waiting) < 3:
            return []
        odd = [[b"damaged"], [encode(BROKER.envelope(REPLY, {}, ts=1.0, corr="nobody's"))]]
        return odd + [reply(found, {"n": found.body["n"]}) for found in reversed(waiting)]

    async with broker(answer) as requester:
        replies = await asyncio.gather(*(requester.request("job.get", {"n": n}) for n in range(3)))
        assert [found.body["n"] for found in replies] == [0, 1, 2]
        assert requester.malformed == 1
        assert requester.broker_epoch == BROKER.epoch


async def test_a_request_is_sent_again_under_the_same_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a broker that has executed it already does not do so twice."""
    monkeypatch.setattr(bus_requester, "RESEND_S", 0.05)
    received: list[str] = []

    async def answer(request: Envelope) -> list[list[bytes]]:
        received.append(request.id)
        return [reply(request)] if len(received) == 3 else []

    async with broker(answer) as requester:
        await requester.request(PING, Empty())
    assert len(set(received)) == 1


async def test_a_request_names_its_owner() -> None:
    """The broker decides by it what the request may see."""
    owners: list[str | None] = []

    async def answer(request: Envelope) -> list[list[bytes]]:
        owners.append(request.owner)
        return [reply(request)]

    async with broker(answer) as requester:
        await requester.request(PING, Empty())
        await requester.request(PING, Empty(), visibility=Visibility.of("ada"))
    assert owners == ["*", "ada"]


async def test_the_brokers_error_is_raised_with_its_type() -> None:
    """With its code and hint."""

    async def answer(request: Envelope) -> list[list[bytes]]:
        return [reply(request, ConflictError("It has ended.", hint="Retry it.").payload(), type_=ERROR)]

    async with broker(answer) as requester:
        with pytest.raises(ConflictError, match="It has ended") as raised:
            await requester.request("job.cancel", {"job": "j"})
    assert raised.value.hint == "Retry it."


async def test_no_reply_is_an_error_that_tells_whether_there_is_a_broker() -> None:
    """One that has never answered may be at another address; one that has may be busy."""
    replies = 0

    async def answer(request: Envelope) -> list[list[bytes]]:
        nonlocal replies
        replies += 1
        return [reply(request)] if replies == 1 else []

    async with broker(answer) as requester:
        await requester.request(PING, Empty())
        with pytest.raises(UnavailableError) as busy:
            await requester.request(PING, Empty(), timeout=0.1)
    assert busy.value.code is ErrorCode.TIMEOUT
    nobody = BusRequester("tcp://127.0.0.1:9", src="me")
    with pytest.raises(UnavailableError, match="No broker answers") as away:
        await nobody.request(PING, Empty(), timeout=0.1)
    assert away.value.code is ErrorCode.UNAVAILABLE
    await nobody.close()


async def test_closing_fails_what_still_waits() -> None:
    """Nobody waits for a reply that cannot come."""

    async def answer(_request: Envelope) -> list[list[bytes]]:
        return []

    async with broker(answer) as requester:
        waiting = asyncio.ensure_future(requester.request(PING, Empty()))
        await asyncio.sleep(0)
        await requester.close()
        with pytest.raises(UnavailableError):
            await waiting


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
async def test_running_out_of_descriptors_is_an_error() -> None:
    """Without free descriptors no requester or subscriber is made, but an error; libzmq would end the process."""
    from tests.descriptors import few_descriptors

    ends = BusEndpoints(**dict.fromkeys(("jobs", "preview_in", "preview_out", "events"), "tcp://127.0.0.1:1"))
    makers: list[Callable[[], BusRequester | BusSubscriber]] = [
        lambda: BusRequester(ends.jobs, src="client"),
        lambda: BusSubscriber(ends),
    ]
    for make in makers:
        with few_descriptors(2), pytest.raises(UnavailableError, match="Too many files") as caught:
            make()
        assert caught.value.retryable
        await make().close()
