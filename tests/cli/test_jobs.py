"""``jobs``, ``show``, ``watch``, ``cancel`` and ``retry`` with a running stack."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from typer.testing import Result

import cryomamba
from cryomamba.models.jobs import JobState
from cryomamba.testing import DEADLINE_S, Stack
from cryomamba.volumes import write_volume
from cryomamba_cli.jobs import State

pytestmark = pytest.mark.system
Cli = Callable[..., Result]


def demo_job(url: str, seconds: float) -> str:
    with cryomamba.connect(url) as client:
        params = {"seconds": seconds}
        return client.submit(shape=(32, 32, 32), engine="demo", params=params).job_id


def test_the_option_state_has_all_states() -> None:
    """``jobs --state`` accepts every state of a job."""
    assert set(get_args(State)) == {str(state) for state in JobState}


def test_engines_and_doctor_query_the_server(url: str, cli: Cli) -> None:
    """The engines of the server are listed, and its check passes."""
    assert "threshold" in cli("engines", "--server", url).stdout
    results = json.loads(cli("doctor", "--server", url, "--json").stdout)
    assert [result["level"] for result in results if result["what"] == "server"] == ["ok"]


def test_what_should_be_checked_is_shown(url: str, server: Stack, cli: Cli) -> None:
    """A job whose volume has no voxel size and nothing in it says so in the record, in 'show' and after 'segment'."""
    path = server.home.parent / f"{uuid.uuid4().hex}.mrc"
    write_volume(path, np.random.default_rng(3).normal(size=(16, 20, 24)).astype(np.float32), 1.0)
    done = cli("segment", path, "-o", "mask.mrc", "-e", "threshold", "-p", "sigma_A=0", "--server", url)
    assert "warning: The header gives 1.0 Å per voxel" in done.stderr
    assert "warning: The mask covers" in done.stderr
    assert "warning: Whether the features are dark or bright is uncertain" in done.stderr
    assert "estimated: contrast " in done.stderr
    [record] = json.loads(cli("jobs", "--limit", "1", "--json").stdout)
    codes = [warning["code"] for warning in record["warnings"]]
    assert codes == ["voxel_size_suspect", "contrast_uncertain", "mask_nearly_full"]
    assert record["estimates"]["contrast_margin"] < 0.2
    shown = cli("show", record["job_id"]).stdout
    assert shown.count("1.0 Å per voxel") == 1
    assert "contrast margin" in shown
    assert "Give the voxel size in Å" in shown


def test_a_job_is_listed_shown_and_watched(url: str, cli: Cli, volume: Path) -> None:
    """List, short id, record and events agree, as text and as JSON."""
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
    """Cancel ends a running job, watch then ends with 1, retry requeues it."""
    job = demo_job(url, 600.0)
    assert cli("cancel", job).exit_code == 0
    watched = cli("watch", job)
    assert watched.exit_code == 1
    assert "(cancelled)" in watched.stderr
    assert json.loads(cli("retry", job, "--json").stdout)["state"] == "pending"
    assert cli("cancel", job, "--json").exit_code == 0


def test_an_unknown_job_ends_with_3(url: str, cli: Cli) -> None:
    """That holds for an id, its first characters, and a text that is not an id."""
    for text in (str(uuid.uuid4()), "ffffffff-ffff", "no such job", "x" * 36):
        done = cli("show", text)
        assert done.exit_code == 3, text
        assert "cryomamba jobs" in done.stderr


def test_an_ambiguous_id_ends_with_2(url: str, cli: Cli) -> None:
    """If several ids begin with the text, the error lists some."""
    for _ in range(2):
        cli("cancel", demo_job(url, 600.0))
    done = cli("show", "")
    assert done.exit_code == 2
    assert "job ids begin with" in done.stderr


def test_ctrl_c_stops_watching_but_not_the_job(server: Stack) -> None:
    """``watch`` detaches; the job continues."""
    job = demo_job(server.bus_url, 600.0)
    command = [sys.executable, "-m", "cryomamba_cli", "watch", job, "--server", server.bus_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        next(line for line in watching.stdout if "running" in line)
        watching.send_signal(signal.SIGINT)
        watching.communicate(timeout=DEADLINE_S)
    assert watching.returncode == 130
    with cryomamba.connect(server.bus_url) as client:
        assert client.record(job).state is JobState.RUNNING
        client.cancel(job)
