"""Meters of processor time, of commits and of the disk."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np
import psutil


def cpu_s(pid: int) -> float:
    """Return the processor time of a process with all its threads, in seconds.

    On Linux it is the clock of the process, in nanoseconds; /proc and psutil count in hundredths of a second.
    """
    if sys.platform == "linux":
        # clock_getcpuclockid(3) makes this number; Python has it for threads only.
        return time.clock_gettime((~pid << 3) | 2)
    return sum(psutil.Process(pid).cpu_times()[:2])


class Meter:
    """Processor time of some processes while a block runs, in seconds of a core, and the seconds that it took."""

    def __init__(self, processes: Mapping[str, int]) -> None:
        self._processes = processes
        self._before: dict[str, float] = {}
        self._began = 0.0
        self.seconds = 0.0
        self.used: dict[str, float] = {}

    def _now(self) -> dict[str, float]:
        return {name: cpu_s(pid) for name, pid in self._processes.items()}

    def __enter__(self) -> Self:
        self._before, self._began = self._now(), time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.monotonic() - self._began
        self.used = {name: value - self._before[name] for name, value in self._now().items()}

    def share(self, name: str) -> float:
        """Return the share of a core that a process used."""
        return self.used[name] / self.seconds


def disk_MB_s(folder: Path, nbytes: int = 256 << 20) -> float:
    """Return the speed of a sequential write that ends on the disk."""
    block = os.urandom(8 << 20)
    began = time.monotonic()
    with (folder / "speed").open("wb") as file:
        for _ in range(nbytes // len(block)):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    seconds = time.monotonic() - began
    (folder / "speed").unlink()
    return nbytes / 1e6 / seconds


def commit_s(path: Path, count: int) -> float:
    """Return the median time of a durable commit to a new file; now and then one takes a hundred times as long."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, body TEXT)")
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        connection.execute("INSERT INTO jobs (body) VALUES (?)", ("x" * 500,))
        taken.append(time.perf_counter() - began)
    connection.close()
    return float(np.median(taken))
