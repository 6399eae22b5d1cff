"""Starting and stopping a broker: restarts, leaks, processes, shutdown."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.broker.store.store_helpers import damage_pages

from cryomamba.client.bus_requester import BusRequester
from cryomamba.endpoints import ConnectionFile
from cryomamba.errors import ErrorCode, UnavailableError
from cryomamba.settings import Settings
from cryomamba.testing import DEADLINE_S, wait_until
from cryomamba_broker.__main__ import main
from cryomamba_broker.server import Broker
from cryomamba_broker.state_machine import LeasePolicy
from cryomamba_broker.store import Store
from cryomamba_server.exit_codes import ExitCode

StartBroker = Callable[..., Awaitable[Broker]]
VARIABLES = ("BUS_JOBS", "BUS_PREVIEW_IN", "BUS_PREVIEW_OUT", "BUS_EVENTS")
HELLO = {
    "worker": "w",
    "host": "here",
    "pid": 1,
    "version": "0",
    "engines": [{"name": "demo", "summary": "s", "parameters": {}, "needs_volume": False}],
}
CLAIM = {"worker": "w", "engines": ["demo"], "wait_s": 60}
JOB = {"volume": {"shape": [8, 8, 8]}, "engine": "demo"}


def start_process(home: Path, **env: str) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CRYOMAMBA_")}
    free = {f"CRYOMAMBA_{name}": "tcp://127.0.0.1:0" for name in VARIABLES}
    return subprocess.Popen(
        [sys.executable, "-m", "cryomamba_broker"],
        env={**clean, **free, "CRYOMAMBA_HOME": str(home), **env},
        stderr=subprocess.PIPE,
        text=True,
    )


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_lease_that_runs_out_brings_the_job_to_another_worker(settings: Settings) -> None:
    """A worker that goes silent loses its job to the next one, who gets it as attempt 2, and its finish is refused."""
    async with Broker(settings, policy=LeasePolicy(lease_s=0.3, pause_s=0.0)) as broker:
        channel = BusRequester(broker.endpoints.jobs, src="all")
        await channel.request("worker.hello", HELLO)
        await channel.request("job.submit", JOB)
        first = (await channel.request("job.claim", CLAIM)).body
        second = (await channel.request("job.claim", {**CLAIM, "worker": "w2"}, timeout=DEADLINE_S)).body
        assert (first["attempt"], second["attempt"]) == (1, 2)
        assert second["job"]["job_id"] == first["job"]["job_id"]
        assert second["job"]["errors"][0]["code"] == "worker_lost"
        await channel.close()


async def test_a_restart_gives_running_jobs_a_lease_and_keeps_the_rest(start_broker: StartBroker) -> None:
    """Jobs, leases, events and known engines are there after a restart, and the worker goes on where it was."""
    before = await start_broker()
    channel = BusRequester(before.endpoints.jobs, src="w")
    await channel.request("worker.hello", HELLO)
    job_id = (await channel.request("job.submit", JOB)).body["job_id"]
    await channel.request("job.claim", CLAIM)
    await channel.close()
    await before.__aexit__(None, None, None)
    after = await start_broker()
    assert after.envelopes.epoch != before.envelopes.epoch
    channel = BusRequester(after.endpoints.jobs, src="w")
    lease = {"job": job_id, "worker": "w", "attempt": 1}
    assert (await channel.request("job.renew", lease)).body["cancel"] is False
    assert (await channel.request("job.submit", JOB)).body["state"] == "pending"
    done = (await channel.request("job.finish", {**lease, "artifacts": []})).body
    assert [event["n"] for event in done["history"]] == [1, 2, 4]
    await channel.close()


async def test_a_hundred_clients_leave_nothing_behind(broker: Broker) -> None:
    """After 100 connects and goodbyes the process has as many open files as before."""

    async def visit() -> None:
        channel = BusRequester(broker.endpoints.jobs, src="visitor")
        await channel.request("ping", {})
        await channel.close()

    await visit()
    before = descriptors()
    for _ in range(100):
        await visit()
    for _ in range(1000):
        if descriptors() <= before + 5:
            break
        await asyncio.sleep(0)
        await visit()
    assert descriptors() <= before + 5


async def test_starting_and_ending_leaves_nothing_behind(settings: Settings) -> None:
    """The connection file is there while the broker runs, and ports, files and threads are free afterwards."""
    async with Broker(settings):
        pass
    before = descriptors()
    for _ in range(3):
        async with Broker(settings) as broker:
            found = ConnectionFile.read(settings.connection_file)
            assert found.endpoints == broker.endpoints
            assert settings.connection_file.stat().st_mode & 0o777 == 0o600
        assert not settings.connection_file.exists()
    assert descriptors() <= before


async def test_a_defect_in_one_request_does_not_end_the_broker(
    broker: Broker, client: BusRequester, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception that nobody thought of is answered as an internal error, logged, and over."""
    monkeypatch.setattr(broker.core.workers, "engines", lambda: 1 / 0)
    with caplog.at_level(logging.ERROR), pytest.raises(Exception, match="unexpected error"):
        await client.request("server.info", {})
    assert "ZeroDivisionError" in caplog.text
    assert (await client.request("ping", {})).body["protocol"] == 1


