"""The engine 'membrane' on a Dask cluster of this machine: two workers against one, and against a pool of processes.

Scheduler and workers are processes with one thread each, and read the volume by its path. Each run is a process of its
own, as a worker of a server is: its memory is the peak of that process alone, without workers and processes of the
pool. Before the run that counts, each does a volume of 256³, so that no worker loads anything for the first time.

Everything runs on two cores. A single worker leaves one of them to the runner, which two workers share with it; so that
what two machines gain over one is seen, too, there is a row in which all processes of one worker have a single core.
For each step there are the seconds, and the processor time of the runner and of the workers.

``python -m benchmarks.dask_workers --side 128`` is a quick trial of the program itself.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
from benchmarks.membrane_speed import write_phantom

from cryomamba.engines.registry import Registry
from cryomamba.models.jobs import Progress
from cryomamba.testing import wait_until
from cryomamba.volumes import open_volume
from cryomamba_inference.executor import DaskExecutor, TileExecutor, open_executor
from cryomamba_inference.runner import Control, Task, run_task

SMALL = 256
PROCESSES = 2
ROWS = {
    "pool": "pool of two processes",
    "2": "Dask, two workers",
    "1": "Dask, one worker; the runner may use the other core",
    "core": "Dask, one worker; runner, scheduler and worker on one core",
}
_START_S = 120


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[tuple[str, list[int]]]:
    """Give the address of a scheduler with so many workers, and the process ids of these."""
    file, host = folder / "scheduler.json", ("--host", "127.0.0.1")
    with ExitStack() as stack:

        def start(name: str, *options: str) -> int:
            command = [sys.executable, "-m", f"distributed.cli.dask_{name}", *host, *options]
            log = stack.enter_context((folder / f"{name}.log").open("wb"))
            process = stack.enter_context(subprocess.Popen(command, stdout=log, stderr=log))
            stack.callback(process.kill)
            return process.pid

        start("scheduler", "--port", "0", "--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(file))
        wait_until(file.is_file, timeout=_START_S, what="the scheduler")
        pids = [
            start(
                "worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-nanny", "--no-dashboard",
                "--local-directory", str(folder),
            )
            for _ in range(workers)
        ]  # fmt: skip
        registered = (folder / "scheduler.log").read_text
        wait_until(lambda: registered().count("Register worker") == workers, timeout=_START_S, what="the workers")
        yield json.loads(file.read_text())["address"], pids
        file.unlink()


def run(side: int, folder: Path, address: str, workers: Sequence[int] = ()) -> dict[str, Any]:
    """Segment a volume in a new process, and return its seconds and the peak of its memory."""
    command = [sys.executable, "-m", "benchmarks.dask_workers", "--side", str(side), "--run", address, str(folder)]
    command += ["--processes", str(len(os.sched_getaffinity(0))), "--workers", *map(str, workers)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


class Steps:
    """Notes when each step of a job began, and how much processor time runner and workers had used by then."""

    def __init__(self, workers: Sequence[int]) -> None:
        self._here, self._workers = psutil.Process(), [psutil.Process(pid) for pid in workers]
        self.begun: dict[str, tuple[float, float, float]] = {}

    def on_progress(self, progress: Progress) -> None:
        self.note(progress.stage)

    def on_preview(self, _frame: object) -> None:
        """Nothing is done with previews."""

    def note(self, step: str) -> None:
        if step not in self.begun:
            workers = self._workers or self._here.children(recursive=True)
            self.begun[step] = (time.perf_counter(), processor_s([self._here]), processor_s(workers))

    def table(self) -> dict[str, tuple[float, ...]]:
        """Return the seconds of each step, and the processor time of runner and workers; the last step is the end."""
        return {
            step: tuple(after - before for before, after in zip(begin, end, strict=True))
            for (step, begin), (_, end) in itertools.pairwise(self.begun.items())
        }


def processor_s(processes: Sequence[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return float(sum(each.user + each.system for each in times))


def segment(path: Path, executor: TileExecutor, steps: Steps) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as folder, open_volume(path, scratch=Path(folder)) as volume:
        steps.note("opening")
        engine = Registry.discover().create("membrane", {})
        run_task(Task(engine=engine, volume=volume), Path(folder), executor, Control(lambda: False), steps)
        steps.note("end")


def run_here(side: int, folder: Path, address: str, processes: int, workers: Sequence[int]) -> None:
    """Segment a small volume and then the one that counts, and print what :func:`run` returns."""
    import resource

    executor = open_executor(processes) if address == "pool" else DaskExecutor(address, processes)
    segment(folder / f"{SMALL}.mrc", executor, Steps(workers))
    with (folder / f"{side}.mrc").open("rb") as file:
        # So that the disk, which others use too, is not what is measured.
        while file.read(1 << 24):
            pass
    steps = Steps(workers)
    segment(folder / f"{side}.mrc", executor, steps)
    executor.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"steps": steps.table(), "peak": peak}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=256, help="voxels along each axis (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="existing folder that keeps the volumes for the next time")
    parser.add_argument("--only", choices=ROWS, help="one of the rows (default: all)")
    parser.add_argument("--run", nargs=2, metavar=("ADDRESS", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--processes", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--workers", nargs="*", type=int, default=[], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        run_here(given.side, Path(given.run[1]), given.run[0], given.processes, given.workers)
        return
    found: dict[str, dict[str, Any]] = {}
    cores = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = given.folder or Path(name)
        for side in (SMALL, given.side):
            if not (folder / f"{side}.mrc").exists():
                write_phantom(folder / f"{side}.mrc", side)
        for where in ROWS if given.only is None else (given.only,):
            os.sched_setaffinity(0, sorted(cores)[: 1 if where == "core" else PROCESSES])
            if where == "pool":
                found[where] = run(given.side, folder, where)
            else:
                with cluster(Path(name), 2 if where == "2" else 1) as (address, pids):
                    found[where] = run(given.side, folder, address, pids)
            show(where, found[where])
    if len(found) > 1:
        pool, two, one, core = (sum(row[0] for row in each["steps"].values()) for each in found.values())
        print(
            f"two workers against one: {one / two:.2f} (target 1.7); against one core for all: {core / two:.2f}; "
            f"Dask against the pool: {two / pool:.2f} (target 1.1)"
        )


def show(where: str, found: dict[str, Any]) -> None:
    """Print the steps of a run: seconds, and behind the strokes the processor time of the runner and of the workers."""
    print(f"{ROWS[where]}   peak of the runner {found['peak'] / 2**20:.0f} MiB")
    rows = {**found["steps"], "total": [sum(times) for times in zip(*found["steps"].values(), strict=True)]}
    for step, times in rows.items():
        print(f"  {step:<40}" + " | ".join(f"{each:6.2f}" for each in times), flush=True)


if __name__ == "__main__":
    main()
