"""A disk that is full: jobs fail in a way that passes, nothing half-written stays, and room is all it takes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

import cryomamba
from cryomamba.errors import ErrorCode
from cryomamba.records import JobState
from cryomamba.testing import Stack, wait_until

StackMaker = Callable[..., Stack]

pytestmark = pytest.mark.system


def test_a_full_disk_refuses_jobs_over_http(make_stack: StackMaker) -> None:
    """Below the reserve a submit is answered with 507, and that it may work later."""
    stack = make_stack(CRYOMAMBA_DISK_RESERVE=str(2**62)).start().wait_ready()
    reply = httpx.post(f"{stack.http_url}/v1/jobs", json={"volume": {"shape": [8, 8, 8]}})
    assert reply.status_code == 507
    assert (reply.json()["code"], reply.json()["retryable"]) == ("insufficient_storage", True)
    assert httpx.get(f"{stack.http_url}/v1/jobs").json()["jobs"] == []


@pytest.mark.skipif(sys.platform != "linux", reason="limits of another process are set on Linux alone")
def test_a_disk_that_fills_while_a_job_runs(stack: Stack, tomogram: Path) -> None:
    """Each attempt ends with the same passing error and leaves no file; with room again, a retry completes the job."""
    inference = psutil.Process(stack.processes["inference"].pid)
    limit = (32 * 1024, psutil.RLIM_INFINITY)
    # The system refuses to let a file grow: to a program, the same as a disk without room.
    for process in (inference, *inference.children(recursive=True)):
        process.rlimit(psutil.RLIMIT_FSIZE, limit)
    with cryomamba.connect(stack.bus_url) as client:
        job = client.submit(tomogram, engine="threshold")
        wait_until(lambda: client.get(job.job_id).state.final, timeout=60, what="the job to fail")
        failed = client.get(job.job_id)
        assert failed.state is JobState.FAILED
        assert [(error.code, error.retryable) for error in failed.errors] == [
            (ErrorCode.INSUFFICIENT_STORAGE, True)
        ] * 3
        # os.walk passes over a folder that goes while it looks.
        work = stack.home / "work"
        wait_until(
            lambda: not any(dirs or files for _, dirs, files in os.walk(work)), what="the work folder to be empty"
        )
        assert not (stack.home / "artifacts" / job.job_id).exists()
        for process in (inference, *inference.children(recursive=True)):
            process.rlimit(psutil.RLIMIT_FSIZE, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))
        client.retry(job.job_id)
        wait_until(lambda: client.get(job.job_id).state.final, timeout=60, what="the job to end")
        assert client.get(job.job_id).state is JobState.COMPLETED
