"""What services tell systemd; the other end is a real socket."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cryomamba_server.systemd import READY, stay_alive, tell, watchdog_s

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="systemd is there on Linux alone")


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket at which systemd listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


def test_a_state_arrives_as_one_datagram(manager: socket.socket) -> None:
    """Just the words of the protocol."""
    tell(READY)
    assert manager.recv(100) == b"READY=1"


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="the abstract namespace is Linux's")
def test_an_abstract_address_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that begins with ``@`` is a name that no file has."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("")
        listening.settimeout(10)
        name = listening.getsockname()[1:].decode()
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        tell(READY)
        assert listening.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", [None, "", "relative", "/no/such/socket"])
def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch, address: str | None) -> None:
    """A service that nobody supervises says nothing and does not fail."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    tell(READY)


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [(None, None, None), ("30000000", None, 30.0), ("30000000", "1", None), ("0", None, None), ("soon", None, None)],
)
def test_the_watchdog_is_for_the_process_that_it_names(
    monkeypatch: pytest.MonkeyPatch, usec: str | None, pid: str | None, seconds: float | None
) -> None:
    """A child that inherits the variables is not watched."""
    for name, value in {"WATCHDOG_USEC": usec, "WATCHDOG_PID": pid}.items():
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert watchdog_s() == seconds


async def test_signs_of_life_come_while_the_loop_turns(manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several come, and none after the service has ended."""
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    alive = asyncio.create_task(stay_alive())
    manager.setblocking(False)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10):
        assert [await loop.sock_recv(manager, 100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
    alive.cancel()
    await asyncio.gather(alive, return_exceptions=True)
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
