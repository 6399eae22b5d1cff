"""A client that a generator makes of the OpenAPI document is typed, and does a whole job with a running gateway."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from cryomamba.testing import DEADLINE_S

if TYPE_CHECKING:
    from tests.gateway.conftest import Services, Worker

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]

# Binary bodies of our own types are plain bytes for a generator that does not know them.
CONFIG = """\
content_type_overrides:
  image/png: application/octet-stream
  application/vnd.cryomamba.frame: application/octet-stream
post_hooks: []
"""
PROGRAM = """\
import sys
import time

from cryo_mamba_gateway_client import AuthenticatedClient
from cryo_mamba_gateway_client.api.artifacts import get_artifact
from cryo_mamba_gateway_client.api.jobs import create_job, get_job, list_jobs
from cryo_mamba_gateway_client.models import CreatedJob, JobOut, JobPageOut, JobRequest, JobState, VolumeDemo
from cryo_mamba_gateway_client.types import File

client = AuthenticatedClient(base_url=sys.argv[1], token="none")
order = JobRequest(volume=VolumeDemo(shape=[8, 8, 8]), engine="demo", name="generated")
made = create_job.sync(client=client, body=order)
assert isinstance(made, CreatedJob), made
job = get_job.sync(made.job_id, client=client)
while isinstance(job, JobOut) and job.state in (JobState.PENDING, JobState.RUNNING):
    time.sleep(0.1)  # A client of plain HTTP asks again and again.
    job = get_job.sync(made.job_id, client=client)
assert isinstance(job, JobOut), job
interval: float = job.preview.interval_s
names: list[str] = [artifact.name for artifact in job.artifacts]
page = list_jobs.sync(client=client, state=[JobState.COMPLETED], search="generated")
assert isinstance(page, JobPageOut), page
assert [one.job_id for one in page.jobs] == [job.job_id]
mask = get_artifact.sync(job.job_id, names[0], client=client)
assert isinstance(mask, File), mask
sys.stdout.write(f"{job.state.value} {interval} {names[0]} {len(mask.payload.read())}")
"""


async def run(*command: str, cwd: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(2 * DEADLINE_S):
        printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()
    return printed.decode()


async def test_a_generated_client_submits_follows_and_downloads(
    services: Services, worker: Worker, tmp_path: Path
) -> None:
    """It is generated without a warning, passes a type checker, and gets the bytes of the mask."""
    (tmp_path / "config.yml").write_text(CONFIG)
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--url", f"{services.url}/openapi.json"]
    printed = await run(*command, "--meta", "none", "--config", "config.yml", cwd=tmp_path)
    assert "WARNING" not in printed, printed
    assert "Success" in await run(sys.executable, "-m", "mypy", "--strict-equality", "program.py", cwd=tmp_path)

    async def work() -> None:
        job = await worker.claim()
        await worker.publish(job, np.ones((4, 4, 4), np.uint8), final=True)
        await worker.finish(job, {"mask.mrc": b"0123456789"})

    working = asyncio.create_task(work())
    assert await run(sys.executable, "program.py", services.url, cwd=tmp_path) == "completed 1.0 mask.mrc 10"
    await working
