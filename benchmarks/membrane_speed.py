"""Time of the engine 'membrane' against a plain SciPy script of the plate bank, on the same file.

A 512³ float32 phantom at 10 Å. The script (`peers/plain_plate_bank.py`) works on the whole volume in memory with two
threads; the engine does all that a job does: statistics, first look, scores on disk, hysteresis, the mask as a file.
Its processes are started before. With one process, averaging and plates use one thread as well.
Rounds are paired and the script goes first and last by turns.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.peers import plain_plate_bank

from cryomamba.engine import Registry
from cryomamba.synth import PhantomSpec, synthesize
from cryomamba.volumes import open_volume, write_volume
from cryomamba_inference.executor import open_executor
from cryomamba_inference.runner import Control, Task, run_task

SIDE = 512
VOXEL_A = 10.0
ROUNDS = 3
LIMIT = 0.6


class Stages:
    """Notes when each stage and the first preview came."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.first_preview: float | None = None
        self.begun: dict[str, float] = {}

    def progress(self, progress: object) -> None:
        self.begun.setdefault(str(getattr(progress, "stage", "")), time.perf_counter() - self.started)

    def preview(self, _frame: object) -> None:
        if self.first_preview is None:
            self.first_preview = time.perf_counter() - self.started


def write_phantom(path: Path) -> None:
    phantom = synthesize(PhantomSpec(shape=(SIDE, SIDE, SIDE), voxel_size_A=VOXEL_A, noise=1.0))
    write_volume(path, iter((phantom.density,)), phantom.voxel_size_A, shape=(SIDE, SIDE, SIDE))


def engine_time(path: Path, processes: int) -> tuple[float, Stages]:
    executor = open_executor(processes)
    executor.warm_up()
    with tempfile.TemporaryDirectory(dir=path.parent) as folder, open_volume(path, scratch=Path(folder)) as volume:
        engine = Registry.discover().create("membrane", {})
        stages = Stages()
        run_task(Task(engine=engine, volume=volume), Path(folder), executor, Control(lambda: False), stages)
        elapsed = time.perf_counter() - stages.started
    executor.close()
    return elapsed, stages


def plain_time(path: Path) -> float:
    started = time.perf_counter()
    with open_volume(path) as volume:
        z, y, x = (slice(0, n) for n in volume.shape)
        data = volume.read(z, y, x)
    plain_plate_bank.segment(data, VOXEL_A)
    return time.perf_counter() - started


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "phantom.mrc"
        write_phantom(path)
        engine_time(path, 2)
        pairs, single, first = [], [], []
        for turn in range(ROUNDS):
            plain = plain_time(path) if turn % 2 == 0 else 0.0
            two, stages = engine_time(path, 2)
            plain = plain or plain_time(path)
            pairs.append((plain, two))
            first.append(stages.first_preview or float("nan"))
            single.append(engine_time(path, 1)[0])
            print(f"plain script {plain:6.1f} s   membrane {two:6.1f} s   ratio {two / plain:.2f}   (limit {LIMIT})")
        ratio = statistics.median(two / plain for plain, two in pairs)
        speedup = statistics.median(one / two for one, (_, two) in zip(single, pairs, strict=True))
        plain, two = (statistics.median(times) / SIDE**3 * 1e6 for times in zip(*pairs, strict=True))
        print(f"median ratio {ratio:.2f}; seconds per million voxels: plain {plain:.3f}, membrane {two:.3f}")
        print(f"first whole-volume preview after {statistics.median(first):.1f} s (limit 2)")
        print(f"two processes against one: {speedup:.2f} times (wanted 1.8)")
        print("stages of the last run: " + ", ".join(f"{name} at {at:.1f} s" for name, at in stages.begun.items()))


if __name__ == "__main__":
    main()
