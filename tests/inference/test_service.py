"""The service against a real broker: jobs, engines that ignore a cancel, lost leases, restarts and shutdown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from unittest.mock import patch

import psutil
import pytest

from cryomamba.client import AsyncClient, aconnect
from cryomamba.client.bus_requester import BusRequester
from cryomamba.errors import CryoMambaError, InvalidRequestError
from cryomamba.models.jobs import JobRecord, JobState
from cryomamba.settings import Settings
from cryomamba.testing import Stack, wait_until_async
from cryomamba.wire.requests import Release
from cryomamba_inference import attempt
from cryomamba_inference.__main__ import main, with_shared_processors
from cryomamba_inference.service import InferenceService

STUBBORN = """
import signal
from pathlib import Path
from cryomamba.engines.api import Engine, EngineParameters


class Stubborn(Engine):
    name = "stubborn"
    summary = "Never ends"
    Parameters = EngineParameters
    labels = {1: "a"}
    needs_volume = False

    def predict(self, tile):
        Path(__file__).with_name("running").touch()
        while True:
            signal.pause()
"""


@pytest.fixture
def stubborn_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed engine that ignores a cancel; returns the file that it makes once it is computing."""
    info = tmp_path / "site" / "stubborn-1.0.dist-info"
    info.mkdir(parents=True)
    (tmp_path / "site" / "stubborn.py").write_text(STUBBORN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stubborn\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[cryomamba.engines]\nstubborn = stubborn:Stubborn\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path / "site" / "running"


@asynccontextmanager
async def serving(stack: Stack) -> AsyncIterator[tuple[InferenceService, AsyncClient]]:
    """A service in this process and a client, both connected to the stack's broker."""
    names = ("jobs", "preview_in", "preview_out", "events")
    bus = {f"bus_{name}": f"tcp://127.0.0.1:{stack.ports[name]}" for name in names}
    service = InferenceService(Settings(home=stack.home, roots=(stack.home.parent,), processes=1, **bus))  # type: ignore[arg-type]
    stop = asyncio.Event()
    task = asyncio.create_task(service.serve(stop))
    try:
        async with await aconnect(stack.bus_url) as client:
            await wait_until_async(lambda: workers(client), what="the worker to be known")
            yield service, client
    finally:
        stop.set()
        await task


async def workers(client: AsyncClient) -> bool:
    try:
        return bool((await client.info()).workers)
    except CryoMambaError:
        return False


async def answered(answer: bool) -> bool:
    return answer


async def until_state(client: AsyncClient, job_id: str, state: JobState) -> JobRecord:
    async def reached() -> JobRecord | None:
        record = await client.record(job_id)
        return record if record.state is state else None

    record = await wait_until_async(reached, what=f"the job to be {state}")
    assert record is not None
    return record


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A broker on free ports."""
    with Stack(tmp_path / "home", roots=[tmp_path], env={"CRYOMAMBA_LEASE_S": "2"}) as stack:
        yield stack.start("broker")


def work_left(stack: Stack) -> list[Path]:
    return sorted((stack.home / "work").glob("*/*"))


@pytest.mark.slow
async def test_a_stubborn_engine_is_ended_after_a_grace(stubborn_package: Path, stack: Stack) -> None:
    """An engine that ignores a cancel is killed with its process; the next job gets a new process."""
    with patch.object(attempt, "GRACE_S", 0.1):
        async with serving(stack) as (service, client):
            job = await client.submit(shape=(8, 8, 8), engine="stubborn")
            # A cancel that comes before the first tile would end the job without a kill.
            await wait_until_async(lambda: answered(stubborn_package.exists()), what="the engine to compute")
            first = service.child_pid
            await client.cancel(job.job_id)
            await until_state(client, job.job_id, JobState.CANCELLED)
            job = await client.submit(shape=(8, 8, 8), engine="demo", params={"seconds": 0})
            record = await until_state(client, job.job_id, JobState.COMPLETED)
            assert service.child_pid not in (None, first)
    assert record.attempt == 1
    for artifact in record.artifacts:
        assert (stack.home / "artifacts" / job.job_id / artifact.name).stat().st_size == artifact.size_bytes
    assert work_left(stack) == []


@pytest.mark.slow
async def test_a_lost_lease_ends_the_work(stack: Stack) -> None:
    """When the broker has taken the job back, its process is ended, its files are deleted, and the job starts again."""
    async with serving(stack) as (service, client):
        job = await client.submit(shape=(8, 8, 8), engine="demo", params={"seconds": 3600})
        await until_state(client, job.job_id, JobState.RUNNING)
        await wait_until_async(lambda: answered(bool(work_left(stack))), what="the work folder")
        first = service.child_pid
        channel = BusRequester(stack.bus_url, src="thief")
        await channel.request("job.release", Release(job=job.job_id, worker=service.worker, attempt=1))
        await channel.close()
        await wait_until_async(lambda: answered(service.child_pid != first), what="the process to be ended")
        await until_state(client, job.job_id, JobState.RUNNING)
        await client.cancel(job.job_id)
        await until_state(client, job.job_id, JobState.CANCELLED)
    assert work_left(stack) == []


@pytest.mark.slow
async def test_a_service_that_stops_releases_its_job(stack: Stack) -> None:
    """At the end the job is pending again without having cost an attempt, and no process or file is left."""
    async with serving(stack) as (service, client):
        job = await client.submit(shape=(8, 8, 8), engine="demo", params={"seconds": 3600})
        await until_state(client, job.job_id, JobState.RUNNING)
        child = service.child_pid
    assert child is not None
    assert not psutil.pid_exists(child)
    assert service.child_pid is None
    async with await aconnect(stack.bus_url) as client:
        record = await client.record(job.job_id)
    assert (record.state, record.errors) == (JobState.PENDING, ())
    assert work_left(stack) == []


@pytest.mark.slow
async def test_a_child_that_dies_while_idle_is_replaced(stack: Stack) -> None:
    """SIGKILL of an idle compute process has no effect: the next job completes on its first attempt."""
    async with serving(stack) as (service, client):
        first = service.child_pid
        psutil.Process(first).kill()
        await wait_until_async(lambda: answered(service.child_pid != first), what="the death to be noticed")
        job = await client.submit(shape=(8, 8, 8), engine="demo", params={"seconds": 0})
        record = await until_state(client, job.job_id, JobState.COMPLETED)
    assert (record.attempt, record.errors) == (1, ())


@pytest.mark.slow
async def test_the_worker_registers_with_a_new_broker(stack: Stack) -> None:
    """After the broker has been replaced, the idle service registers again and works."""
    async with serving(stack) as (_, client):
        stack.kill("broker")
        stack.start("broker")
        await wait_until_async(lambda: workers(client), what="the worker to be known again")
        job = await client.submit(shape=(8, 8, 8), engine="demo", params={"seconds": 0})
        await until_state(client, job.job_id, JobState.COMPLETED)


def test_other_machines_are_refused(tmp_path: Path) -> None:
    """A bus endpoint that is not on loopback is refused before anything is connected."""
    with pytest.raises(InvalidRequestError, match="CRYOMAMBA_BUS_JOBS"):
        InferenceService(Settings(home=tmp_path, bus_jobs="tcp://192.0.2.1:5560"))


def test_a_bad_setting_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A setting that cannot be used ends the program with status 2; --help names the settings."""
    monkeypatch.setenv("CRYOMAMBA_HOME", str(tmp_path))
    monkeypatch.setenv("CRYOMAMBA_PROCESSES", "many")
    assert main([]) == 2
    monkeypatch.setenv("CRYOMAMBA_PROCESSES", "1")
    for slots in ("1", "2"):
        monkeypatch.setenv("CRYOMAMBA_SLOTS", slots)
        monkeypatch.setenv("CRYOMAMBA_BUS_JOBS", "tcp://192.0.2.1:5560")
        assert main([]) == 2
    monkeypatch.delenv("CRYOMAMBA_BUS_JOBS")
    assert with_shared_processors(Settings(slots=1, processes=0)).processes == 0
    assert with_shared_processors(Settings(slots=64, processes=0)).processes >= 1
    assert with_shared_processors(Settings(slots=2, processes=3)).processes == 3
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "CRYOMAMBA_PROCESSES" in capsys.readouterr().out
