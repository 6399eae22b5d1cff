"""One connection by itself: when it is counted as unauthenticated, and what the server must offer for that."""

from __future__ import annotations

import asyncio
import socket

import pytest
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol

from cryomamba.testing import DEADLINE_S
from cryomamba_gateway.access.connections import AcceptedSocket, Connection, Listener
from cryomamba_server.unauthenticated import UnauthenticatedConnections


def test_uvicorn_has_what_is_used_of_it() -> None:
    """The overridden method, the attribute that it uses, and the two documented options."""
    assert "send_400_response" in vars(H11Protocol)
    assert "transport" in H11Protocol.connection_made.__code__.co_names
    config = Config("x:y", log_config=None, http=H11Protocol, ssl_context_factory=lambda _config, make: make())
    assert config.http is H11Protocol
    assert config.is_ssl


async def connection_pair(unauthenticated: UnauthenticatedConnections[Connection]) -> tuple[Connection, AcceptedSocket]:
    """Return a connection that waits for its first request, and its socket."""
    accepted, peer = socket.socketpair()
    peer.close()
    owned = AcceptedSocket(accepted.family, accepted.type, accepted.proto, accepted.detach())
    connection = Connection(owned, "here", unauthenticated, lambda: True)
    owned.on_close = connection.closed
    return connection, owned


async def test_a_connection_is_counted_between_requests() -> None:
    """Not while one of its requests is answered, pipelined ones included, and not after its end."""
    unauthenticated = UnauthenticatedConnections[Connection](5, 5)
    connection, accepted = await connection_pair(unauthenticated)
    counts = [len(unauthenticated)]
    connection.begin_request()
    connection.begin_request()
    connection.end_request(authenticated=False)
    counts.append(len(unauthenticated))
    connection.end_request(authenticated=False)
    counts.append(len(unauthenticated))
    connection.begin_request()
    accepted.close()
    connection.end_request(authenticated=False)
    counts.append(len(unauthenticated))
    assert counts == [1, 0, 1, 0]


async def test_an_authenticated_connection_is_not_counted() -> None:
    """One request with a token is enough."""
    unauthenticated = UnauthenticatedConnections[Connection](5, 5)
    connection, accepted = await connection_pair(unauthenticated)
    for authenticated in (True, False):
        connection.begin_request()
        connection.end_request(authenticated=authenticated)
        assert len(unauthenticated) == 0
    accepted.close()


@pytest.mark.parametrize("reads", [True, False])
async def test_a_slow_reader_gets_its_whole_answer(monkeypatch: pytest.MonkeyPatch, reads: bool) -> None:
    """However long it takes, as long as it takes some of it; who takes nothing is cut off."""
    deadline_s, part, answer = 0.1, 1 << 18, bytes(1 << 23)
    monkeypatch.setattr("cryomamba_gateway.access.connections.REQUEST_S", deadline_s)
    ended = asyncio.Event()
    begun: list[Connection] = []

    def on_accept(accepted: AcceptedSocket, _address: object) -> None:
        connection = Connection(accepted, "here", UnauthenticatedConnections[Connection](5, 5), lambda: True)
        begun.append(connection)

        def on_close() -> None:
            connection.closed()
            ended.set()

        accepted.on_close = on_close

    async def respond(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (connection,) = begun
        assert isinstance(writer.transport, asyncio.Transport)
        connection.transport = writer.transport
        connection.begin_request()
        writer.write(answer)
        connection.end_request(authenticated=True)
        await ended.wait()

    listener = Listener(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, part)
    listener.on_accept = on_accept
    listener.bind(("127.0.0.1", 0))
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, part)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    async with await asyncio.start_server(respond, sock=listener), asyncio.timeout(DEADLINE_S):
        await loop.sock_connect(client, listener.getsockname())
        received = 0
        with client:
            if not reads:
                await ended.wait()
            while received < len(answer):
                # The line is this slow: in all, many times as slow as a connection may be silent.
                await asyncio.sleep(deadline_s / 4)
                try:
                    found = len(await loop.sock_recv(client, part))
                except ConnectionResetError:
                    found = 0
                received += found
                if found == 0:
                    break
        await ended.wait()
    assert (received == len(answer)) == reads


async def test_asyncio_accepts_through_the_listener() -> None:
    """A server on the listener reports each connection and its end."""
    reports: asyncio.Queue[str] = asyncio.Queue()

    def on_accept(accepted: AcceptedSocket, _address: object) -> None:
        reports.put_nowait("accepted")
        accepted.on_close = lambda: reports.put_nowait("closed")

    listener = Listener(socket.AF_INET, socket.SOCK_STREAM)
    listener.on_accept = on_accept
    listener.bind(("127.0.0.1", 0))
    async with await asyncio.start_server(lambda _reader, writer: writer.close(), sock=listener):
        _reader, writer = await asyncio.open_connection(*listener.getsockname())
        async with asyncio.timeout(DEADLINE_S):
            assert [await reports.get(), await reports.get()] == ["accepted", "closed"]
        writer.close()
