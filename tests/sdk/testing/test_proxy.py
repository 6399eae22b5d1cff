"""The faulty network link."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from cryomamba.testing import DEADLINE_S, FaultProxy, wait_until


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that sends back what it receives."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        # Wakes accept.
        server.shutdown(socket.SHUT_RDWR)


def answer(connection: socket.socket) -> None:
    with connection:
        try:
            while data := connection.recv(1024):
                connection.sendall(data)
        except OSError:
            return


def connect(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), DEADLINE_S)


def echoes(connection: socket.socket, text: bytes = b"hello") -> bool:
    connection.sendall(text)
    return connection.recv(len(text)) == text


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_data_passes_both_ways_and_may_be_delayed(echo: int) -> None:
    """What is sent arrives, also when it is delayed, and the delays are counted."""
    with FaultProxy("127.0.0.1", echo) as proxy, connect(proxy) as connection:
        assert echoes(connection)
        assert not proxy.counts
        proxy.delay_s = 0.01
        assert echoes(connection)
        assert proxy.counts["delayed"] == 2


def test_a_cut_closes_and_refuses_until_restored(echo: int) -> None:
    """Open connections are closed, new ones too, and after ``restore`` new ones work."""
    with FaultProxy("127.0.0.1", echo) as proxy:
        with connect(proxy) as connection:
            assert echoes(connection)
            proxy.cut()
            assert is_closed(connection)
        with connect(proxy) as refused:
            assert is_closed(refused)
        proxy.restore()
        with connect(proxy) as connection:
            assert echoes(connection)
        assert proxy.counts["refused"] == 1


def test_a_black_hole_swallows_and_restoring_closes_what_lost_data(echo: int) -> None:
    """Data disappears while the connection stays open; ``restore`` closes it."""
    with FaultProxy("127.0.0.1", echo) as proxy, connect(proxy) as connection:
        assert echoes(connection)
        proxy.black_hole = True
        connection.sendall(b"lost")
        wait_until(lambda: proxy.counts["swallowed"], what="the data to be swallowed")
        proxy.restore()
        assert is_closed(connection)


def test_open_connections_can_be_black_holed_for_good(echo: int) -> None:
    """Connections that are open then lose all data from now on, also after ``restore``; new ones work."""
    with FaultProxy("127.0.0.1", echo) as proxy, connect(proxy) as old:
        assert echoes(old)
        proxy.black_hole_open_connections()
        with connect(proxy) as new:
            assert echoes(new)
        proxy.restore()
        old.sendall(b"lost")
        wait_until(lambda: proxy.counts["swallowed"], what="the data to be swallowed")
