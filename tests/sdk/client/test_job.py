"""The handle of a job: what it does, what it tells, and how it shows itself."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from cryomamba.client import AsyncClient, aconnect
from cryomamba.errors import JobFailedError
from cryomamba.models.jobs import JobError, JobState
from cryomamba.testing import DEADLINE_S

if TYPE_CHECKING:
    from tests.gateway.conftest import Mask, Services, Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

SHAPE = (16, 20, 24)
LABEL = {"voxels": 3, "volume_nm3": 0.5, "centroid_A": [1.0, 2.0, 3.0], "label": 1, "name": "ball"}
STATISTICS = {"labels": [LABEL], "instances": [{**LABEL, "instance": 1}, {**LABEL, "instance": 2}]}


async def run(worker: Worker, ball: Mask) -> None:
    """Do the next job as a worker does."""
    claimed = await worker.claim()
    await worker.publish(claimed, ball, final=True)
    await worker.finish(claimed, {"mask.mrc": b"mask", "stats.json": json.dumps(STATISTICS).encode()})


@pytest.mark.parametrize("transport", ["http", "bus"])
async def test_a_job_from_submit_to_table(
    transport: str, services: Services, worker: Worker, ball: Mask, tmp_path: Path
) -> None:
    """Submitted, waited for, downloaded, and its statistics in pandas in one line."""
    async with await aconnect(services.url if transport == "http" else services.broker.endpoints.jobs) as client:
        job = await client.submit(shape=SHAPE, name="mine")
        assert (job.state, job.name, job.engine) == (JobState.PENDING, "mine", "demo")
        _, done = await asyncio.gather(run(worker, ball), job.wait(timeout=DEADLINE_S))
        assert done is job
        assert (job.state, job.progress.fraction) == (JobState.COMPLETED, 1.0)
        assert {artifact.name for artifact in job.artifacts} == {"mask.mrc", "stats.json"}
        assert (await job.download(tmp_path)).read_bytes() == b"mask"
        assert (await job.download(tmp_path / "s.json", name="stats.json")).is_file()
        labels = pd.DataFrame(await job.statistics())
        assert list(labels["name"]) == ["ball"]
        assert float(labels["centroid_A_x"][0]) == 3.0
        assert list(pd.DataFrame(await job.statistics("instances"))["instance"]) == [1, 2]


async def test_waiting_has_an_end(client: AsyncClient) -> None:
    """A timeout leaves the job as it is; a job that fails or is cancelled raises its error."""
    job = await client.submit(shape=SHAPE)
    with pytest.raises(TimeoutError, match=r"0\.05 s"):
        await job.wait(timeout=0.05)
    assert (await job.refresh()).state is JobState.PENDING
    assert (await job.cancel()).state is JobState.CANCELLED
    with pytest.raises(JobFailedError):
        await job.wait()


async def test_a_failed_job_is_retried_by_its_handle(client: AsyncClient, worker: Worker, ball: Mask) -> None:
    """The handle tells the error, and after the retry the new state."""
    job = await client.submit(shape=SHAPE)
    error = JobError(code="engine_failed", message="A <b>defect</b>.", attempt=1)
    await worker.fail(await worker.claim(), error)
    with pytest.raises(JobFailedError, match="defect"):
        await job.wait(timeout=DEADLINE_S)
    assert "A &lt;b&gt;defect&lt;/b&gt;." in await job.show()
    assert (await job.retry()).state is JobState.PENDING
    await asyncio.gather(run(worker, ball), job.wait(timeout=DEADLINE_S))


async def test_a_notebook_sees_state_progress_and_a_slice(client: AsyncClient, worker: Worker, ball: Mask) -> None:
    """As HTML with an inline picture once there is a preview; without a server it shows what is known."""
    job = await client.submit(shape=SHAPE, name="<tomogram>")
    first = await job.show()
    assert "pending" in first
    assert "&lt;tomogram&gt;" in first
    assert "data:image/png" not in first
    claimed = await worker.claim()
    await worker.progress(claimed, 0.25)
    await worker.publish(claimed, ball)
    async for _ in job.watch():
        if "data:image/png" in (shown := job.html()):
            break
    assert "running" in shown
    await worker.finish(claimed, {"mask.mrc": b"mask"})
    await job.wait(timeout=DEADLINE_S)
    await client.close()
    assert "completed" in await job.show()
    assert repr(job) == f"<AsyncJob {job.job_id} completed 100%>"


async def test_jobs_are_listed_as_handles(client: AsyncClient) -> None:
    """Newest first, and one by its id."""
    first, second = [await client.submit(shape=SHAPE) for _ in range(2)]
    listed = await client.jobs(state=JobState.PENDING, limit=2)
    assert [job.job_id for job in listed] == [second.job_id, first.job_id]
    assert (await client.job(first.job_id)).record == first.record
