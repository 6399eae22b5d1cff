"""`watch-folder --server` in a process of its own, while the server and the program itself go away and come back."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import cryomamba
from cryomamba.models.jobs import JobState
from cryomamba.stack import SERVICES
from cryomamba.testing import Stack, wait_until

LONG_S = 120.0
Watch = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def folder(tomogram: Path, tmp_path: Path) -> Path:
    """A folder with two tomograms."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.mrc", "b.mrc"):
        shutil.copy(tomogram, folder / name)
    return folder


@pytest.fixture
def watch(folder: Path, tmp_path: Path) -> Iterator[Watch]:
    """Start `watch-folder --once` with a server; what it prints goes to the file `log`."""
    with ExitStack() as processes:

        def start(url: str, seconds: float) -> subprocess.Popen[str]:
            command = [sys.executable, "-m", "cryomamba_cli", "watch-folder", str(folder), "-o", str(tmp_path / "out")]
            command += ["-e", "demo", "-p", f"seconds={seconds}", "--server", url, "--once", "--stable", "0"]
            log = processes.enter_context((tmp_path / "log").open("a"))
            process = subprocess.Popen([*command, "--poll", "0.1"], stdout=log, stderr=log, text=True)
            processes.callback(process.wait)
            processes.callback(process.kill)
            return process

        yield start


def printed(tmp_path: Path) -> str:
    return (tmp_path / "log").read_text()


def states(tmp_path: Path) -> dict[str, str]:
    with (tmp_path / "out" / "summary.csv").open(newline="") as file:
        return {row["tomogram"]: row["state"] for row in csv.DictReader(file)}


def job_states(stack: Stack) -> dict[str, JobState]:
    with cryomamba.connect(stack.bus_url) as client:
        return {job.job_id: job.state for job in client.jobs()}


def test_a_server_that_is_away_at_first_is_waited_for(
    watch: Watch, make_stack: Callable[..., Stack], tmp_path: Path
) -> None:
    """The program says so once, and segments as soon as the server is there."""
    stack = make_stack()
    process = watch(stack.http_url, 0)
    wait_until(lambda: "Retrying" in printed(tmp_path), what="the message that the server is away")
    assert process.poll() is None
    stack.start().wait_ready()
    assert process.wait(LONG_S) == 0, printed(tmp_path)
    assert states(tmp_path) == {"a.mrc": "done", "b.mrc": "done"}


def test_a_server_that_restarts_in_the_middle_is_waited_for(
    watch: Watch, make_stack: Callable[..., Stack], tmp_path: Path
) -> None:
    """All its services are killed while a job runs; each tomogram still has one job, and none has failed."""
    stack = make_stack(CRYOMAMBA_LEASE_S="2").start().wait_ready()
    process = watch(stack.http_url, 5)
    wait_until(lambda: JobState.RUNNING in job_states(stack).values(), what="a running job")
    for service in SERVICES:
        stack.kill(service)
    wait_until(lambda: "Retrying" in printed(tmp_path), what="the message that the server is away")
    assert process.poll() is None
    stack.start().wait_ready()
    assert process.wait(LONG_S) == 0, printed(tmp_path)
    assert states(tmp_path) == {"a.mrc": "done", "b.mrc": "done"}
    assert list(job_states(stack).values()) == [JobState.COMPLETED] * 2


def test_jobs_are_found_again_after_the_program_was_killed(
    watch: Watch, make_stack: Callable[..., Stack], tmp_path: Path
) -> None:
    """They continue on the server meanwhile, and the next run takes their results instead of submitting them again."""
    stack = make_stack().start().wait_ready()
    process = watch(stack.http_url, 3)
    wait_until(lambda: len(job_states(stack)) == 2, what="two jobs")
    process.kill()
    process.wait()
    before = set(job_states(stack))
    assert watch(stack.http_url, 3).wait(LONG_S) == 0, printed(tmp_path)
    assert states(tmp_path) == {"a.mrc": "done", "b.mrc": "done"}
    assert set(job_states(stack)) == before
