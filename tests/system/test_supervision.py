"""Services under a supervisor: what they say of themselves, how they end, and that they come back without a hand."""

from __future__ import annotations

import os
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

import cryomamba
from cryomamba.errors import UnavailableError
from cryomamba.models.jobs import JobState
from cryomamba.testing import Stack, wait_until

StackMaker = Callable[..., Stack]

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(sys.platform != "linux", reason="systemd and limits of other processes are Linux's"),
]
LEASE_S = 2.0


@contextmanager
def listening_manager(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(60)
        yield manager


@pytest.mark.parametrize("service", ["broker", "inference", "gateway"])
def test_each_service_says_when_it_is_ready_and_that_it_lives(
    make_stack: StackMaker, tmp_path: Path, service: str
) -> None:
    """Ready without any of the others, then signs of life; none while its loop stands still, and again afterwards."""
    with listening_manager(tmp_path / "notify") as manager:
        stack = make_stack(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="200000")
        stack.start(service)  # type: ignore[arg-type]
        said = [manager.recv(100)]
        while b"READY=1" not in said:
            said.append(manager.recv(100))
        assert set(said) == {b"READY=1", b"WATCHDOG=1"}
        process = stack.processes[service]
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, what="the service to stand")
        manager.setblocking(False)
        # Those from before.
        with suppress(BlockingIOError):
            while manager.recv(100):
                pass
        process.send_signal(signal.SIGCONT)
        manager.settimeout(60)
        assert manager.recv(100) == b"WATCHDOG=1"


def ended(module: str, env: dict[str, str], *, before: str = "") -> subprocess.CompletedProcess[str]:
    command = f'{before} exec "{sys.executable}" -m {module}'
    return subprocess.run(["sh", "-c", command], env=env, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("module", ["cryomamba_broker", "cryomamba_gateway"])
def test_a_full_disk_at_the_start_is_worth_another_try(make_stack: StackMaker, module: str) -> None:
    """Code 4 and a sentence: the supervisor starts it again until there is room."""
    stack = make_stack()
    stack.home.mkdir()
    # The system refuses to let a file grow: to a program, the same as a disk without room.
    said = ended(module, stack.env, before="ulimit -f 0;")
    assert said.returncode == 4, said.stderr
    assert "cannot be used" in said.stderr or "cannot be opened" in said.stderr
    assert "Traceback" not in said.stderr


def test_a_newer_job_store_needs_a_person(make_stack: StackMaker) -> None:
    """Code 6: starting again would change nothing, and the store is left as it was."""
    stack = make_stack().start("broker")
    wait_until((stack.home / "bus.json").exists, what="the broker")
    assert stack.stop("broker") == 0
    with closing(sqlite3.connect(stack.home / "jobs.sqlite", isolation_level=None)) as store:
        store.execute("PRAGMA user_version = 9999")
    said = ended("cryomamba_broker", stack.env)
    assert said.returncode == 6
    assert "newer CryoMamba" in said.stderr


@pytest.mark.parametrize("module", ["cryomamba_broker", "cryomamba_inference", "cryomamba_gateway"])
def test_a_wrong_setting_needs_a_person(make_stack: StackMaker, module: str) -> None:
    """Code 2, with the variable's name."""
    said = ended(module, {**make_stack().env, "CRYOMAMBA_LEASE_S": "soon"})
    assert said.returncode == 2
    assert "CRYOMAMBA_LEASE_S" in said.stderr


def test_a_broker_that_was_away_for_many_leases_is_found_again(stack: Stack) -> None:
    """The worker computes on and insists, the gateway answers 503; both go on by themselves, and no attempt is lost."""
    with cryomamba.connect(stack.bus_url) as client:
        job = client.submit(shape=(32, 32, 32), engine="demo", params={"seconds": 3})
        wait_until(lambda: client.record(job.job_id).state is JobState.RUNNING, what="the job to run")
    stack.kill("broker")
    gone = time.monotonic()
    wait_until(lambda: "as long as it takes" in stack.log("inference"), what="the worker to notice")
    assert httpx.get(f"{stack.http_url}/v1/readyz").status_code == 503
    wait_until(lambda: time.monotonic() - gone > 3 * LEASE_S, what="three leases to pass")
    stack.start("broker").wait_ready()
    with cryomamba.connect(stack.http_url) as client:
        record = client.job(job.job_id).wait().record
    assert (record.state, record.attempt) == (JobState.COMPLETED, 1)


def test_a_locked_database_is_a_pause(stack: Stack) -> None:
    """While another program holds the store, a submit is told to come again; afterwards jobs run as before."""
    with cryomamba.connect(stack.bus_url) as client:
        with closing(sqlite3.connect(stack.home / "jobs.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            reply = httpx.post(f"{stack.http_url}/v1/jobs", json={"volume": {"shape": [8, 8, 8]}}, timeout=60)
            assert (reply.status_code, reply.json()["retryable"]) in {(503, True), (504, True)}, reply.text
        stack.wait_ready()
        job = client.submit(shape=(16, 16, 16), engine="demo", params={"seconds": 0})
        assert job.wait().state is JobState.COMPLETED
    assert all(process.poll() is None for process in stack.processes.values())


def test_a_broker_whose_disk_was_full_goes_on(stack: Stack) -> None:
    """Jobs are refused while nothing can be written, none is lost, and room is all it takes."""
    broker = psutil.Process(stack.processes["broker"].pid)
    with cryomamba.connect(stack.bus_url) as client:
        before = client.submit(shape=(16, 16, 16), engine="demo", params={"seconds": 0})
        before.wait()
        broker.rlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        with pytest.raises(UnavailableError):
            client.submit(shape=(16, 16, 16), engine="demo", params={"seconds": 0})
        broker.rlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        after = client.submit(shape=(16, 16, 16), engine="demo", params={"seconds": 0})
        assert after.wait().state is JobState.COMPLETED
        assert [record.job_id for record in client.jobs()] == [after.job_id, before.job_id]


def test_a_gateway_that_was_alone_for_long_serves_again(make_stack: StackMaker) -> None:
    """A gateway and a worker that never saw a broker find the first one that comes, on the very same processes."""
    stack = make_stack(CRYOMAMBA_LEASE_S=str(LEASE_S)).start("gateway", "inference")
    wait_until(lambda: "as long as it takes" in stack.log("inference"), timeout=60, what="the worker to look")
    alone = {name: process.pid for name, process in stack.processes.items()}
    stack.start("broker").wait_ready()
    assert {name: stack.processes[name].pid for name in alone} == alone


def test_a_service_that_breaks_by_a_defect_says_so(make_stack: StackMaker, tmp_path: Path) -> None:
    """Code 70 with a traceback in the log, so that it is started again and can be reported."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "import cryomamba_gateway.server as server\n"
        "def url_of(*arguments, **more):\n    raise ZeroDivisionError('made by the test')\n"
        "server.url_of = url_of\n"
    )
    said = ended("cryomamba_gateway", {**make_stack().env, "PYTHONPATH": os.fspath(broken)})
    assert said.returncode == 70
    assert "ended by a defect" in said.stderr
    assert "ZeroDivisionError" in said.stderr
