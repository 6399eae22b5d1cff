"""A stack of real services."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from cryomamba.errors import UnavailableError
from cryomamba.stack import ReservedPorts, Stack

pytestmark = pytest.mark.system


def assert_nobody_listens(stack: Stack) -> None:
    for port in stack.ports.values():
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", port), 5)


def test_the_services_start_and_stop(tmp_path: Path) -> None:
    """A ready stack runs all three services; each stops with status 0, and after the block nobody listens."""
    with Stack(tmp_path / "home", logs=tmp_path / "logs", new_session=True) as stack:
        stack.start().wait_ready()
        assert all(process.poll() is None for process in stack.processes.values())
        if sys.platform != "win32":
            assert all(os.getsid(process.pid) == process.pid for process in stack.processes.values())
        assert stack.stop("gateway") == 0
        others = list(stack.processes.values())
    assert [process.returncode for process in others] == [0, 0]
    assert "gateway" in stack.log("gateway")
    assert_nobody_listens(stack)


def test_a_service_that_ends_early_is_reported(tmp_path: Path) -> None:
    """If a service cannot start, waiting ends with the last lines of its log, and the others are stopped."""
    (tmp_path / "jobs.sqlite").mkdir()
    with Stack(tmp_path) as stack, pytest.raises(UnavailableError, match="'broker' ended with status 4") as raised:
        stack.start().wait_ready()
    assert any("job store" in line for line in raised.value.details["log"])
    assert_nobody_listens(stack)


def test_a_crash_is_a_sigkill(tmp_path: Path) -> None:
    """A killed service has no chance to clean up; it can be started again."""
    with Stack(tmp_path) as stack:
        process = stack.start("broker").processes["broker"]
        stack.kill("broker")
        assert process.returncode == -signal.SIGKILL
        assert not stack.processes


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a reserved port would keep the services away")
def test_no_other_program_gets_a_reserved_port_by_chance() -> None:
    """Who asks for that port is refused, who listens with SO_REUSEADDR is not; afterwards it is free for all."""
    reserved = ReservedPorts(2)
    address = ("127.0.0.1", reserved.numbers[0])
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(address)
    with socket.socket() as service:
        service.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        service.bind(address)
        service.listen()
        socket.create_connection(address).close()
    reserved.release()
    with socket.socket() as other:
        other.bind(address)
