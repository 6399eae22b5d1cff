"""Loads on real services: submits of several clients, and running jobs whose frames are watched."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

import httpx
import numpy as np
import psutil
from benchmarks.lease_commits import CommitCounter
from benchmarks.load.watchers import Seen, Watch
from benchmarks.load.worker import ENGINE, PacedWorker, bus_endpoints
from benchmarks.load_submits import over_http
from benchmarks.scaling.meter import Meter

from cryomamba.testing import DEADLINE_S, Stack, wait_until

SIDE = 80
"""Of a preview mask: 80³ bits are 64,000 bytes."""
FRAME_BYTES = SIDE**3 // 8

T = TypeVar("T", "Submitted", "Watched")


@dataclass(frozen=True, slots=True)
class Submitted:
    """What one burst of submits did.

    Attributes
    ----------
    gateway, broker, client : float
        Seconds of a core for each submit.
    rate : float
        Submits per second, of the middle 80 % of the answers.
    answer_p50, answer_mean : float
        Seconds from a submit to its answer.
    commits : float
        For each submit.
    """

    gateway: float
    broker: float
    client: float
    rate: float
    answer_p50: float
    answer_mean: float
    commits: float


@dataclass(frozen=True, slots=True)
class Watched:
    """What one load of watchers did, in the seconds in which frames flowed.

    Attributes
    ----------
    gateway, broker, worker, clients : float
        Share of a core; all workers are one process, and all watchers another one.
    arrived : float
        Share of the published frames that watchers received.
    age_p50 : float
        Seconds from the worker to the watcher.
    receive : float
        Seconds of a core of the watchers for each frame.
    gateway_MB : float
        Memory at the end.
    connecting : float
        Seconds of a core of the gateway for each watcher that connected.
    """

    gateway: float
    broker: float
    worker: float
    clients: float
    arrived: float
    age_p50: float
    receive: float
    gateway_MB: float
    connecting: float


def median(runs: Sequence[T]) -> T:
    """Return the median of each figure."""
    figures = np.median([astuple(one) for one in runs], axis=0).tolist()
    return type(runs[0])(*figures)


@contextmanager
def services(folder: Path) -> Iterator[Stack]:
    """Run a broker and a gateway."""
    with Stack(folder, env={"CRYOMAMBA_REQUESTS_PER_MINUTE": "1000000"}) as stack:
        stack.start("broker", "gateway")
        wait_until((stack.home / "gateway.json").exists, what="the gateway")
        wait_until(
            lambda: httpx.get(f"{stack.http_url}/v1/server/info", timeout=DEADLINE_S).status_code == 200,
            what="the broker",
        )
        asyncio.run(_offer_engine(stack))
        yield stack


async def _offer_engine(stack: Stack) -> None:
    """Offer the engine, so that jobs are accepted; no worker takes them."""
    worker = PacedWorker(bus_endpoints(stack), "catalogue", side=8, rate_hz=1, seconds=1)
    await worker.hello()
    await worker.close()


def meter(stack: Stack, **others: int) -> Meter:
    """Return a meter of the services and of other processes."""
    return Meter({name: stack.processes[name].pid for name in ("gateway", "broker")} | others)


def idle(stack: Stack, seconds: float) -> tuple[float, float]:
    """Return the share of a core that gateway and broker use when nothing happens."""
    with meter(stack) as used:
        # The time that is measured, not a wait for something.
        time.sleep(seconds)
    return used.share("gateway"), used.share("broker")


def memory_MB(stack: Stack, name: str) -> float:
    """Return the memory of a service."""
    return float(psutil.Process(stack.processes[name].pid).memory_info().rss / 1e6)


async def submits(stack: Stack, clients: int, count: int) -> Submitted:
    """Submit jobs, as many at a time as there are clients."""
    submit = over_http(stack, None)
    numbers = iter(range(count))
    answers: list[float] = []
    ends: list[float] = []
    first = time.monotonic_ns()
    commits = CommitCounter(stack.home / "jobs.sqlite-wal")
    before = commits.read()

    async def one_client() -> None:
        for number in numbers:
            began = time.perf_counter()
            status, _ = await submit(first + number)
            if status != 201:
                raise RuntimeError(f"a submit was answered {status}")
            ends.append(time.perf_counter())
            answers.append(ends[-1] - began)
            if clients == 1:
                # Read before the log starts again from its beginning.
                commits.read()

    with meter(stack, client=os.getpid()) as used:
        await asyncio.gather(*(one_client() for _ in range(clients)))
    each = {name: seconds / count for name, seconds in used.used.items()}
    begin, end = count // 10, count * 9 // 10
    return Submitted(
        each["gateway"],
        each["broker"],
        each["client"],
        (end - begin - 1) / (ends[end - 1] - ends[begin]),
        float(np.median(answers)),
        float(np.mean(answers)),
        (commits.read() - before) / count,
    )


async def watching(
    stack: Stack, clients: Connection, pid: int, *, watchers: int, jobs: int, rate_hz: float, seconds: float
) -> Watched:
    """Run jobs that publish frames, each watched by its share of the watchers."""
    endpoints = bus_endpoints(stack)
    prefix = f"paced-{time.monotonic_ns()}"
    workers = [
        PacedWorker(endpoints, f"{prefix}-{n}", side=SIDE, rate_hz=rate_hz, seconds=seconds) for n in range(jobs)
    ]
    for worker in workers:
        await worker.hello()
    async with httpx.AsyncClient(base_url=stack.http_url, timeout=DEADLINE_S, trust_env=False) as http:
        body = {"volume": {"shape": [4 * SIDE] * 3}, "engine": ENGINE}
        ids = [(await http.post("/v1/jobs", json=body)).raise_for_status().json()["job_id"] for _ in workers]
    with meter(stack) as connecting:
        await asyncio.to_thread(clients.send, [Watch(ids[n % jobs], binary=True) for n in range(watchers)])
        await asyncio.to_thread(clients.recv)
    with meter(stack, clients=pid, worker=os.getpid()) as used:
        await asyncio.gather(*(_staggered(worker, n / jobs / rate_hz) for n, worker in enumerate(workers)))
    seen: list[Seen] = await asyncio.to_thread(clients.recv)
    published = workers[0].frames * watchers
    for worker in workers:
        await worker.close()
    received = sum(one.frames for one in seen)
    return Watched(
        used.share("gateway"),
        used.share("broker"),
        used.share("worker"),
        used.share("clients"),
        received / published,
        float(np.median([age for one in seen for age in one.ages])),
        used.used["clients"] / max(1, received),
        memory_MB(stack, "gateway"),
        connecting.used["gateway"] / watchers,
    )


async def _staggered(worker: PacedWorker, after: float) -> None:
    await asyncio.sleep(after)
    await worker.one_job()