async def test_a_store_that_is_damaged_while_it_runs_is_told_as_such(
    broker: Broker, client: BusRequester, worker: BusRequester, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Requests that meet the damage are refused for good, readiness with them, and the log says it once."""
    await client.request("job.submit", JOB)
    assert (await client.request("server.info", {})).body["workers"]

    def damage(store: Store) -> None:
        store.database.read.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        damage_pages(settings.database)
        store.database.read.execute("PRAGMA shrink_memory")

    await broker.core.store.call(damage)
    for type_, body in (("job.list", {}), ("job.submit", JOB), ("server.info", {}), ("server.info", {})):
        with pytest.raises(UnavailableError) as caught:
            await client.request(type_, body)
        assert (caught.value.code, caught.value.retryable) == (ErrorCode.STORE_DAMAGED, False)
        assert "restore" in caught.value.hint
    assert (await client.request("ping", {})).body["protocol"] == 1
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "cryomamba restore" in errors[0].getMessage()


def test_a_broker_with_a_damaged_store_does_not_start(tmp_path: Path) -> None:
    """Its exit code tells a supervisor not to restart it, and its last line says what to do."""
    (tmp_path / "jobs.sqlite").write_bytes(b"not a database at all" * 100)
    with start_process(tmp_path) as process:
        _, printed = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == ExitCode.DAMAGED
    assert "cryomamba restore" in printed.splitlines()[-1]
    assert "Traceback" not in printed


def test_the_process_starts_answers_and_ends_cleanly(tmp_path: Path) -> None:
    """A real broker writes its connection file, refuses a second one, and a SIGTERM ends it with status 0."""
    process = start_process(tmp_path, CRYOMAMBA_LOG="info,json")
    try:
        wait_until((tmp_path / "bus.json").exists, what="the connection file")
        second = start_process(tmp_path)
        _, said = second.communicate(timeout=DEADLINE_S)
        assert second.returncode == 4
        assert "Another broker" in said
        process.terminate()
        _, log = process.communicate(timeout=DEADLINE_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert '"service": "broker"' in log
    assert "Traceback" not in log + said
    assert not (tmp_path / "bus.json").exists()


def test_a_port_in_use_ends_the_process_with_status_2(tmp_path: Path) -> None:
    """One sentence with the address, what to do, and no traceback; nothing changes by itself."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with start_process(tmp_path, CRYOMAMBA_BUS_EVENTS=endpoint) as process:
            _, printed = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == ExitCode.USAGE
    assert f"{endpoint} is already in use" in printed
    assert "CRYOMAMBA_BUS_EVENTS" in printed
    assert "Traceback" not in printed


def test_a_killed_process_leaves_a_store_that_the_next_one_takes_over(tmp_path: Path) -> None:
    """After SIGKILL the lock is free and every job that was acknowledged is there."""

    async def fill() -> list[str]:
        channel = BusRequester(ConnectionFile.read(tmp_path / "bus.json").endpoints.jobs, src="c")
        await channel.request("worker.hello", HELLO)
        made = [str((await channel.request("job.submit", JOB)).body["job_id"]) for _ in range(20)]
        await channel.close()
        return made

    async def read() -> list[str]:
        channel = BusRequester(ConnectionFile.read(tmp_path / "bus.json").endpoints.jobs, src="c")
        jobs = (await channel.request("job.list", {"limit": 100})).body["jobs"]
        await channel.close()
        return [job["job_id"] for job in jobs]

    process = start_process(tmp_path)
    wait_until((tmp_path / "bus.json").exists, what="the connection file")
    made = asyncio.run(fill())
    process.kill()
    process.communicate()
    (tmp_path / "bus.json").unlink()
    process = start_process(tmp_path)
    try:
        wait_until((tmp_path / "bus.json").exists, what="the connection file")
        assert asyncio.run(read()) == made[::-1]
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE_S)


def test_help_is_there_and_wrong_settings_are_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """--help names the variables; a setting that does not fit ends the program with status 2 and its name."""
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    assert "CRYOMAMBA_BUS_JOBS" in capsys.readouterr().out
    monkeypatch.setenv("CRYOMAMBA_LEASE_S", "-1")
    assert main([]) == 2
    assert "CRYOMAMBA_LEASE_S" in caplog.text


async def test_a_broker_that_ends_waits_for_leases_to_be_given_back(settings: Settings) -> None:
    """When all services are stopped at once, the worker can still release its job, and no job is handed out anew."""
    async with Broker(settings) as broker:
        channel = BusRequester(broker.endpoints.jobs, src="w")
        await channel.request("worker.hello", HELLO)
        job_id = (await channel.request("job.submit", JOB)).body["job_id"]
        await channel.request("job.claim", CLAIM)
        stop = asyncio.Event()
        serving = asyncio.create_task(broker.serve(stop))
        stop.set()
        released = await channel.request("job.release", {"job": job_id, "worker": "w", "attempt": 1})
        assert released.body["state"] == "pending"
        assert (await channel.request("job.claim", {**CLAIM, "wait_s": 0})).body["job"] is None
        await serving
        await channel.close()
