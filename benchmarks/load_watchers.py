"""Two hundred WebSocket viewers at ten frames a second, twenty of which never read: latency of states, memory.

Broker and gateway are real; a worker that computes nothing publishes 10 frames a second for each of the jobs, and all
watchers are connections of one light process on the same machine. Each round has new jobs and new watchers; those who
do not read keep their connections as long as the gateway lets them. A state's time runs from the broker's clock, when
it was noted, to the client's. The gateway's answers to another client meanwhile are timed as well.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
import numpy as np
from benchmarks.load.peak import Peak
from benchmarks.load.watchers import Seen, Watch, work
from benchmarks.load.worker import ENGINE, PacedWorker, bus_endpoints

from cryomamba.testing import DEADLINE_S, Stack, wait_until

FLOWING, CONNECTING = "frames flow", "all connect"


@dataclass(frozen=True, slots=True)
class Load:
    """How many watch how much, and for how long.

    Attributes
    ----------
    watchers, deaf : int
        All, and those of them that never read.
    binary : float
        Share of the watchers that take binary frames; the others take JSON with base64.
    jobs : int
        At once.
    side : int
        Of the preview mask, in voxels.
    rounds : int
        Besides the first one, after which memory is counted.
    """

    watchers: int = int(os.environ.get("WATCHERS", "200"))
    deaf: int = int(os.environ.get("DEAF", "20"))
    binary: float = 1.0
    jobs: int = 4
    side: int = 128
    rate_hz: float = 10.0
    seconds: float = float(os.environ.get("ROUND_S", "10"))
    rounds: int = int(os.environ.get("ROUNDS", "4"))


@dataclass(slots=True)
class Result:
    """What all rounds but the first came to; memory in MB, times in seconds."""

    seen: list[Seen]
    published: int
    before: float
    highest: float
    after: float
    answers: dict[str, list[float]]

    @property
    def complete(self) -> int:
        """How many of those that read were sent the final state and closed in order."""
        return sum(one.code == 1000 and one.states[-1:][0][0] == "job_completed" for one in self.seen if one.states)

    @property
    def states(self) -> list[float]:
        """Seconds of all state messages but the greetings, which tell old news."""
        return [seconds for one in self.seen for kind, seconds in one.states if kind != "connected"]


class Probe:
    """Asks the gateway again and again, and keeps the seconds of each answer by what went on when it was asked."""

    def __init__(self, url: str) -> None:
        self.phase = ""
        self.answers: defaultdict[str, list[float]] = defaultdict(list)
        self._url = url

    async def run(self) -> None:
        async with httpx.AsyncClient(base_url=self._url, timeout=DEADLINE_S, trust_env=False) as http:
            while True:
                phase, started = self.phase, time.perf_counter()
                await http.get("/v1/healthz")
                self.answers[phase].append(time.perf_counter() - started)
                await asyncio.sleep(0.02)


async def one_round(
    stack: Stack, load: Load, workers: list[PacedWorker], clients: Connection, probe: Probe
) -> list[Seen]:
    async with httpx.AsyncClient(base_url=stack.http_url, timeout=DEADLINE_S, trust_env=False) as http:
        body = {"volume": {"shape": [4 * load.side] * 3}, "engine": ENGINE}
        jobs = [(await http.post("/v1/jobs", json=body)).raise_for_status().json()["job_id"] for _ in workers]
    binary = round(load.watchers * load.binary)
    watches = [
        Watch(jobs[number % len(jobs)], binary=number < binary, reads=number % load.watchers >= load.deaf)
        for number in range(load.watchers)
    ]
    # Those who do not read are spread over both forms.
    order = np.random.default_rng(1).permutation(load.watchers)
    watches = [Watch(one.job, binary=bool(order[n] < binary), reads=one.reads) for n, one in enumerate(watches)]
    probe.phase = CONNECTING
    await asyncio.to_thread(clients.send, watches)
    await asyncio.to_thread(clients.recv)
    probe.phase = FLOWING
    await asyncio.gather(*(worker.one_job() for worker in workers))
    probe.phase = ""
    seen: list[Seen] = await asyncio.to_thread(clients.recv)
    return seen


async def rounds(stack: Stack, load: Load, clients: Connection) -> Result:
    endpoints = bus_endpoints(stack)
    workers = [
        PacedWorker(endpoints, f"paced-{n}", side=load.side, rate_hz=load.rate_hz, seconds=load.seconds)
        for n in range(load.jobs)
    ]
    for worker in workers:
        await worker.hello()
    probe = Probe(stack.http_url)
    await one_round(stack, load, workers, clients, probe)
    seen: list[Seen] = []
    published = sum(worker.frames for worker in workers)
    probing = asyncio.create_task(probe.run())
    with Peak(stack.processes["gateway"].pid) as peak:
        for _ in range(load.rounds):
            seen += await one_round(stack, load, workers, clients, probe)
        after = peak.now()
    probing.cancel()
    published = sum(worker.frames for worker in workers) - published
    for worker in workers:
        await worker.close()
    return Result(seen, published, peak.before, peak.highest, after, dict(probe.answers))


def run(load: Load, folder: Path) -> Result:
    """Start broker, gateway and clients, and carry out a load."""
    context = multiprocessing.get_context("spawn")
    with Stack(folder / "home") as stack:
        stack.start("broker", "gateway")
        wait_until((stack.home / "gateway.json").exists, what="the gateway")
        wait_until(
            lambda: httpx.get(f"{stack.http_url}/v1/server/info", timeout=DEADLINE_S).status_code == 200,
            what="the broker",
        )
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(stack.http_url, theirs), daemon=True)
        process.start()
        try:
            return asyncio.run(rounds(stack, load, ours))
        finally:
            ours.send(None)
            process.join(10)
            process.kill()


def table(load: Load, result: Result) -> None:
    """Print what came of it."""
    wanted = (load.watchers - load.deaf) * load.rounds
    states, ages = np.array(result.states) * 1e3, np.array([age for one in result.seen for age in one.ages]) * 1e3
    frames = sum(one.frames for one in result.seen)
    offered = wanted / load.rounds / load.jobs * result.published
    print(
        f"{load.watchers} watchers, {load.deaf} of whom never read; {load.jobs} jobs, mask {load.side}³, "
        f"{load.rate_hz:g} frames/s, {load.binary:.0%} binary, {load.rounds} rounds of {load.seconds:g} s"
    )
    print(f"  final states           {result.complete:>8} of {wanted}")
    p50, p99 = np.percentile(states, [50, 99])
    print(f"  state messages         {p50:>8.0f} ms p50, {p99:.0f} ms p99 (target 250), {states.max():.0f} ms slowest")
    rate = frames / load.rounds / load.seconds
    print(f"  frames taken           {frames / offered:>8.0%} of those published; {rate:.0f} a second")
    if ages.size:
        print(f"  age of a binary frame  {np.median(ages):>8.0f} ms p50, {np.percentile(ages, 99):.0f} ms p99")
    print(
        f"  gateway                {result.before:>8.0f} MB after the first round, {result.highest:.0f} MB at its "
        f"highest (+{result.highest - result.before:.0f}, target 50), {result.after:.0f} MB afterwards"
    )
    for phase in (FLOWING, CONNECTING):
        p50, p99 = np.percentile(result.answers[phase], [50, 99]) * 1e3
        slowest = max(result.answers[phase]) * 1e3
        print(f"  answers while {phase:<13}{p50:>4.0f} ms p50, {p99:.0f} ms p99, {slowest:.0f} ms slowest", flush=True)


def main(*forms: float) -> None:
    for binary in forms or (1.0, 0.5):
        load = Load(binary=binary)
        with tempfile.TemporaryDirectory(prefix="cryomamba-load-") as name:
            table(load, run(load, Path(name)))


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
