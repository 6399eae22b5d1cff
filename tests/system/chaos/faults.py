"""Faults for a running stack: killed and stopped processes, broken connections, a full disk, no free descriptors."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import psutil
from tests.descriptors import exhaust, restore
from tests.small_disk import fill

from cryomamba.stack import SERVICES
from cryomamba.testing import FaultProxy, Stack

Proxies = Mapping[str, FaultProxy]

RECOVERY_S = 30.0
USUAL_JOB_S = 2.0
CHILD = "engine process"
_GONE = (psutil.NoSuchProcess, ProcessLookupError, FileNotFoundError)


class Faults:
    """Threads that kill processes, disturb connections and take resources away; at the end all faults are undone.

    A process is killed only after the services have recovered from the last kill and a job is running again, and then
    after a random time of a few undisturbed jobs (`job_s` each). On a busy machine no job would ever end otherwise.

    Another thread starts services that end by themselves, as a supervisor would: one that has no descriptor while it
    loads its modules cannot start.

    Parameters
    ----------
    stack : Stack
    proxies : mapping of FaultProxy
        Those of the connections, by name.
    disk : Path or None
        The small file system with the data directory; None if it cannot be filled.
    seed : int
    job_s : float
        On a slow machine, where jobs take long, everything is disturbed less often.
    exhausting : bool
        Whether resources are taken away too, and processes stopped.
    """

    def __init__(
        self, stack: Stack, proxies: Proxies, disk: Path | None, seed: int, *, job_s: float, exhausting: bool
    ) -> None:
        self.done: Counter[str] = Counter()
        self.killed: list[psutil.Process] = []
        self._stack, self._proxies, self._disk, self._job_s = stack, proxies, disk, job_s
        self._pace = max(1.0, job_s / USUAL_JOB_S)
        self._stop = threading.Event()
        self._starting = threading.Lock()
        work = [self._kill_repeatedly, self._disturb_repeatedly, self._supervise]
        if exhausting:
            work.append(self._exhaust_repeatedly)
        self._threads = [
            threading.Thread(target=one, args=(random.Random(seed + number),), name=one.__name__)
            for number, one in enumerate(work)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._start_ended()

    def effects(self) -> dict[str, int]:
        """Return how often each fault of a connection took effect, by fault and connection."""
        proxies = sorted(self._proxies.items())
        return {f"{effect}, {name}": n for name, proxy in proxies for effect, n in proxy.counts.items()}

    def _kill_repeatedly(self, chance: random.Random) -> None:
        while not self._stop.wait(0.02):
            victim, delay = chance.choice([*SERVICES, CHILD]), chance.uniform(0.0, 2.5)
            self._wait_for_a_job()
            if self._stop.wait(delay * self._job_s):
                return
            if victim == CHILD:
                self._kill_child(chance)
            else:
                self._kill_service(victim, chance)

    def _wait_for_a_job(self) -> None:
        until = time.monotonic() + RECOVERY_S * self._pace
        while not self._job_is_running() and time.monotonic() < until and not self._stop.wait(0.02):
            pass

    def _job_is_running(self) -> bool:
        # A job that ends meanwhile takes its folder along.
        with suppress(FileNotFoundError):
            return any((self._stack.home / "work").glob("*/*"))
        return False

    def _kill_service(self, service: str, chance: random.Random) -> None:
        self.done[f"SIGKILL {service}"] += 1
        self._note_children()
        with self._starting:
            self._stack.kill(service)
            self._stop.wait(chance.uniform(0.0, 1.0))
            self._stack.start(service)  # type: ignore[arg-type]

    def _supervise(self, _: random.Random) -> None:
        while not self._stop.wait(0.2):
            self._start_ended()

    def _start_ended(self) -> None:
        with self._starting:
            for service in SERVICES:
                status = self._stack.processes[service].poll()
                if status is not None:
                    self.done[f"ended by itself with {status}: {service}"] += 1
                    self._stack.start(service)

    def _kill_child(self, chance: random.Random) -> None:
        children = self._note_children()
        if children:
            self.done[f"SIGKILL {CHILD}"] += 1
            with suppress(psutil.NoSuchProcess):
                chance.choice(children).kill()

    def _note_children(self) -> list[psutil.Process]:
        found = self._children()
        self.killed += found
        return found

    def _children(self) -> list[psutil.Process]:
        inference = self._stack.processes.get("inference")
        with suppress(psutil.NoSuchProcess):
            return [] if inference is None else psutil.Process(inference.pid).children(recursive=True)
        return []

    def _disturb_repeatedly(self, chance: random.Random) -> None:
        while not self._stop.wait(chance.uniform(0.2, 1.5) * self._pace):
            name = chance.choice(sorted(self._proxies))
            kind = chance.choice(["cut", "delayed", "black hole", "open connections lost"])
            duration_s, delay_s = _duration(chance), chance.uniform(0.01, 0.3)
            self.done[f"{kind}: {name}"] += 1
            proxy = self._proxies[name]
            match kind:
                case "cut":
                    proxy.cut()
                case "delayed":
                    proxy.delay_s = delay_s
                case "black hole":
                    proxy.black_hole = True
                case _:
                    proxy.black_hole_open_connections()
            self._stop.wait(duration_s)
            proxy.restore()

    def _exhaust_repeatedly(self, chance: random.Random) -> None:
        kinds = ["SIGSTOP", "no descriptors", *(["full disk"] if self._disk else [])]
        while not self._stop.wait(chance.uniform(0.3, 3.0) * self._pace):
            kind, victim, free = chance.choice(kinds), chance.choice([*SERVICES, CHILD]), chance.randrange(4)
            duration_s = _duration(chance)
            process = self._process(victim, chance)
            if kind == "full disk" and self._disk:
                self.done[kind] += 1
                with _full(self._disk):
                    self._stop.wait(duration_s)
            elif process is not None:
                self.done[f"{kind}: {victim}"] += 1
                with _stopped(process) if kind == "SIGSTOP" else _without_descriptors(process, free):
                    self._stop.wait(duration_s)

    def _process(self, victim: str, chance: random.Random) -> psutil.Process | None:
        if victim == CHILD:
            children = self._children()
            return chance.choice(children) if children else None
        started = self._stack.processes.get(victim)
        with suppress(psutil.NoSuchProcess):
            return None if started is None else psutil.Process(started.pid)
        return None


def _duration(chance: random.Random) -> float:
    """Return mostly about a second, and sometimes longer than heartbeats and leases."""
    return chance.uniform(0.2, 1.5) if chance.random() < 0.85 else chance.uniform(6.0, 9.0)


@contextmanager
def _stopped(process: psutil.Process) -> Iterator[None]:
    with suppress(*_GONE):
        process.suspend()
    try:
        yield
    finally:
        with suppress(*_GONE):
            process.resume()


@contextmanager
def _without_descriptors(process: psutil.Process, free: int) -> Iterator[None]:
    if sys.platform != "linux":
        yield
        return
    with suppress(*_GONE):
        exhaust(process.pid, free)
    try:
        yield
    finally:
        with suppress(*_GONE):
            restore(process.pid)


@contextmanager
def _full(disk: Path) -> Iterator[None]:
    ballast = fill(disk)
    try:
        yield
    finally:
        ballast.unlink()
