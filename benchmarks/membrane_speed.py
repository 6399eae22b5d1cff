"""Time of the engine 'membrane' against a plain SciPy script, on the same file.

A 512³ float32 phantom at 10 Å. The script (`peers/baseline_plate_filter.py`) works on the whole volume in memory with
two threads, once for either contrast, because it cannot decide; the engine does all that a job does: statistics, coarse
preview, plate maps, contrast, network, scores on disk, hysteresis, a mask file.
Its processes have done a job before, as those of a service have. One process stands for one core: it has one thread for
everything. Rounds are paired, and the script goes first and last by turns. Of each stage the table has the seconds it
took and, behind the stroke, those that all cores together were busy with it; with two processes the coarse preview is
computed beside the stages after it.

``python -m benchmarks.membrane_speed --side 96 --rounds 1`` is a quick trial of the program itself.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from pathlib import Path

import psutil
from benchmarks.peers import baseline_plate_filter

from cryomamba.engines.registry import Registry
from cryomamba.models.jobs import Progress
from cryomamba.synth import PhantomSpec, synthesize
from cryomamba.volumes import open_volume, write_volume
from cryomamba_inference.executor import TileExecutor, open_executor
from cryomamba_inference.runner import Control, Task, run_task

VOXEL_A = 10.0
TARGET = 1.0


class Stages:
    """Notes when each stage and the first preview came, and how busy this process and its children had been."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.first_preview = float("nan")
        self.begun: dict[str, tuple[float, float]] = {}

    def on_progress(self, progress: Progress) -> None:
        self.note(progress.stage)

    def on_preview(self, _frame: object) -> None:
        if not self.first_preview >= 0:
            self.first_preview = time.perf_counter() - self.started

    def note(self, stage: str) -> None:
        if stage not in self.begun:
            self.begun[stage] = (time.perf_counter() - self.started, cpu_seconds())

    def table(self) -> dict[str, tuple[float, float]]:
        """Return wall and CPU seconds of each stage; the last one noted is the end."""
        marks = list(self.begun.items())
        return {
            stage: (after[0] - before[0], after[1] - before[1])
            for (stage, before), (_, after) in itertools.pairwise(marks)
        }


def cpu_seconds() -> float:
    here = psutil.Process()
    times = [process.cpu_times() for process in (here, *here.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))


def write_phantom(path: Path, side: int) -> None:
    phantom = synthesize(PhantomSpec(shape=(side, side, side), voxel_size_A=VOXEL_A, noise=1.0))
    write_volume(path, iter((phantom.density,)), phantom.voxel_size_A, shape=(side, side, side))


def engine_time(path: Path, executor: TileExecutor) -> tuple[float, Stages]:
    with tempfile.TemporaryDirectory(dir=path.parent) as folder, open_volume(path, scratch=Path(folder)) as volume:
        engine = Registry.discover().create("membrane", {})
        stages = Stages()
        run_task(Task(engine=engine, volume=volume), Path(folder), executor, Control(lambda: False), stages)
        stages.note("end")
    return stages.begun["end"][0], stages


def plain_time(path: Path) -> float:
    started = time.perf_counter()
    with open_volume(path) as volume:
        z, y, x = (slice(0, n) for n in volume.shape)
        data = volume.read(z, y, x)
    for dark in (True, False):
        baseline_plate_filter.segment(data, VOXEL_A, dark=dark)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=512, help="voxels along each axis (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="(default: %(default)s)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "phantom.mrc"
        write_phantom(path, given.side)
        executors = {processes: open_executor(processes) for processes in (1, 2)}
        for executor in executors.values():
            engine_time(path, executor)
        pairs, single, first = [], [], []
        for turn in range(given.rounds):
            plain = plain_time(path) if turn % 2 == 0 else 0.0
            two, spread = engine_time(path, executors[2])
            plain = plain or plain_time(path)
            one, alone = engine_time(path, executors[1])
            pairs.append((plain, two))
            first.append(spread.first_preview)
            single.append(one)
            print(
                f"plain script {plain:6.1f} s   membrane {two:6.1f} s   ratio {two / plain:.2f}   "
                f"(target {TARGET:g})   one process {one:6.1f} s   two against one {one / two:.2f}"
            )
        for executor in executors.values():
            executor.close()
        ratio = statistics.median(two / plain for plain, two in pairs)
        speedup = statistics.median(one / two for one, (_, two) in zip(single, pairs, strict=True))
        plain, two = (statistics.median(times) / given.side**3 * 1e6 for times in zip(*pairs, strict=True))
        print(f"median ratio {ratio:.2f}; seconds per million voxels: plain script {plain:.3f}, membrane {two:.3f}")
        print(f"first whole-volume preview after {statistics.median(first):.1f} s (target 2)")
        print(f"two processes against one: {speedup:.2f} times (target 1.8)")
        print(f"{'stage, last round':<24}{'one process':>18}{'two processes':>18}")
        for stage in alone.table():
            cells = [f"{t[0]:.2f} | {t[1]:.2f}" if (t := run.table().get(stage)) else "-" for run in (alone, spread)]
            print(f"{stage:<24}" + "".join(f"{cell:>18}" for cell in cells))


if __name__ == "__main__":
    main()
