"""Memory of the inference child: 512³ voxels against a volume four times as deep.

The service's own computing child, started as the service starts it, runs `threshold` on float32 files. Every 10 ms the
kernel is asked for the resident and the anonymous memory of the child and of the processes it has started; the table
shows the peaks, in MiB. The limit: the same within 10 % at both depths, and under 600 MiB. The bytes of the larger file
stand beside as what a program needs that reads it whole.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from cryomamba.geometry import Shape
from cryomamba.models.jobs import JobRecord, JobState, VolumeSummary
from cryomamba.settings import Settings
from cryomamba.volumes import write_volume
from cryomamba_inference.compute_process import ComputeProcess
from cryomamba_inference.pipe import Message

SIDE = 512
DEPTHS = (512, 2048)
CASES: dict[str, dict[str, Any]] = {"plain": {}, "hysteresis": {"hysteresis": 0.5, "min_volume_nm3": 50.0}}
MIB = 1 << 20
INTERVAL_S = 0.01


@dataclass
class Peak:
    """The most that one process has had."""

    resident: int = 0
    anonymous: int = 0

    def take(self, pid: int) -> int:
        """Look at a process and return its anonymous memory."""
        fields = {}
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(":")
            if name in {"VmRSS", "RssAnon"}:
                fields[name] = int(value.split()[0]) * 1024
        self.resident = max(self.resident, fields.get("VmRSS", 0))
        self.anonymous = max(self.anonymous, fields.get("RssAnon", 0))
        return fields.get("RssAnon", 0)


@dataclass
class Peaks:
    """Of the child, of the process it started that had most, and of all together at one moment."""

    child: Peak = field(default_factory=Peak)
    worker: Peak = field(default_factory=Peak)
    together: int = 0


@contextmanager
def watching(pid: int) -> Iterator[Peaks]:
    """Sample a process and its descendants until the block ends."""
    peaks, ended = Peaks(), threading.Event()
    workers: defaultdict[int, Peak] = defaultdict(Peak)

    def sample() -> None:
        process = psutil.Process(pid)
        while not ended.wait(INTERVAL_S):
            try:
                family = [child.pid for child in process.children(recursive=True)]
                anonymous = peaks.child.take(pid) + sum(workers[member].take(member) for member in family)
            except (OSError, psutil.Error):
                continue
            peaks.together = max(peaks.together, anonymous)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peaks
    finally:
        ended.set()
        thread.join()
        peaks.worker = max(workers.values(), key=lambda peak: peak.anonymous, default=Peak())


def write_file(path: Path, depth: int) -> None:
    rng = np.random.default_rng(7)
    slab = rng.normal(size=(64, SIDE, SIDE)).astype(np.float32)
    z, y, x = np.ogrid[-1:1:64j, -1:1:512j, -1:1:512j]
    slab[(z**2 + y**2 + x**2) < 0.5] -= 4
    write_volume(path, (slab for _ in range(depth // 64)), 10.0, shape=(depth, SIDE, SIDE))


def order(path: Path, shape: Shape, folder: Path, engine: str, params: dict[str, Any]) -> Message:
    now = datetime.now(UTC)
    folder.mkdir()
    record = JobRecord(
        job_id="bench",
        state=JobState.RUNNING,
        name="",
        engine=engine,
        params=params,
        volume=VolumeSummary(name=path.name, shape=shape, voxel_size_A=(10, 10, 10), path=str(path)),
        created_at=now,
        updated_at=now,
    )
    about = {"log_fields": {"job_id": record.job_id}, "trace": {"request_id": "bench"}}
    return {"job": record.model_dump(mode="json"), "attempt": 1, "focus": None, "folder": str(folder), **about}


async def measure_engine(
    home: Path, path: Path, shape: Shape, processes: int, engine: str, params: dict[str, Any]
) -> tuple[Peaks, float]:
    """Run one job in a fresh child and return its peaks and seconds."""
    ended: asyncio.Queue[Message] = asyncio.Queue()

    def heard(message: Message) -> None:
        if message["type"] in {"done", "failed", "exited"}:
            ended.put_nowait(message)

    child = ComputeProcess(Settings(home=home, roots=(home,), processes=processes), "raw", heard)
    await child.ready
    assert child.pid is not None
    try:
        with tempfile.TemporaryDirectory(dir=home) as folder, watching(child.pid) as peaks:
            started = time.perf_counter()
            child.run(order(path, shape, Path(folder) / "1", engine, params))
            last = await ended.get()
            seconds = time.perf_counter() - started
            assert last["type"] == "done", last
    finally:
        await child.end()
    return peaks, seconds


def main() -> None:
    print(
        f"{'case':<12}{'processes':>10}{'voxels':>17}{'RSS':>7}{'anon':>7}{'worker anon':>13}{'all anon':>10}{'s':>7}"
    )
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        files = {depth: home / f"{depth}.mrc" for depth in DEPTHS}
        for depth, path in files.items():
            write_file(path, depth)
        for case, params in CASES.items():
            for processes in (1, 2):
                found = {}
                for depth, path in files.items():
                    peaks, seconds = asyncio.run(
                        measure_engine(home, path, (depth, SIDE, SIDE), processes, "threshold", params)
                    )
                    found[depth] = peaks
                    numbers = [peaks.child.resident, peaks.child.anonymous, peaks.worker.anonymous, peaks.together]
                    rss, anonymous, worker, together = (round(number / MIB) for number in numbers)
                    print(
                        f"{case:<12}{processes:>10}{f'{depth}×{SIDE}×{SIDE}':>17}{rss:>7}{anonymous:>7}{worker:>13}"
                        f"{together:>10}{seconds:>7.1f}",
                        flush=True,
                    )
                small, large = (found[depth] for depth in DEPTHS)
                resident = large.child.resident / small.child.resident
                anonymous_ratio = large.child.anonymous / small.child.anonymous
                print(f"{'':<12}{'four times as deep:':>27}{resident:>7.2f}{anonymous_ratio:>7.2f}   (target 1.10)")
    print(f"reading the larger file whole: {DEPTHS[1] * SIDE * SIDE * 4 // MIB} MiB and what is computed from it")


if __name__ == "__main__":
    main()
