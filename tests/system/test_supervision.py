"""Services under a supervisor: their notifications and exit codes, and that they recover without an administrator."""

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
from cryomamba.testing import DEADLINE_S, Stack, wait_until

StackMaker = Callable[..., Stack]

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(sys.platform != "linux", reason="systemd and the limits of other processes need Linux"),
]
LEASE_S = 2.0


@contextmanager
def notification_socket(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(DEADLINE_S)
        yield manager


@pytest.mark.parametrize("service", ["broker", "inference", "gateway"])
def test_each_service_notifies_its_supervisor(make_stack: StackMaker, tmp_path: Path, service: str) -> None:
    """Ready without the other services, then watchdog messages; none while the process is stopped, and again after."""
    with notification_socket(tmp_path / "notify") as manager:
        stack = make_stack(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="200000")
        stack.start(service)  # type: ignore[arg-type]
        messages = [manager.recv(100)]
        while b"READY=1" not in messages:
            messages.append(manager.recv(100))
        assert set(messages) == {b"READY=1", b"WATCHDOG=1"}
        process = stack.processes[service]
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, what="the process to stop")
        manager.setblocking(False)
        # Messages from before the stop.
        with suppress(BlockingIOError):
            while manager.recv(100):
                pass
        process.send_signal(signal.SIGCONT)
        manager.settimeout(DEADLINE_S)
        assert manager.recv(100) == b"WATCHDOG=1"


def run_service(module: str, env: dict[str, str], *, before: str = "") -> subprocess.CompletedProcess[str]:
    command = f'{before} exec "{sys.executable}" -m {module}'
    return subprocess.run(["sh", "-c", command], env=env, capture_output=True, text=True, timeout=DEADLINE_S)


@pytest.mark.parametrize(
    ("module", "message"), [("cryomamba_broker", "cannot be used"), ("cryomamba_gateway", "The disk is full")]
)
def test_a_full_disk_at_the_start_can_be_tried_again(make_stack: StackMaker, module: str, message: str) -> None:
    """Exit code 4 and a message: the supervisor restarts it until there is space."""
    stack = make_stack()
    stack.home.mkdir()
    # No file may grow: to a program, this is the same as a full disk.
    ended = run_service(module, stack.env, before="ulimit -f 0;")
    assert ended.returncode == 4, ended.stderr
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_newer_job_store_needs_an_administrator(make_stack: StackMaker) -> None:
    """Exit code 6: a restart would change nothing, and the store is not modified."""
    stack = make_stack().start("broker")
    wait_until((stack.home / "bus.json").exists, what="the broker")
    assert stack.stop("broker", timeout=DEADLINE_S) == 0
    with closing(sqlite3.connect(stack.home / "jobs.sqlite", isolation_level=None)) as store:
        store.execute("PRAGMA user_version = 9999")
    ended = run_service("cryomamba_broker", stack.env)
    assert ended.returncode == 6
    assert "newer CryoMamba" in ended.stderr


@pytest.mark.parametrize("module", ["cryomamba_broker", "cryomamba_inference", "cryomamba_gateway"])
def test_an_invalid_setting_needs_an_administrator(make_stack: StackMaker, module: str) -> None:
    """Exit code 2, and the message names the variable."""
    ended = run_service(module, {**make_stack().env, "CRYOMAMBA_LEASE_S": "soon"})
    assert ended.returncode == 2
    assert "CRYOMAMBA_LEASE_S" in ended.stderr


def test_a_broker_that_was_down_for_many_leases_is_found_again(stack: Stack) -> None:
    """The worker computes and retries, the gateway answers 503; both recover, and the job needs one attempt only."""
    with cryomamba.connect(stack.bus_url) as client:
        job = client.submit(shape=(32, 32, 32), engine="demo", params={"seconds": 3})
        wait_until(lambda: client.record(job.job_id).state is JobState.RUNNING, what="the job to run")
    logged = len(stack.log("inference"))
    stack.kill("broker")
    killed = time.monotonic()
    wait_until(lambda: "Retrying until it answers" in stack.log("inference")[logged:], what="the worker to notice")
    assert httpx.get(f"{stack.http_url}/v1/readyz", timeout=DEADLINE_S).status_code == 503
    wait_until(lambda: time.monotonic() - killed > 3 * LEASE_S, what="three leases to pass")
    stack.start("broker").wait_ready()
    with cryomamba.connect(stack.http_url) as client:
        record = client.job(job.job_id).wait().record
    assert (record.state, record.attempt) == (JobState.COMPLETED, 1)


def test_a_locked_database_delays_jobs_only(stack: Stack) -> None:
    """While another program locks the store, a submission is refused as retryable; afterwards jobs run as before."""
    with cryomamba.connect(stack.bus_url) as client:
        with closing(sqlite3.connect(stack.home / "jobs.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            reply = httpx.post(f"{stack.http_url}/v1/jobs", json={"volume": {"shape": [8, 8, 8]}}, timeout=DEADLINE_S)
            assert (reply.status_code, reply.json()["retryable"]) in {(503, True), (504, True)}, reply.text
        stack.wait_ready()
        job = client.submit(shape=(16, 16, 16), engine="demo", params={"seconds": 0})
        assert job.wait().state is JobState.COMPLETED
    assert all(process.poll() is None for process in stack.processes.values())


def test_a_broker_continues_when_its_disk_has_space_again(stack: Stack) -> None:
    """Jobs are refused while nothing can be written; none is lost, and the broker needs no restart."""
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
        assert [record.job_id for record in client.jobs()][:2] == [after.job_id, before.job_id]


def test_a_defect_ends_a_service_with_70(make_stack: StackMaker, tmp_path: Path) -> None:
    """Exit code 70 and a traceback in the log, so that it is restarted and can be reported."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "import cryomamba_gateway.server as server\n"
        "def url_of(*arguments, **more):\n    raise ZeroDivisionError('made by the test')\n"
        "server.url_of = url_of\n"
    )
    ended = run_service("cryomamba_gateway", {**make_stack().env, "PYTHONPATH": os.fspath(broken)})
    assert ended.returncode == 70
    assert "because of a defect" in ended.stderr
    assert "ZeroDivisionError" in ended.stderr
