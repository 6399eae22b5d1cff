"""A volume that changes between submit and start, or while the job runs, over the bus and HTTP."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import cryomamba
from cryomamba.errors import ErrorCode, VolumeError
from cryomamba.models.events import ProgressEvent, StateEvent
from cryomamba.models.jobs import JobState
from cryomamba.testing import Stack
from cryomamba.volumes import write_volume

pytestmark = pytest.mark.system


def write(path: Path, shape: tuple[int, int, int], value: float = 0.0) -> None:
    rng = np.random.default_rng(5)
    write_volume(path, rng.normal(size=shape).astype(np.float32) + np.float32(value), 10.0)


def test_a_file_that_changes_before_its_job_starts_fails_it(stack: Stack, tmp_path: Path) -> None:
    """One of another shape, one of the same shape, and one whose date was set; an untouched one is segmented."""
    names = ("shape", "voxels", "date", "same")
    for name in names:
        write(tmp_path / f"{name}.mrc", (16, 16, 16))
        os.utime(tmp_path / f"{name}.mrc", (1_700_000_000, 1_700_000_000))
    stack.stop("inference")
    clients = {"http": stack.http_url, "bus": stack.bus_url}
    for url in clients.values():
        with cryomamba.connect(url) as client:
            jobs = {name: client.submit(tmp_path / f"{name}.mrc", engine="threshold", upload="never") for name in names}
            assert {job.record.volume.shape for job in jobs.values()} == {(16, 16, 16)}
            write(tmp_path / "shape.mrc", (16, 16, 20))
            write(tmp_path / "voxels.mrc", (16, 16, 16), 1.0)
            (tmp_path / "date.mrc").touch()
            stack.start("inference")
            jobs["same"].wait()
            for name in ("shape", "voxels", "date"):
                with pytest.raises(VolumeError, match=f"{name}.mrc was changed after the job was submitted") as caught:
                    jobs[name].wait()
                assert caught.value.code is ErrorCode.VOLUME_CHANGED
                record = client.record(jobs[name].job_id)
                assert (record.state, record.attempt, record.artifacts) == (JobState.FAILED, 1, ())
            for name in ("shape", "voxels", "date"):
                write(tmp_path / f"{name}.mrc", (16, 16, 16))
        stack.stop("inference")
    stack.start("inference")


@pytest.mark.parametrize("kind", ["http", "bus"])
def test_a_file_that_changes_while_its_job_runs_fails_it(stack: Stack, tmp_path: Path, kind: str) -> None:
    """The file is written once the engine has begun, which is held for some seconds: no mask, and the code says why."""
    path = tmp_path / f"{kind}.mrc"
    write(path, (16, 16, 16))
    with cryomamba.connect(stack.http_url if kind == "http" else stack.bus_url) as client:
        job = client.submit(path, engine="demo", params={"seconds": 3}, upload="never")
        written = False
        for event in client.watch(job.job_id):
            if isinstance(event, ProgressEvent) and event.progress.done_tiles and not written:
                written = True
                with path.open("r+b") as file:
                    file.seek(2000)
                    file.write(b"\x01")
            if isinstance(event, StateEvent) and event.record.state.final:
                record = event.record
        assert written
        assert record.state is JobState.FAILED
        assert record.errors[-1].code is ErrorCode.VOLUME_CHANGED
        assert record.artifacts == ()
