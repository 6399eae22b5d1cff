"""Notifications to systemd, received by a real socket."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.descriptors import few_descriptors

from cryomamba.testing import DEADLINE_S
from cryomamba_server.systemd import ALIVE, READY, feed_watchdog, notify_systemd, watchdog_interval_s

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="systemd runs on Linux only")


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket on which systemd listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(DEADLINE_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


def test_a_state_arrives_as_one_datagram(manager: socket.socket) -> None:
    """It holds just the words of the protocol."""
    notify_systemd(READY)
    assert manager.recv(100) == b"READY=1"


def test_the_watchdog_is_fed_without_a_free_descriptor(manager: socket.socket) -> None:
    """Otherwise systemd would kill a service that is only busy; the socket is opened with the first notification."""
    notify_systemd(READY)
    with few_descriptors():
        notify_systemd(ALIVE)
    assert [manager.recv(100), manager.recv(100)] == [b"READY=1", b"WATCHDOG=1"]


def test_an_abstract_address_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that begins with ``@`` is in the abstract namespace."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("")
        listening.settimeout(DEADLINE_S)
        name = listening.getsockname()[1:].decode()
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        notify_systemd(READY)
        assert listening.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", [None, "", "relative", "/no/such/socket"])
def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch, address: str | None) -> None:
    """A service that systemd does not supervise sends nothing and does not fail."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify_systemd(READY)


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [(None, None, None), ("30000000", None, 30.0), ("30000000", "1", None), ("0", None, None), ("soon", None, None)],
)
def test_the_watchdog_is_for_the_process_with_its_id(
    monkeypatch: pytest.MonkeyPatch, usec: str | None, pid: str | None, seconds: float | None
) -> None:
    """A child process that inherits the variables has no watchdog."""
    for name, value in {"WATCHDOG_USEC": usec, "WATCHDOG_PID": pid}.items():
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert watchdog_interval_s() == seconds


async def test_the_watchdog_is_fed_while_the_loop_runs(manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several notifications arrive, and no task is left at the end."""
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    feeding = asyncio.create_task(feed_watchdog())
    manager.setblocking(False)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(DEADLINE_S):
        assert [await loop.sock_recv(manager, 100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
    feeding.cancel()
    await asyncio.gather(feeding, return_exceptions=True)
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
