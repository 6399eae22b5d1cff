"""Measures on real services in rounds: what small loads cost, and in between what larger ones really do.

Each round has all loads, small and large in turn, and in the opposite order every second time. So a machine that is
slow for a while, or a queue that grows longer, changes both sides of the comparison alike.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated

import numpy as np
from benchmarks.load.watchers import work
from benchmarks.scaling.load import Submitted, Watched, idle, median, memory_MB, services, submits, watching
from benchmarks.scaling.meter import commit_s, disk_MB_s
from pydantic import BeforeValidator

from cryomamba.testing import Stack

_COMMITS, _IDLE_S = 50, 2.0
_FIRST_CLIENTS, _FIRST_SUBMITS = 8, 100


def _parts_of_text(key: object) -> object:
    # In JSON a key is text.
    return tuple(key.split(",")) if isinstance(key, str) else key


Key = Annotated[tuple[int, int, float], BeforeValidator(_parts_of_text)]
"""Watchers, jobs, and frames per second of each job."""


@dataclass(frozen=True, slots=True)
class Loads:
    """What is done in each round.

    Attributes
    ----------
    submits : dict of int to int
        Submits of each burst, by the number of clients; the last is the one to predict.
    small, large : tuple
        Loads of watchers from which the costs are made, and those to predict.
    seconds : float
        Of each load of watchers.
    """

    submits: dict[int, int]
    small: tuple[Key, ...]
    large: tuple[Key, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Round:
    """All measurements of one round.

    Attributes
    ----------
    idle : tuple of float
        Share of a core of gateway and broker.
    commit : float
        Seconds of a commit alone on the disk.
    submits : dict
        By the number of clients.
    watching : dict
        By the load.
    broker_MB, disk_MB_s : float
    """

    idle: tuple[float, float]
    commit: float
    submits: dict[int, Submitted]
    watching: dict[Key, Watched]
    broker_MB: float
    disk_MB_s: float


@dataclass(frozen=True, slots=True)
class Measurements:
    """All rounds, and the memory of a new gateway in MB by its watchers, whose number grows: it gives none back."""

    rounds: tuple[Round, ...]
    memory_MB: dict[int, float]


def measure(loads: Loads, rounds: int) -> Measurements:
    """Start services and measure."""
    with tempfile.TemporaryDirectory(prefix="cryomamba-scaling-") as name:
        folder = Path(name)
        with services(folder / "watchers") as stack, _watchers(stack.http_url) as (clients, pid):
            watch = partial(_watch, stack, clients, pid, loads.seconds)
            # Before the rounds, also because at first a service is slower.
            memory = {key[0]: watch(key).gateway_MB for key in sorted(_slowest({*loads.small, *loads.large}))}
            found = [_round(folder / str(number), stack, loads, watch, number) for number in range(rounds)]
            return Measurements(tuple(found), memory)


def _slowest(loads: set[Key]) -> set[Key]:
    """Return a load for each number of watchers, with the fewest frames."""
    return {min(key for key in loads if key[0] == watchers) for watchers in {key[0] for key in loads}}


def _round(folder: Path, stack: Stack, loads: Loads, watch: partial[Watched], number: int) -> Round:
    folder.mkdir()
    disk, still = disk_MB_s(folder), idle(stack, _IDLE_S)
    commit, submitted, broker_MB = _submits(folder, loads)
    # Those to predict are among the others, not after them.
    order = [key for pair in _interleaved(loads.small, loads.large) for key in pair]
    watched = {key: watch(key) for key in (order if number % 2 else order[::-1])}
    return Round(still, commit, submitted, watched, broker_MB, disk)


def _interleaved(small: tuple[Key, ...], large: tuple[Key, ...]) -> Iterator[tuple[Key, ...]]:
    """Return groups of small loads, each with one of the large ones."""
    each = -(-len(small) // len(large))
    for number, one in enumerate(large):
        yield (*small[number * each : (number + 1) * each], one)


def _submits(folder: Path, loads: Loads) -> tuple[float, dict[int, Submitted], float]:
    """Do each burst twice, in one order and back, so that the growing queue counts for all alike."""
    order = [*loads.submits, *reversed(loads.submits)]
    found: dict[int, list[Submitted]] = {clients: [] for clients in loads.submits}
    with services(folder / "submits") as stack:
        asyncio.run(submits(stack, _FIRST_CLIENTS, _FIRST_SUBMITS))
        commits = []
        for number, clients in enumerate(order):
            commits.append(commit_s(folder / f"commits-{number}", _COMMITS))
            found[clients].append(asyncio.run(submits(stack, clients, loads.submits[clients])))
        broker_MB = memory_MB(stack, "broker")
    return float(np.median(commits)), {clients: median(bursts) for clients, bursts in found.items()}, broker_MB


def _watch(stack: Stack, clients: Connection, pid: int, seconds: float, load: Key) -> Watched:
    watchers, jobs, rate_hz = load
    return asyncio.run(watching(stack, clients, pid, watchers=watchers, jobs=jobs, rate_hz=rate_hz, seconds=seconds))


@contextmanager
def _watchers(url: str) -> Iterator[tuple[Connection, int]]:
    """Run a process that watches; its orders go over the connection."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(url, theirs), daemon=True)
    process.start()
    try:
        yield ours, process.pid or 0
    finally:
        ours.send(None)
        process.join(10)
        process.kill()
