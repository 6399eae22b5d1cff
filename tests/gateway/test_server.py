"""The gateway as a process: where it listens, what it refuses, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cryomamba.errors import InvalidRequestError, UnavailableError
from cryomamba.testing import DEADLINE_S, wait_until
from cryomamba_gateway.__main__ import main
from cryomamba_gateway.server import listen, url_of

COMMAND = [sys.executable, "-m", "cryomamba_gateway"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A new data directory and any port."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CRYOMAMBA_")}
    return {**clean, "CRYOMAMBA_HOME": str(tmp_path / "home"), "CRYOMAMBA_GATEWAY_PORT": "0"}


@pytest.fixture
def process(environment: dict[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A gateway without a broker."""
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(COMMAND, env=environment, stderr=log) as started:
        yield started
        started.kill()


def test_it_announces_itself_and_ends_cleanly(process: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """SIGTERM ends it with status 0, in spite of an open WebSocket and a client that does not read its response."""
    file = tmp_path / "home" / "gateway.json"
    sent = json.loads(wait_until(lambda: file.read_text() if file.exists() else "", what="the announcement"))
    assert sent["pid"] == process.pid
    with urllib.request.urlopen(f"{sent['url']}/v1/healthz", timeout=DEADLINE_S) as reply:
        assert reply.status == 200
    host, port = sent["url"].removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as watcher, socket.create_connection((host, int(port))) as slow:
        watcher.sendall(
            f"GET /v1/ws HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        assert watcher.recv(64).startswith(b"HTTP/1.1 101")
        slow.sendall(
            b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
    assert not file.exists()
    assert not psutil.pid_exists(process.pid) or not psutil.Process(process.pid).children()


def test_a_port_in_use_is_an_error_message(environment: dict[str, str]) -> None:
    """Exit status 2, as nothing changes by itself: one sentence, what to do, and no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = subprocess.run(
            COMMAND,
            env={**environment, "CRYOMAMBA_GATEWAY_PORT": port},
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
    assert ended.returncode == 2
    assert "CRYOMAMBA_GATEWAY_PORT" in ended.stderr
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.org"])
def test_it_listens_on_loopback_only(host: str) -> None:
    """Any other address is refused before a socket is created."""
    with pytest.raises(InvalidRequestError, match="CRYOMAMBA_GATEWAY_HOST"):
        listen(host, 0)


def test_an_address_that_the_machine_lacks_may_come() -> None:
    """An address is not there before its network is, so a supervisor should start the gateway again."""
    with pytest.raises(UnavailableError, match=r"192\.0\.2\.1"):
        listen("192.0.2.1", 0, guarded=True)


def test_a_proxys_host_name_requires_tokens(environment: dict[str, str]) -> None:
    """Behind a proxy the gateway would be open to the world, so without tokens it ends with status 2 and a hint."""
    named = {**environment, "CRYOMAMBA_GATEWAY_HOSTS": "em.example.org"}
    ended = subprocess.run(COMMAND, env=named, capture_output=True, text=True, timeout=DEADLINE_S)
    assert ended.returncode == 2
    assert "em.example.org" in ended.stderr
    assert "cryomamba tokens create" in ended.stderr


def test_the_socket_drops_peers_that_acknowledge_nothing() -> None:
    """Where the platform supports it, accepted connections inherit the time limit."""
    with listen("127.0.0.1", 0) as listener:
        assert url_of(listener).startswith("http://127.0.0.1:")
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) > 0
        with pytest.raises(InvalidRequestError, match="CRYOMAMBA_GATEWAY_PORT"):
            listen("127.0.0.1", listener.getsockname()[1])


def test_help_names_the_variables(capsys: pytest.CaptureFixture[str]) -> None:
    """And ends with status 0."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "CRYOMAMBA_GATEWAY_PORT" in capsys.readouterr().out
