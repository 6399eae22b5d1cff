"""What a job may take: a process that takes more is ended, and the service goes on."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import cryomamba
from cryomamba.errors import CryoMambaError
from cryomamba.models.jobs import JobState
from cryomamba.settings import Settings
from cryomamba.testing import Stack, wait_until
from cryomamba_inference.limits import exceeded, resident_nbytes

GLUTTON = '''
import signal
from cryomamba.engines.api import Engine, EngineParameters


class Glutton(Engine):
    """Takes 600 MB and keeps them."""

    name = "glutton"
    summary = "Takes memory"
    Parameters = EngineParameters
    labels = {1: "a"}
    needs_volume = False

    def predict(self, tile):
        self.taken = b"x" * 600_000_000
        while True:
            signal.pause()
'''


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Broker and inference with an engine of a package of its own, and limits of 500 MB and 3 s."""
    info = tmp_path / "site" / "glutton-1.0.dist-info"
    info.mkdir(parents=True)
    (tmp_path / "site" / "glutton.py").write_text(GLUTTON)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: glutton\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[cryomamba.engines]\nglutton = glutton:Glutton\n")
    env = {"PYTHONPATH": str(tmp_path / "site"), "CRYOMAMBA_JOB_MEMORY": "500000000", "CRYOMAMBA_JOB_SECONDS": "3"}
    with Stack(tmp_path / "home", roots=[tmp_path], env=env) as stack:
        yield stack.start("broker", "inference")


def has_worker(client: cryomamba.Client) -> bool:
    try:
        return bool(client.info().workers)
    except CryoMambaError:
        return False


@pytest.mark.system
def test_a_job_that_takes_too_much_is_ended(stack: Stack) -> None:
    """Too much memory and too much time fail the job at once and for good; the next job completes."""
    with cryomamba.connect(stack.bus_url) as client:
        wait_until(lambda: has_worker(client), what="a worker")
        ends = []
        for engine, params in (("glutton", {}), ("demo", {"seconds": 60}), ("demo", {"seconds": 0})):
            job = client.submit(shape=(8, 8, 8), engine=engine, params=params)
            wait_until(lambda job_id=job.job_id: client.record(job_id).state.final, what="the end")  # type: ignore[misc]
            ends.append(client.record(job.job_id))
    large, long, good = ends
    assert (large.attempt, [error.code for error in large.errors]) == (1, ["out_of_memory"])
    assert (long.attempt, [error.code for error in long.errors]) == (1, ["timeout"])
    assert not any(error.retryable for error in (*large.errors, *long.errors))
    assert good.state is JobState.COMPLETED
    assert list((stack.home / "work").rglob("*")) == []


def test_memory_is_what_a_process_holds() -> None:
    """Memory that is taken is counted, and a process that is gone holds none."""
    before = resident_nbytes(os.getpid())
    with mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as taken:
        taken.write(b"x" * (64 << 20))
        assert resident_nbytes(os.getpid()) - before > 32 << 20
    assert resident_nbytes(2**22 + 1) == 0


async def test_the_first_limit_that_is_passed_counts(tmp_path: Path) -> None:
    """Memory is asked for until it is above the limit."""
    sizes = iter([10, 99, 100, 101])
    error: CryoMambaError = await exceeded(Settings(home=tmp_path, job_memory=100), 1, measure=lambda _: next(sizes))
    assert error.code == "out_of_memory"
    assert next(sizes, None) is None
