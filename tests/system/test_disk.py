"""A full disk: jobs fail with a retryable error, no partial file remains, and free space is all that is needed."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from tests.small_disk import fill, remount, small_disk

import cryomamba
from cryomamba.errors import ErrorCode
from cryomamba.models.jobs import JobState
from cryomamba.testing import DEADLINE_S, Stack, wait_until
from cryomamba.volumes import write_volume

StackMaker = Callable[..., Stack]

pytestmark = [pytest.mark.system, pytest.mark.slow]

DISK_NBYTES = 48 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 48 MB."""
    with small_disk(tmp_path / "disk", DISK_NBYTES) as mounted:
        if mounted is None:
            pytest.skip("only root on Linux can mount a small file system")
        yield mounted


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux sets limits of another process")
def test_a_disk_that_fills_during_a_job(stack: Stack, tomogram: Path) -> None:
    """Each attempt fails with the same retryable error and leaves no file; with space again, a retry completes."""
    inference = psutil.Process(stack.processes["inference"].pid)
    limit = (32 * 1024, psutil.RLIM_INFINITY)
    # No file may grow: to a program, this is the same as a full disk.
    for process in (inference, *inference.children(recursive=True)):
        process.rlimit(psutil.RLIMIT_FSIZE, limit)
    with cryomamba.connect(stack.bus_url) as client:
        job = client.submit(tomogram, engine="threshold")
        wait_until(lambda: client.record(job.job_id).state.final, what="the job to fail")
        failed = client.record(job.job_id)
        assert failed.state is JobState.FAILED
        assert [(error.code, error.retryable) for error in failed.errors] == [
            (ErrorCode.INSUFFICIENT_STORAGE, True)
        ] * 3
        # os.walk skips a folder that is deleted meanwhile.
        work = stack.home / "work"
        wait_until(
            lambda: not any(dirs or files for _, dirs, files in os.walk(work)), what="the work folder to be empty"
        )
        assert not (stack.home / "artifacts" / job.job_id).exists()
        for process in (inference, *inference.children(recursive=True)):
            process.rlimit(psutil.RLIMIT_FSIZE, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))
        client.retry(job.job_id)
        wait_until(lambda: client.record(job.job_id).state.final, what="the job to end")
        assert client.record(job.job_id).state is JobState.COMPLETED


def test_a_disk_that_is_full_to_the_last_byte(disk: Path, tmp_path: Path) -> None:
    """Jobs and uploads are refused, a broker waits to start, results can be read; space alone restores everything."""
    tomogram = tmp_path / "noise.mrc"
    write_volume(tomogram, np.random.default_rng(3).normal(size=(64, 256, 256)).astype(np.float32), 10.0)
    env = {"CRYOMAMBA_LEASE_S": "2", "CRYOMAMBA_DISK_RESERVE": str(4 << 20)}
    with Stack(disk / "home", roots=[tmp_path], env=env) as stack:
        stack.start().wait_ready()
        with (
            cryomamba.connect(stack.bus_url) as client,
            httpx.Client(base_url=stack.http_url, timeout=DEADLINE_S) as http,
        ):
            done = client.submit(tomogram, engine="threshold")
            wait_until(lambda: client.record(done.job_id).state is JobState.COMPLETED, what="the first job")
            job = client.submit(tomogram, engine="threshold")
            wait_until(lambda: client.record(job.job_id).state is JobState.RUNNING, what="the second job to run")
            ballast = fill(disk)
            assert shutil.disk_usage(disk).free == 0
            for path, body in (("/v1/jobs", {}), ("/v1/uploads/init", {"filename": "a.mrc", "total_size_bytes": 4096})):
                reply = http.post(path, json=body)
                assert (reply.status_code, reply.json()["code"]) == (507, "insufficient_storage")
            wait_until(lambda: "attempt 1, ended" in stack.log("inference"), what="the attempt to end")
            # Existing results can still be read.
            assert http.get(f"/v1/jobs/{done.job_id}/artifacts/stats.json").status_code == 200
            assert http.get("/v1/readyz").status_code == 200
            assert not client.record(job.job_id).state.final
            stack.kill("broker")
            stack.start("broker")
            wait_until(lambda: "full" in stack.log("broker"), what="the broker to report the full disk")
            assert stack.processes["broker"].poll() is None
            ballast.unlink()
            stack.wait_ready()
            wait_until(lambda: client.record(job.job_id).state.final, what="the job to end")
            ended = client.record(job.job_id)
            assert ended.state is JobState.COMPLETED
            assert all(error.retryable for error in ended.errors)
            assert len(ended.artifacts) == len(done.artifacts or client.record(done.job_id).artifacts)
            names = {path.name for path in (stack.home / "artifacts" / job.job_id).iterdir()}
            assert names == {artifact.name for artifact in ended.artifacts}
            wait_until(lambda: not any((stack.home / "work").iterdir()), what="the work folder to be empty")
            assert not list(stack.home.rglob("*.part"))


def test_a_disk_that_becomes_read_only(disk: Path, tmp_path: Path) -> None:
    """A worker that cannot write takes no job: it waits in the queue, without an error, until the disk is mended."""
    tomogram = tmp_path / "noise.mrc"
    write_volume(tomogram, np.random.default_rng(3).normal(size=(16, 64, 64)).astype(np.float32), 10.0)
    home = tmp_path / "home"
    home.mkdir(0o700)
    for name in ("work", "artifacts"):
        (disk / name).mkdir(0o700)
        (home / name).symlink_to(disk / name)
    with Stack(home, roots=[tmp_path]) as stack:
        stack.start().wait_ready()
        remount(disk, "ro")
        with cryomamba.connect(stack.bus_url) as client:
            # One claim is under way already, so one job may still be given to this worker, and fails.
            jobs = [client.submit(tomogram, engine="threshold").job_id for _ in range(3)]
            wait_until(lambda: "takes no jobs" in stack.log("inference"), what="the worker to say why")
            waiting = [job for job in jobs if client.record(job).state is JobState.PENDING]
            assert len(waiting) >= 2
            remount(disk, "rw")
            wait_until(lambda: all(client.record(job).state.final for job in waiting), what="the jobs to end")
            ended = [client.record(job) for job in waiting]
        assert [(job.state, job.errors) for job in ended] == [(JobState.COMPLETED, ())] * len(waiting)
