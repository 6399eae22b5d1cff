"""Callers who do not say who they are, many at once: on real sockets, and the lobby by itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

import httpx
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from cryomamba_gateway.access.unauthenticated import UnauthenticatedConnections, neighbourhood

if TYPE_CHECKING:
    from tests.gateway.access.conftest import Locked

HERE, MOST = 4, 6
BEGUN = b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
in_session = pytest.mark.asyncio(loop_scope="session")


class Stranger:
    """A connection that begins a request and does not end it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def begin(cls, url: str, source: str, stack: AsyncExitStack) -> Stranger:
        host, _, port = url.removeprefix("http://").partition(":")
        stranger = cls(*await asyncio.open_connection(host, int(port), local_addr=(source, 0)))
        stack.callback(stranger._writer.close)
        stranger._writer.write(BEGUN)
        return stranger

    async def end(self) -> None:
        """Wait until the gateway has closed the connection, without an answer."""
        async with asyncio.timeout(20):
            assert await self._reader.read() == b""

    async def refused(self) -> None:
        """End the request; it is still listened to, and refused for what it lacks."""
        self._writer.write(b"\r\n\r\n")
        async with asyncio.timeout(20):
            assert (await self._reader.readline()).startswith(b"HTTP/1.1 401")


@pytest_asyncio.fixture(loop_scope="session")
async def small(locked: Locked) -> AsyncIterator[str]:
    """A gateway with a small lobby over the same home."""
    changed = {"max_unauthenticated": MOST, "max_unauthenticated_per_address": HERE}
    async with locked.house.running(locked.house.settings.model_copy(update=changed)) as url:
        yield url


@in_session
async def test_strangers_push_out_strangers(locked: Locked, small: str) -> None:
    """The oldest go, of the same address first; whoever has a token comes in, and keeps an idle connection."""
    bearer = {"Authorization": f"Bearer {locked.token('ada')}"}
    limits = httpx.Limits(max_connections=1)
    async with (
        AsyncExitStack() as stack,
        httpx.AsyncClient(base_url=small, headers=bearer, trust_env=False, limits=limits, timeout=20) as ada,
    ):
        reply = await ada.get("/v1/jobs")
        kept = reply.extensions["network_stream"].get_extra_info("client_addr")
        crowd = [await Stranger.begin(small, "127.0.0.1", stack) for _ in range(3 * HERE)]
        for stranger in crowd[:-HERE]:
            await stranger.end()
        others = [await Stranger.begin(small, f"127.0.0.{n}", stack) for n in range(2, 2 + MOST)]
        for stranger in crowd[-HERE:]:
            await stranger.end()
        reply = await ada.get("/v1/jobs")
        assert reply.status_code == 200
        assert reply.extensions["network_stream"].get_extra_info("client_addr") == kept
        async with locked.client(None) as newcomer:
            assert (await newcomer.get(f"{small}/v1/jobs")).status_code == 401
            assert (await newcomer.get(f"{small}/v1/jobs", headers=bearer)).status_code == 200
        await others[0].end()
        for stranger in others[1:]:
            await stranger.refused()


@in_session
async def test_silent_sockets_push_out_each_other(locked: Locked, small: str) -> None:
    """A WebSocket that says no token is closed with 1008 for newer ones; one with a token stays."""
    address = small.replace("http", "ws", 1) + "/v1/ws"
    bearer = {"Authorization": f"Bearer {locked.token('ada')}"}
    async with AsyncExitStack() as stack:
        ada = await stack.enter_async_context(connect(address, additional_headers=bearer, proxy=None))
        silent = [await stack.enter_async_context(connect(address, proxy=None)) for _ in range(2 * HERE)]
        for socket in silent[:HERE]:
            async with asyncio.timeout(20):
                with pytest.raises(ConnectionClosed):
                    await socket.recv()
            assert socket.close_code == 1008
        await ada.send('{"type": "ping"}')
        assert "pong" in str(await ada.recv())
        await silent[-1].send(f'{{"type": "auth", "token": "{locked.token("bob")}"}}')
        await silent[-1].send('{"type": "ping"}')
        assert "pong" in str(await silent[-1].recv())


@in_session
async def test_refused_sockets_push_out_each_other(locked: Locked, small: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was refused and does not take leave holds a place among strangers, and no more of them than those."""
    monkeypatch.setattr("cryomamba_gateway.connections.LEAVE_S", 600.0)
    host, _, port = small.removeprefix("http://").partition(":")
    upgrade = "GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    async with AsyncExitStack() as stack:
        readers = []
        for _ in range(3 * HERE):
            reader, writer = await asyncio.open_connection(host, int(port))
            stack.callback(writer.close)
            writer.write(f"{upgrade}{key}Authorization: Bearer x\r\n\r\n".encode())
            readers.append(reader)
            async with asyncio.timeout(20):
                await reader.readuntil(b"not one of this server.")
        for reader in readers[:-HERE]:
            async with asyncio.timeout(20):
                with contextlib.suppress(ConnectionResetError):
                    assert await reader.read() == b""


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
def test_a_network_of_one_subscriber_is_one_address(address: str, counted: str) -> None:
    """Who has 2**64 addresses of IPv6 pushes out their own connections all the same."""
    assert neighbourhood(address) == counted
    lobby, gone = UnauthenticatedConnections(5, 1), list[str]()
    lobby.enter(address, lambda: gone.append("first"))
    lobby.enter(counted.replace("::/64", "::77") if "/64" in counted else address, lambda: gone.append("second"))
    assert gone == ["first"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60))
def test_a_lobby_is_never_too_full(comings: list[tuple[str, bool]]) -> None:
    """Neither in all nor of one address, and it is one who has waited longest that goes."""
    lobby, inside = UnauthenticatedConnections(5, 3), list[tuple[str, int]]()
    for number, (address, goes) in enumerate(comings):
        of_address = [one for one in inside if one[0] == address]
        oldest = of_address[:1] if len(of_address) == 3 else inside[:1] if len(inside) == 5 else []
        before = [one for one in inside if one not in oldest]
        inside.append((address, number))
        guest = lobby.enter(address, partial(inside.remove, (address, number)))
        assert inside == [*before, (address, number)]
        if goes:
            lobby.leave(guest)
            lobby.leave(guest)
            inside.remove((address, number))
        assert len(lobby) == len(inside)
