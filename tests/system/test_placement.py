"""Jobs that go where they can run: two real inference services of which one does not see the tomogram."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.system.conftest import StackMaker

import cryomamba
from cryomamba.models.jobs import JobState
from cryomamba.testing import DEADLINE_S, wait_until

pytestmark = pytest.mark.system


def test_a_job_waits_for_a_worker_that_sees_its_tomogram(
    make_stack: StackMaker, tomogram: Path, tmp_path: Path
) -> None:
    """The worker without the folder hands it back once, its record says why it waits, and a second worker runs it."""
    stack = make_stack()
    stack.env_of["inference"] = {"CRYOMAMBA_ROOTS": str(tmp_path / "elsewhere")}
    stack.start().wait_ready()
    with cryomamba.connect(stack.http_url) as client:
        (blind,) = client.workers()
        assert blind.folders == ()
        job = client.submit(tomogram, engine="threshold")
        reason = f"No worker can access {tomogram}: the folder has to be mounted on the host of a worker."
        wait_until(lambda: job.refresh().record.blocked_reason == reason, what="the reason")
        assert job.state is JobState.PENDING
        # Another job shows that this worker is free, and is not given the first one again.
        other = client.submit(shape=(16, 16, 16), engine="demo", params={"seconds": 0})
        assert other.wait().state is JobState.COMPLETED
        with (tmp_path / "second.log").open("wb") as log:
            second = subprocess.Popen(
                [sys.executable, "-m", "cryomamba_inference"], env=stack.env, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            assert job.wait().state is JobState.COMPLETED
        finally:
            second.terminate()
            second.wait(DEADLINE_S)
        history = [(event.type, event.reason) for event in job.record.history]
    assert history == [
        ("job_created", ""),
        ("job_started", ""),
        ("job_requeued", f"The worker {blind.worker} cannot access {tomogram.name}."),
        ("job_started", ""),
        ("job_completed", ""),
    ]
