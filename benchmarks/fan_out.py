"""Fan-out: previews of 64 kB for many WebSocket viewers, against a bare broadcaster with epoll.

Broker and gateway are real; a worker that computes nothing publishes the frames of one job, and all viewers are
connections of one light process. The yardstick is one process that accepts as many connections and writes as many bytes
to each at the same pace, and does nothing else: no job, no acknowledgement, no newest frame for a viewer that is slow.
*Age* is from the worker's or broadcaster's clock to the viewer.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
import numpy as np
import psutil
from benchmarks.load.broadcaster import broadcast
from benchmarks.load.watchers import Seen, Watch, work
from benchmarks.load.worker import ENGINE, PacedWorker, bus_endpoints
from benchmarks.load_watchers import FLOWING, Probe
from benchmarks.report.figures import Figure

from cryomamba.testing import DEADLINE_S, Stack, wait_until

SIDE = 80
"""Of the mask in voxels: 64 kB at a bit each."""

BARE = "a bare broadcaster"
CASES = ((1, 10.0), (10, 10.0), (100, 1.0), (100, 10.0), (500, 1.0), (500, 10.0))
QUICK_CASES = ((10, 10.0), (100, 10.0))


def measure(*, quick: bool) -> Iterator[Figure]:
    seconds = 3.0 if quick else 5.0
    for viewers, rate_hz in QUICK_CASES if quick else CASES:
        name, hardest = f"{viewers} viewers at {rate_hz:g} Hz", (viewers, rate_hz) == (500, 10)
        computed, gateway, _ = through_gateway(viewers, rate_hz, seconds)
        least, bare = by_broadcaster(viewers, rate_hz, seconds)
        delivered = 100 * sum(one.frames for one in gateway) / (viewers * (round(seconds * rate_hz) + 1))
        yield Figure(f"{name}: frames delivered", delivered, "%", 99 if hardest else None, at_least=True)
        yield Figure(
            f"{name}: processor time",
            computed / least,
            "×",
            2.5 if hardest else None,
            BARE,
            plot="fan-out",
            series=f"at {rate_hz:g} Hz",
            x=viewers,
        )
        age, bare_age = (float(np.percentile([a for one in seen for a in one.ages], 99)) for seen in (gateway, bare))
        yield Figure(f"{name}: age, 99 %", age / bare_age, "×", 2 if hardest else None, BARE)
    if not quick:
        _, _, answers = through_gateway(200, 10.0, seconds, probed=True)
        yield Figure("slowest health answer beside 200 viewers at 10 Hz", max(answers) * 1e3, "ms", 50)


def through_gateway(
    viewers: int, rate_hz: float, seconds: float, *, probed: bool = False
) -> tuple[float, list[Seen], list[float]]:
    """Return the gateway's processor seconds while frames flow, what the viewers saw, and the health answers."""
    with tempfile.TemporaryDirectory(prefix="cryomamba-fan-out-") as folder, Stack(Path(folder)) as stack:
        stack.start("broker", "gateway")
        wait_until((Path(folder) / "gateway.json").exists, what="the gateway")
        with clients(stack.http_url) as orders:
            return asyncio.run(flow(stack, orders, viewers, rate_hz, seconds, probed=probed))


async def flow(
    stack: Stack, orders: Connection, viewers: int, rate_hz: float, seconds: float, *, probed: bool
) -> tuple[float, list[Seen], list[float]]:
    worker = PacedWorker(bus_endpoints(stack), "paced", side=SIDE, rate_hz=rate_hz, seconds=seconds)
    await worker.hello()
    async with httpx.AsyncClient(base_url=stack.http_url, timeout=DEADLINE_S, trust_env=False) as http:
        body = {"volume": {"shape": [4 * SIDE] * 3}, "engine": ENGINE}
        job = (await http.post("/v1/jobs", json=body)).raise_for_status().json()["job_id"]
    probe = Probe(stack.http_url)
    probing = asyncio.create_task(probe.run()) if probed else None
    await asyncio.to_thread(orders.send, [Watch(job, binary=True)] * viewers)
    await asyncio.to_thread(orders.recv)
    gateway = psutil.Process(stack.processes["gateway"].pid)
    before = sum(gateway.cpu_times()[:2])
    probe.phase = FLOWING
    await worker.one_job()
    computed = sum(gateway.cpu_times()[:2]) - before
    probe.phase = ""
    if probing is not None:
        probing.cancel()
    seen: list[Seen] = await asyncio.to_thread(orders.recv)
    await worker.close()
    return computed, seen, probe.answers[FLOWING]


def by_broadcaster(viewers: int, rate_hz: float, seconds: float) -> tuple[float, list[Seen]]:
    """Return the broadcaster's processor seconds, and what the viewers saw."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    arguments = (theirs, viewers, round(seconds * rate_hz) + 1, rate_hz, SIDE**3 // 8)
    process = context.Process(target=broadcast, args=arguments, daemon=True)
    process.start()
    with clients(f"http://127.0.0.1:{ours.recv()}") as orders:
        orders.send([Watch("any", binary=True)] * viewers)
        orders.recv()
        ours.send("go")
        computed: float = ours.recv()
        seen: list[Seen] = orders.recv()
    process.join(10)
    process.kill()
    return max(computed, 1e-3), seen


@contextmanager
def clients(url: str) -> Iterator[Connection]:
    """Run the process of the viewers, and give the pipe of its orders."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(url, theirs), daemon=True)
    process.start()
    try:
        yield ours
    finally:
        ours.send(None)
        process.join(10)
        process.kill()
