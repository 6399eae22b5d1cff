"""Thousands of silent connections, and services without a free descriptor. Real processes and sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from tests.descriptors import exhaust, restore

from cryomamba.testing import DEADLINE_S, Stack, wait_until
from cryomamba_server.bus_keys import BusKeys
from cryomamba_server.tokens import Scope, TokenStore

StackMaker = Callable[..., Stack]
pytestmark = [pytest.mark.system, pytest.mark.slow]

# More than twice what a process may have open on many systems.
STRANGERS = 2200
BUS = ("jobs", "preview_in", "preview_out", "events")


@pytest.fixture
def locked(make_stack: StackMaker) -> Iterator[tuple[Stack, httpx.Client]]:
    """A stack with keys and tokens, and a client with a token."""
    stack = make_stack()
    BusKeys(stack.home / "keys").init()
    token, _ = TokenStore(stack.home / "keys").create("ada", (Scope.WRITE,), days=1)
    stack.start().wait_ready()
    bearer = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=stack.http_url, headers=bearer, trust_env=False, timeout=DEADLINE_S) as client:
        yield stack, client


@contextmanager
def silent_connections(ports: list[int], count: int) -> Iterator[None]:
    """Hold connections that send nothing, from many addresses."""
    held = []
    try:
        for number in range(count):
            one = socket.socket()
            one.bind((f"127.0.1.{1 + number % 60}", 0))
            held.append(one)
            one.connect(("127.0.0.1", ports[number % len(ports)]))
        yield
    finally:
        for one in held:
            one.close()


def submit(client: httpx.Client, tomogram: Path) -> httpx.Response:
    return client.post("/v1/jobs", json={"volume": {"path": str(tomogram)}, "engine": "threshold"})


def test_strangers_do_not_stop_the_services(locked: tuple[Stack, httpx.Client], tomogram: Path) -> None:
    """Beside thousands of silent connections to all ports, jobs are accepted and run; few connections are kept."""
    stack, client = locked
    with silent_connections([stack.ports[name] for name in (*BUS, "gateway")], STRANGERS):
        reply = submit(client, tomogram)
        assert reply.status_code == 201, reply.text
        broker = psutil.Process(stack.processes["broker"].pid)
        wait_until(lambda: broker.num_fds() < 700, what="the end of the silent connections")
        job = f"/v1/jobs/{reply.json()['job_id']}"
        wait_until(lambda: client.get(job).json()["state"] == "completed", what="the job")
    told = [line for line in stack.log("broker").splitlines() if "handshake" in line]
    assert 1 <= len(told) <= 2


def test_running_out_of_descriptors_is_told_as_such(locked: tuple[Stack, httpx.Client], tomogram: Path) -> None:
    """A good volume is not called unreadable and a good token not invalid; afterwards everything works again."""
    stack, client = locked
    assert client.get("/v1/jobs").status_code == 200
    for service in ("broker", "gateway"):
        pid = stack.processes[service].pid
        exhaust(pid)
        reply = submit(client, tomogram)
        assert (reply.status_code, reply.json()["code"], reply.json()["retryable"]) == (503, "unavailable", True)
        assert "Too many files" in reply.json()["message"]
        restore(pid)
        assert submit(client, tomogram).status_code == 201
    assert "Traceback" not in stack.log("broker") + stack.log("gateway")
