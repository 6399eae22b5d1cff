"""Commands against a running stack, through gateway and bus."""

from __future__ import annotations

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
from cryomamba.models.jobs import JobState
from cryomamba.testing import Stack
from cryomamba.volumes import open_volume, write_volume

pytestmark = pytest.mark.system
Cli = Callable[..., Result]


@pytest.fixture(params=["http", "bus"])
def url(request: pytest.FixtureRequest, server: Stack, monkeypatch: pytest.MonkeyPatch) -> str:
    """The server by either way; the commands are told by ``CRYOMAMBA_SERVER``."""
    found = server.http_url if request.param == "http" else server.bus_url
    monkeypatch.setenv("CRYOMAMBA_SERVER", found)
    return found


@pytest.fixture
def volume(server: Stack) -> Path:
    """A volume below the server's root, with a name of its own."""
    path = server.home.parent / f"{uuid.uuid4().hex}.mrc"
    voxels = np.random.default_rng(3).normal(size=(16, 20, 24)).astype(np.float32)
    voxels[4:9] += 8
    write_volume(path, voxels, 10.0)
    return path


def demo_job(url: str, seconds: float) -> str:
    with cryomamba.connect(url) as client:
        params = {"seconds": seconds}
        return client.submit(shape=(32, 32, 32), engine="demo", params=params).job_id


def test_segment_there_is_segment_here(url: str, cli: Cli, volume: Path, tmp_path: Path) -> None:
    """A server's mask is the one that this process makes, exports and statistics come along."""
    wanted = ("-e", "threshold", "-p", "contrast=bright", "--nrrd")
    there = cli("segment", volume, "-o", "there.mrc", *wanted, "--server", url, "--name", "mine")
    assert there.exit_code == 0, there.stderr
    assert there.stdout.splitlines() == ["there.mrc", "there.nrrd"]
    assert "completed" in there.stderr
    assert cli("segment", volume, "-o", "here.mrc", *wanted).exit_code == 0
    with open_volume(tmp_path / "there.mrc") as one, open_volume(tmp_path / "here.mrc") as other:
        whole = (slice(None),) * 3
        assert np.array_equal(one.read_native(*whole), other.read_native(*whole))


def test_a_job_is_listed_shown_and_watched(url: str, cli: Cli, volume: Path) -> None:
    """The listing, the short id, the record and the events agree, in text and in JSON."""
    done = cli("segment", volume, "-o", "mask.mrc", "-e", "threshold", "--name", volume.stem, "--server", url, "--json")
    job = json.loads(done.stdout.splitlines()[-2])["job_id"]
    row = next(line for line in cli("jobs", "--state", "completed").stdout.splitlines() if volume.stem in line)
    assert row.startswith(job[:8])
    shown = cli("show", job[:13])
    assert job in shown.stdout
    assert "mask.mrc" in shown.stdout
    assert json.loads(cli("show", job, "--json").stdout)["name"] == volume.stem
    watched = cli("watch", job, "--json")
    assert watched.exit_code == 0
    last = json.loads(watched.stdout.splitlines()[-1])
    assert (last["job_id"], last["data"]["state"]) == (job, "completed")
    assert f"job {job}: completed" in cli("watch", job).stdout
    for command in ("cancel", "retry"):
        assert cli(command, job).exit_code == 6


def test_a_job_is_cancelled_and_retried(url: str, cli: Cli) -> None:
    """Cancel ends a running job, watch then ends with 1, retry queues it again."""
    job = demo_job(url, 60.0)
    assert cli("cancel", job).exit_code == 0
    watched = cli("watch", job)
    assert watched.exit_code == 1
    assert "(cancelled)" in watched.stderr
    assert json.loads(cli("retry", job, "--json").stdout)["state"] == "pending"
    assert cli("cancel", job, "--json").exit_code == 0


def test_jobs_that_there_are_not(url: str, cli: Cli) -> None:
    """An unknown job ends with 3, whether by id or by its beginning; so does something that is no id."""
    for text in (str(uuid.uuid4()), "ffffffff-ffff", "no such job", "x" * 36):
        done = cli("show", text)
        assert done.exit_code == 3, text
        assert "cryomamba jobs" in done.stderr


