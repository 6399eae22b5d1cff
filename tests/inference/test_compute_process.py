"""The compute process: runs jobs, reports on them, ends with the service, and its death is noticed."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from cryomamba.models.jobs import Artifact, JobRecord, JobState, Progress, VolumeSummary
from cryomamba.settings import Settings
from cryomamba.testing import wait_until
from cryomamba.volumes import write_volume
from cryomamba.wire.buffers import BufferSpec, decode_labels
from cryomamba_inference.compute_process import ComputeProcess
from cryomamba_inference.pipe import Message

pytestmark = pytest.mark.slow

STARTER = """
import asyncio, sys, time
from pathlib import Path
from cryomamba.settings import Settings
from cryomamba_inference.compute_process import ComputeProcess

async def main():
    child = ComputeProcess(Settings(home=Path(sys.argv[1]), processes=2), "raw", lambda message: None)
    await child.ready
    print(child.pid, flush=True)
    await asyncio.Event().wait()

if __name__ == "__main__":
    asyncio.run(main())
"""


@asynccontextmanager
async def compute_process(home: Path) -> AsyncIterator[tuple[ComputeProcess, asyncio.Queue[Message]]]:
    """A ready child that may read below `home`, and what it says."""
    received: asyncio.Queue[Message] = asyncio.Queue()
    child = ComputeProcess(Settings(home=home, roots=(home,), processes=1), "raw", received.put_nowait)
    try:
        engines = await child.ready
        assert engines is not None
        assert {"demo", "threshold"} <= {info.name for info in engines}
        yield child, received
    finally:
        await child.end()
        await child.end()


def job(folder: Path, engine: str, *, path: Path | None = None, **params: Any) -> Message:
    now = datetime.now(UTC)
    folder.mkdir()
    record = JobRecord(
        job_id="job",
        state=JobState.RUNNING,
        name="",
        engine=engine,
        params=params,
        volume=VolumeSummary(name="v", shape=(20, 24, 28), voxel_size_A=(10, 10, 10), path=path and str(path)),
        created_at=now,
        updated_at=now,
    )
    logged: dict[str, object] = {"log_fields": {"job_id": record.job_id}, "trace": {"request_id": "r-1"}}
    return {
        "job": record.model_dump(mode="json"),
        "attempt": 4,
        "focus": None,
        "strokes": 0,
        "folder": str(folder),
        **logged,
    }


async def until_end(received: asyncio.Queue[Message]) -> list[Message]:
    messages = []
    while True:
        messages.append(await received.get())
        if messages[-1]["type"] in {"done", "failed", "exited"}:
            return messages


async def test_a_child_does_job_after_job(tmp_path: Path, make_volume: Any) -> None:
    """Previews, progress and files come from a job; errors of all kinds leave the child ready for the next."""
    bad = np.zeros((8, 8, 8), np.float32)
    bad[0, 0, 0] = np.nan
    write_volume(tmp_path / "nan.mrc", bad, 10.0)
    async with compute_process(tmp_path) as (child, received):
        child.run(job(tmp_path / "a", "threshold", path=make_volume((20, 24, 28))))
        messages = await until_end(received)
        frames = [message for message in messages if message["type"] == "preview"]
        artifacts = [Artifact.model_validate(fields) for fields in messages[-1]["artifacts"]]
        assert (frames[-1]["job"], frames[-1]["attempt"], frames[-1]["body"]["final"]) == ("job", 4, True)
        assert decode_labels(BufferSpec.from_wire(frames[-1]["spec"]), frames[-1]["part"]).any()
        assert [Progress.model_validate(m["progress"]).stage for m in messages if m["type"] == "progress"]
        assert all((tmp_path / "a" / artifact.name).stat().st_size == artifact.size_bytes for artifact in artifacts)

        for name, path, params, code in (
            ("b", Path("/etc/hostname"), {}, "path_forbidden"),
            ("c", tmp_path / "nan.mrc", {}, "volume_not_finite"),
            ("d", tmp_path / "none.mrc", {}, "volume_not_found"),
            ("e", tmp_path / "nan.mrc", {"method": "value"}, "invalid_parameters"),
        ):
            child.run(job(tmp_path / name, "threshold", path=path, **params))
            (*_, failed) = await until_end(received)
            assert failed["error"]["code"] == code
            assert failed["error"]["hint"]
            assert not (tmp_path / name / "mask.mrc").exists()
        assert child.jobs == 5
        assert child.alive


async def test_a_cancel_reaches_a_running_job(tmp_path: Path) -> None:
    """A demo of an hour ends with the code of a cancel, and the child lives on; a late cancel means nothing."""
    async with compute_process(tmp_path) as (child, received):
        child.run(job(tmp_path / "a", "demo", seconds=3600))
        while (await received.get())["type"] != "preview":
            pass
        child.set_focus((0, 0, 0))
        child.cancel()
        assert (await until_end(received))[-1]["error"]["code"] == "cancelled"
        child.cancel()
        child.run(job(tmp_path / "b", "demo", seconds=0))
        assert (await until_end(received))[-1]["type"] == "done"


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV"])
async def test_a_killed_child_is_noticed(tmp_path: Path, name: str) -> None:
    """A signal in the middle of a job comes as news, with its number as exit code; orders to it are no error."""
    number = getattr(signal, name)
    async with compute_process(tmp_path) as (child, received):
        child.run(job(tmp_path / "a", "demo", seconds=3600))
        assert child.pid is not None
        psutil.Process(child.pid).send_signal(number)
        assert (await until_end(received))[-1] == {"type": "exited"}
        assert not child.alive
        assert child.exit_code == -number
        child.cancel()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_parent_leaves_no_child(tmp_path: Path) -> None:
    """SIGKILL of the service: its child and whatever that has started are gone at once."""
    script = tmp_path / "starter.py"
    script.write_text(STARTER)
    with subprocess.Popen([sys.executable, script, tmp_path], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert int(parent.stdout.readline())
        family = psutil.Process(parent.pid).children(recursive=True)
        assert family
        parent.kill()
    wait_until(lambda: not any(process.is_running() for process in family), what="the child to end")


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors are counted")
async def test_an_ended_process_leaves_no_descriptor(tmp_path: Path) -> None:
    """What a process held open is closed when it has ended, without the garbage collector."""
    open_files = psutil.Process().num_fds
    async with compute_process(tmp_path):
        pass
    before = open_files()
    gc.disable()
    try:
        for _ in range(2):
            async with compute_process(tmp_path) as (child, _received):
                pass
            assert child.exit_code == -signal.SIGKILL
            assert open_files() == before
    finally:
        gc.enable()
