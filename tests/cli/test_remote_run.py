"""``segment`` on a server, through the gateway and directly."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

import cryomamba
from cryomamba.errors import JobFailedError
from cryomamba.models.jobs import JobState
from cryomamba.models.masks import MaskSource
from cryomamba.testing import DEADLINE_S, Stack
from cryomamba.volumes import open_volume, write_volume
from cryomamba_cli.remote_run import submit_and_download
from cryomamba_cli.reporter import PlainReporter
from cryomamba_cli.segmentation_task import Task
from cryomamba_cli.signals import Interrupted, interruptible

pytestmark = pytest.mark.system
Cli = Callable[..., Result]


def test_a_server_makes_the_same_mask(url: str, cli: Cli, volume: Path, tmp_path: Path) -> None:
    """The mask of a server equals that of a local run, and exports are downloaded too."""
    wanted = ("-e", "threshold", "-p", "contrast=bright", "--nrrd")
    there = cli("segment", volume, "-o", "there.mrc", *wanted, "--server", url, "--name", "mine")
    assert there.exit_code == 0, there.stderr
    assert there.stdout.splitlines() == ["there.mrc", "there.nrrd"]
    assert "completed" in there.stderr
    assert cli("segment", volume, "-o", "here.mrc", *wanted).exit_code == 0
    with open_volume(tmp_path / "there.mrc") as one, open_volume(tmp_path / "here.mrc") as other:
        whole = (slice(None),) * 3
        assert np.array_equal(one.read_native(*whole), other.read_native(*whole))


def test_a_mask_limits_the_job_of_a_server(url: str, server: Stack, cli: Cli, volume: Path, tmp_path: Path) -> None:
    """The same mask as here, byte for byte; a mask that does not fit ends with 2 before there is a job."""
    lamella = volume.with_name(f"{volume.stem}_lamella.mrc")
    inside = np.zeros((16, 20, 24), np.int8)
    inside[2:10, 5:15, 6:20] = 1
    write_volume(lamella, inside, 10.0)
    wanted = ("-e", "threshold", "-p", "contrast=bright", "--within", lamella)
    there = cli("segment", volume, "-o", "there.mrc", *wanted, "--server", url)
    assert there.exit_code == 0, there.stderr
    assert f"segmented within {lamella.name}: 1,120 voxels" in there.stderr
    assert cli("segment", volume, "-o", "here.mrc", *wanted).exit_code == 0
    assert (tmp_path / "there.mrc").read_bytes() == (tmp_path / "here.mrc").read_bytes()
    [newest] = json.loads(cli("jobs", "--limit", "1", "--server", url, "--json").stdout)
    assert newest["within"]["name"] == lamella.name
    # The mask of a job limits another one.
    with cryomamba.connect(url) as client:
        again = client.submit(volume, engine="threshold", within=MaskSource(job_id=newest["job_id"])).wait()
        assert again.record.within is not None
        assert again.record.within.name == "mask.mrc"
        [row] = again.statistics()
        assert 0 < row["fraction_within"] < 1
    write_volume(lamella, inside, 20.0)
    refused = cli("segment", volume, "-o", "refused.mrc", *wanted, "--server", url)
    assert refused.exit_code == 2
    assert "20 × 20 × 20 Å" in refused.stderr
    assert not Path("refused.mrc").exists()


def test_refusals_of_the_server_are_reported(url: str, cli: Cli, tomogram: Path) -> None:
    """A missing file ends with 5, a path outside the input directories of a broker with 2; no mask is written."""
    if url.startswith("tcp"):
        outside = cli("segment", tomogram, "-o", "mask.mrc", "-e", "threshold", "--server", url)
        assert outside.exit_code == 2
        assert "path_forbidden" in outside.stderr
    missing = cli("segment", "nothing-there.mrc", "-o", "mask.mrc", "-e", "threshold", "--server", url)
    assert missing.exit_code == 5
    assert not Path("mask.mrc").exists()


def test_a_file_that_the_gateway_cannot_read_is_uploaded(server: Stack, cli: Cli, tomogram: Path) -> None:
    """``segment`` uploads it and downloads the mask; ``upload`` then finds it there and prints its id."""
    done = cli("segment", tomogram, "-o", "mask.mrc", "-e", "threshold", "--server", server.http_url)
    assert done.exit_code == 0, done.stderr
    assert f"cannot read {tomogram.name} by its path; uploading it" in done.stderr
    with open_volume("mask.mrc") as mask:
        assert mask.meta.shape == (24, 24, 24)
    known = cli("upload", tomogram, "--server", server.http_url, "--json")
    assert json.loads(known.stdout)["filename"] == tomogram.name
    plain = cli("upload", tomogram, "--server", server.http_url)
    assert plain.stdout.strip() == json.loads(known.stdout)["file_id"]
    assert cli("upload", "nothing.mrc", "--server", server.http_url).exit_code == 5


@pytest.mark.parametrize(("signum", "way"), [(signal.SIGINT, "http"), (signal.SIGTERM, "bus")])
def test_ctrl_c_cancels_the_job_on_the_server(signum: signal.Signals, way: str, server: Stack, tmp_path: Path) -> None:
    """A signal to the waiting program cancels the job, with a message, and the exit code gives the signal."""
    url = server.http_url if way == "http" else server.bus_url
    path = server.home.parent / f"{uuid.uuid4().hex}.mrc"
    write_volume(path, np.zeros((8, 8, 8), np.float32), 10.0)
    command = [sys.executable, "-m", "cryomamba_cli", "segment", str(path), "-o", str(tmp_path / "mask.mrc"), "--json"]
    command += ["-e", "demo", "-p", "seconds=600", "--server", url]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
    ) as running:
        assert running.stdout is not None
        events = (json.loads(line) for line in running.stdout)
        job = next(event["job_id"] for event in events if event["type"] == "job_started")
        running.send_signal(signum)
        _, printed = running.communicate(timeout=DEADLINE_S)
    assert running.returncode == 128 + signum
    assert f"Job {job} is cancelled" in printed
    with cryomamba.connect(url) as client:
        for _ in client.watch(job):
            pass
        assert client.record(job).state is JobState.CANCELLED
    assert not (tmp_path / "mask.mrc").exists()


def test_a_signal_during_the_submission_cancels_the_job(url: str, volume: Path, tmp_path: Path) -> None:
    """A signal that arrives before the server has answered leaves no job behind."""
    printed = io.StringIO()
    jobs: list[str] = []
    task = Task(volume, tmp_path / "mask.mrc", "demo", {"seconds": 600})
    with cryomamba.connect(url) as client:

        def submit() -> cryomamba.client.Job:
            job = client.submit(task.tomogram, engine=task.engine, params=task.params)
            jobs.append(job.job_id)
            signal.raise_signal(signal.SIGTERM)
            return job

        with interruptible() as interrupts, pytest.raises(Interrupted):
            submit_and_download(client, submit, task, PlainReporter(printed), interrupts)
        assert "is cancelled" in printed.getvalue()
        with pytest.raises(JobFailedError, match="cancelled"):
            client.job(jobs[0]).wait()
    assert not task.mask.exists()
