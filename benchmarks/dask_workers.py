"""The engine 'membrane' on a Dask cluster of this machine: two workers against one, and against a pool of processes.

Scheduler and workers are processes with one thread each, and read the volume by its path. Each run is a process of its
own, as a worker of a server is: its memory is the peak of that process alone, without workers and processes of the
pool. Before the run that counts, each does a volume of 256³, so that no worker loads anything for the first time.
'Tiles' are the seconds of the stage in which nothing but tiles is computed; the rest is reading, preparing, merging and
writing.

``python -m benchmarks.dask_workers --side 128`` is a quick trial of the program itself.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.membrane_speed import engine_time, write_phantom

from cryomamba.testing import wait_until
from cryomamba_inference.executor import DaskExecutor, open_executor

SMALL = 256
PROCESSES = 2
_START_S = 120


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[str]:
    """Give the address of a scheduler with so many workers."""
    file, host = folder / "scheduler.json", ("--host", "127.0.0.1")
    with ExitStack() as stack:

        def start(name: str, *options: str) -> None:
            command = [sys.executable, "-m", f"distributed.cli.dask_{name}", *host, *options]
            log = stack.enter_context((folder / f"{name}.log").open("wb"))
            process = stack.enter_context(subprocess.Popen(command, stdout=log, stderr=log))
            stack.callback(process.kill)

        start("scheduler", "--port", "0", "--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(file))
        wait_until(file.is_file, timeout=_START_S, what="the scheduler")
        for _ in range(workers):
            start(
                "worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-nanny", "--no-dashboard",
                "--local-directory", str(folder),
            )  # fmt: skip
        registered = (folder / "scheduler.log").read_text
        wait_until(lambda: registered().count("Register worker") == workers, timeout=_START_S, what="the workers")
        yield json.loads(file.read_text())["address"]
        file.unlink()


def run(side: int, folder: Path, address: str) -> dict[str, Any]:
    """Segment a volume in a new process, and return its seconds and the peak of its memory."""
    command = [sys.executable, "-m", "benchmarks.dask_workers", "--side", str(side), "--run", address, str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def run_here(side: int, folder: Path, address: str) -> None:
    """Segment a small volume and then the one that counts, and print what :func:`run` returns."""
    import resource

    executor = open_executor(PROCESSES) if address == "pool" else DaskExecutor(address, PROCESSES)
    engine_time(folder / f"{SMALL}.mrc", executor)
    total, stages = engine_time(folder / f"{side}.mrc", executor)
    executor.close()
    tiles = stages.table()["segmenting"][0]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"total": total, "tiles": tiles, "peak": peak}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=256, help="voxels along each axis (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="existing folder that keeps the volumes for the next time")
    parser.add_argument("--only", choices=["pool", "2", "1"], help="the pool, or so many Dask workers (default: all)")
    parser.add_argument("--run", nargs=2, metavar=("ADDRESS", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        run_here(given.side, Path(given.run[1]), given.run[0])
        return
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = given.folder or Path(name)
        for side in (SMALL, given.side):
            if not (folder / f"{side}.mrc").exists():
                write_phantom(folder / f"{side}.mrc", side)
        for where in ("pool", "2", "1") if given.only is None else (given.only,):
            if where == "pool":
                found[where] = run(given.side, folder, where)
            else:
                with cluster(Path(name), int(where)) as address:
                    found[where] = run(given.side, folder, address)
            print(
                f"{'pool of two processes' if where == 'pool' else f'Dask, workers: {where}':22}  "
                f"total {found[where]['total']:6.1f} s   tiles {found[where]['tiles']:6.1f} s   "
                f"peak of the runner {found[where]['peak'] / 2**20:5.0f} MiB"
            )
    if len(found) > 1:
        pool, two, one = found.values()
        print(
            f"two workers against one: total {one['total'] / two['total']:.2f}, tiles "
            f"{one['tiles'] / two['tiles']:.2f} (target 1.7)   Dask against pool: {two['total'] / pool['total']:.2f} "
            "(target 1.1)"
        )


if __name__ == "__main__":
    main()
