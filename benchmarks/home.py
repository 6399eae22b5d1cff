"""Server footprint: growth of the data directory, memory of idle services, speed of a backup.

A stack takes 300 jobs without results to speak of and uploads of 64 MB each; then the job store is measured per job,
each service (with its children) at rest, and the first and a second backup, next to ``shutil.copytree`` of the same
folders. Private memory is what a process does not share with another.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

import cryomamba
from cryomamba.settings import Settings
from cryomamba.testing import Stack
from cryomamba.volumes import write_volume
from cryomamba_server.backup import back_up

JOBS = 300
UPLOADS = 8
SIDE = 256


def private_mb(process: psutil.Process) -> float:
    """Return the private memory of a process and its children."""
    return sum(one.memory_full_info().uss for one in (process, *process.children(recursive=True))) / 1e6


def fill(stack: Stack, folder: Path) -> None:
    rng = np.random.default_rng(3)
    with cryomamba.connect(stack.http_url) as client:
        jobs = [client.submit(shape=(8, 8, 8), engine="demo", params={"seconds": 0}).job_id for _ in range(JOBS)]
        for job in jobs:
            client.job(job).wait()
        for index in range(UPLOADS):
            path = folder / f"{index}.mrc"
            write_volume(path, rng.normal(size=(SIDE, SIDE, SIDE)).astype(np.float32), 10.0)
            client.upload(path)
            path.unlink()


def size(path: Path) -> int:
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())


def timed_backup(settings: Settings, target: Path) -> str:
    started = time.perf_counter()
    done = back_up(settings, target)
    seconds = time.perf_counter() - started
    return f"{seconds:7.2f} s   {done.files:5d} files, {done.nbytes / 1e6:8.1f} MB copied"


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Stack(folder / "home", roots=[folder], env={"CRYOMAMBA_PROCESSES": "2"}) as stack:
            stack.start().wait_ready(timeout=120)
            for service, process in stack.processes.items():
                print(f"{service:12s} at rest {private_mb(psutil.Process(process.pid)):7.1f} MB private")
            started = time.perf_counter()
            fill(stack, folder)
            seconds = time.perf_counter() - started
            print(f"{JOBS} jobs and {UPLOADS} uploads of {SIDE**3 * 4 / 1e6:.0f} MB in {seconds:.1f} s")
            for service, process in stack.processes.items():
                print(f"{service:12s} after   {private_mb(psutil.Process(process.pid)):7.1f} MB private")
            settings = Settings(home=stack.home)
            print(f"first backup     {timed_backup(settings, folder / 'backup')}")
            print(f"second backup    {timed_backup(settings, folder / 'backup')}")
            started = time.perf_counter()
            for part in ("artifacts", "uploads"):
                shutil.copytree(stack.home / part, folder / "copy" / part)
            os.sync()
            print(f"shutil.copytree  {time.perf_counter() - started:7.2f} s")
            store = (folder / "backup" / "jobs.sqlite").stat().st_size
            print(f"job store        {store / JOBS / 1e3:7.1f} kB a job")
            print(
                f"finished files   {size(stack.home / 'artifacts') / JOBS / 1e3:7.1f} kB a job besides one byte a voxel"
            )


if __name__ == "__main__":
    main()