def test_a_beginning_that_is_not_unique(url: str, cli: Cli) -> None:
    """Several jobs with the same beginning are a usage error that lists some."""
    for _ in range(2):
        cli("cancel", demo_job(url, 60.0))
    done = cli("show", "")
    assert done.exit_code == 2
    assert "jobs begin with" in done.stderr


def test_engines_and_doctor_ask_the_server(url: str, cli: Cli) -> None:
    """The server's engines are listed, and the doctor finds the server well."""
    assert "threshold" in cli("engines", "--server", url).stdout
    findings = json.loads(cli("doctor", "--server", url, "--json").stdout)
    assert [finding["level"] for finding in findings if finding["what"] == "server"] == ["ok"]


def test_refusals_of_the_server_are_told(url: str, cli: Cli, tomogram: Path) -> None:
    """A missing file ends with 5, on a bus a path outside the server's roots with 2; no mask appears."""
    if url.startswith("tcp"):
        outside = cli("segment", tomogram, "-o", "mask.mrc", "-e", "threshold", "--server", url)
        assert outside.exit_code == 2
        assert "path_forbidden" in outside.stderr
    missing = cli("segment", "nothing-there.mrc", "-o", "mask.mrc", "-e", "threshold", "--server", url)
    assert missing.exit_code == 5
    assert not Path("mask.mrc").exists()


def test_a_file_that_the_gateway_cannot_see_is_sent(server: Stack, cli: Cli, tomogram: Path) -> None:
    """``segment`` sends it, says so, and the mask comes back; ``upload`` finds it there and prints its id."""
    done = cli("segment", tomogram, "-o", "mask.mrc", "-e", "threshold", "--server", server.http_url)
    assert done.exit_code == 0, done.stderr
    assert f"cannot see {tomogram.name}; uploading it" in done.stderr
    with open_volume("mask.mrc") as mask:
        assert mask.meta.shape == (24, 24, 24)
    known = cli("upload", tomogram, "--server", server.http_url, "--json")
    assert json.loads(known.stdout)["filename"] == tomogram.name
    plain = cli("upload", tomogram, "--server", server.http_url)
    assert plain.stdout.strip() == json.loads(known.stdout)["file_id"]
    assert cli("upload", "nothing.mrc", "--server", server.http_url).exit_code == 5


@pytest.mark.parametrize(("signum", "way"), [(signal.SIGINT, "http"), (signal.SIGTERM, "bus")])
def test_ctrl_c_cancels_the_job_on_the_server(signum: signal.Signals, way: str, server: Stack, tmp_path: Path) -> None:
    """A signal to the waiting program ends the job there, says so, and the status tells the signal."""
    url = server.http_url if way == "http" else server.bus_url
    path = server.home.parent / f"{uuid.uuid4().hex}.mrc"
    write_volume(path, np.zeros((8, 8, 8), np.float32), 10.0)
    command = [sys.executable, "-m", "cryomamba_cli", "segment", str(path), "-o", str(tmp_path / "mask.mrc"), "--json"]
    command += ["-e", "demo", "-p", "seconds=120", "--server", url]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
    ) as running:
        assert running.stdout is not None
        events = (json.loads(line) for line in running.stdout)
        job = next(event["job_id"] for event in events if event["type"] == "job_started")
        running.send_signal(signum)
        _, told = running.communicate(timeout=30)
    assert running.returncode == 128 + signum
    assert f"Job {job} is cancelled" in told
    with cryomamba.connect(url) as client:
        for _ in client.watch(job):
            pass
        assert client.record(job).state is JobState.CANCELLED
    assert not (tmp_path / "mask.mrc").exists()


def test_ctrl_c_ends_watching_and_not_the_job(server: Stack) -> None:
    """``watch`` detaches: the job goes on."""
    job = demo_job(server.bus_url, 120.0)
    command = [sys.executable, "-m", "cryomamba_cli", "watch", job, "--server", server.bus_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        next(line for line in watching.stdout if "running" in line)
        watching.send_signal(signal.SIGINT)
        watching.communicate(timeout=30)
    assert watching.returncode == 130
    with cryomamba.connect(server.bus_url) as client:
        assert client.record(job).state is JobState.RUNNING
        client.cancel(job)
