"""Many connections without a token at once: on real sockets, and the limit by itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import httpx
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from cryomamba.testing import DEADLINE_S
from cryomamba_server.unauthenticated import UnauthenticatedConnections, client_network

if TYPE_CHECKING:
    from tests.gateway.access.conftest import SecuredServices

PER_ADDRESS, LIMIT = 4, 6
PARTIAL_REQUEST = b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
# The code of a close frame, and an empty text frame with the mask 0.
CLOSE_1008 = b"\x03\xf0"
MASKED_TEXT = b"\x81\x80\0\0\0\0"
in_session = pytest.mark.asyncio(loop_scope="session")


@dataclass(frozen=True, eq=False)
class FakeConnection:
    """A connection that only notes its end."""

    network: str
    evict: Callable[[], None]


class SlowClient:
    """A connection that begins a request and does not end it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def begin(cls, url: str, source: str, stack: AsyncExitStack) -> SlowClient:
        host, _, port = url.removeprefix("http://").partition(":")
        client = cls(*await asyncio.open_connection(host, int(port), local_addr=(source, 0)))
        stack.callback(client._writer.close)
        client._writer.write(PARTIAL_REQUEST)
        return client

    async def closed(self) -> None:
        """Wait until the gateway has closed the connection, without an answer."""
        async with asyncio.timeout(DEADLINE_S):
            assert await self._reader.read() == b""

    async def refused(self) -> None:
        """Complete the request and read that it is refused for its missing token: the connection was still open."""
        self._writer.write(b"\r\n\r\n")
        async with asyncio.timeout(DEADLINE_S):
            assert (await self._reader.readline()).startswith(b"HTTP/1.1 401")


@pytest_asyncio.fixture(loop_scope="session")
async def small(secured: SecuredServices) -> AsyncIterator[str]:
    """A gateway that allows few unauthenticated connections."""
    changed = {"max_unauthenticated": LIMIT, "max_unauthenticated_per_address": PER_ADDRESS}
    async with secured.services.running(secured.services.settings.model_copy(update=changed)) as url:
        yield url


@in_session
async def test_slow_clients_evict_one_another(secured: SecuredServices, small: str) -> None:
    """The oldest are closed, of the same address first; a client with a token connects and keeps idle connections."""
    bearer = {"Authorization": f"Bearer {secured.token('ada')}"}
    limits = httpx.Limits(max_connections=1)
    async with (
        AsyncExitStack() as stack,
        httpx.AsyncClient(base_url=small, headers=bearer, trust_env=False, limits=limits, timeout=DEADLINE_S) as ada,
    ):
        reply = await ada.get("/v1/jobs")
        kept = reply.extensions["network_stream"].get_extra_info("client_addr")
        slow = [await SlowClient.begin(small, "127.0.0.1", stack) for _ in range(3 * PER_ADDRESS)]
        for client in slow[:-PER_ADDRESS]:
            await client.closed()
        others = [await SlowClient.begin(small, f"127.0.0.{n}", stack) for n in range(2, 2 + LIMIT)]
        for client in slow[-PER_ADDRESS:]:
            await client.closed()
        reply = await ada.get("/v1/jobs")
        assert reply.status_code == 200
        assert reply.extensions["network_stream"].get_extra_info("client_addr") == kept
        async with secured.client(None) as newcomer:
            assert (await newcomer.get(f"{small}/v1/jobs")).status_code == 401
            assert (await newcomer.get(f"{small}/v1/jobs", headers=bearer)).status_code == 200
        await others[0].closed()
        for client in others[1:]:
            await client.refused()


@in_session
async def test_silent_websockets_evict_one_another(secured: SecuredServices, small: str) -> None:
    """A WebSocket that sends no token is ended for newer ones; one with a token stays."""
    address = small.replace("http", "ws", 1) + "/v1/ws"
    bearer = {"Authorization": f"Bearer {secured.token('ada')}"}
    async with AsyncExitStack() as stack:
        ada = await stack.enter_async_context(connect(address, additional_headers=bearer, proxy=None))
        silent = [await stack.enter_async_context(connect(address, proxy=None)) for _ in range(2 * PER_ADDRESS)]
        for socket in silent[:PER_ADDRESS]:
            async with asyncio.timeout(DEADLINE_S):
                with pytest.raises(ConnectionClosed):
                    await socket.recv()
        await ada.send('{"type": "ping"}')
        assert "pong" in str(await ada.recv())
        await silent[-1].send(f'{{"type": "auth", "token": "{secured.token("bob")}"}}')
        await silent[-1].send('{"type": "ping"}')
        assert "pong" in str(await silent[-1].recv())


@in_session
@pytest.mark.parametrize("after", [b"", MASKED_TEXT], ids=["silent", "unread message"])
async def test_refused_websockets_evict_one_another(secured: SecuredServices, small: str, after: bytes) -> None:
    """A refused WebSocket whose client does not close counts as unauthenticated, also if it has sent more."""
    host, _, port = small.removeprefix("http://").partition(":")
    upgrade = "GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    async with AsyncExitStack() as stack:
        readers = []
        for _ in range(3 * PER_ADDRESS):
            reader, writer = await asyncio.open_connection(host, int(port))
            stack.callback(writer.close)
            writer.write(f"{upgrade}{key}Authorization: Bearer x\r\n\r\n".encode() + after)
            readers.append(reader)
            async with asyncio.timeout(DEADLINE_S):
                await reader.readuntil(CLOSE_1008)
        for reader in readers[:-PER_ADDRESS]:
            async with asyncio.timeout(DEADLINE_S):
                with contextlib.suppress(ConnectionResetError):
                    await reader.read()


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9%eth0", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("", ""),
    ],
)
def test_a_network_of_one_subscriber_is_one_client(address: str, counted: str) -> None:
    """A client with 2**64 IPv6 addresses evicts its own connections all the same."""
    assert client_network(address) == counted
    unauthenticated, evicted = UnauthenticatedConnections[FakeConnection](5, 1), list[str]()
    same = counted.replace("::/64", "::77") if "/64" in counted else address
    unauthenticated.add(FakeConnection(client_network(address), lambda: evicted.append("first")))
    unauthenticated.add(FakeConnection(client_network(same), lambda: evicted.append("second")))
    assert evicted == ["first"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60))
def test_the_limits_hold_and_the_oldest_is_evicted(arrivals: list[tuple[str, bool]]) -> None:
    """Neither limit is ever exceeded, and the connection that goes is the oldest of the network, or else of all."""
    unauthenticated, open_ = UnauthenticatedConnections[FakeConnection](5, 3), list[tuple[str, int]]()
    for number, (network, leaves) in enumerate(arrivals):
        of_network = [one for one in open_ if one[0] == network]
        oldest = of_network[:1] if len(of_network) == 3 else open_[:1] if len(open_) == 5 else []
        before = [one for one in open_ if one not in oldest]
        open_.append((network, number))
        connection = FakeConnection(network, partial(open_.remove, (network, number)))
        unauthenticated.add(connection)
        assert open_ == [*before, (network, number)]
        if leaves:
            unauthenticated.discard(connection)
            unauthenticated.discard(connection)
            open_.remove((network, number))
        assert len(unauthenticated) == len(open_)
