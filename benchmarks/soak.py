"""Thousands of jobs through one broker and one gateway: what grows with their number.

Each job is submitted over HTTP, watched over a WebSocket, shows frames and ends; a worker that computes nothing does
the work. Memory, descriptors and threads of both services are read at the end of each quarter: the last three quarters
must not add what the first one has shown to be needed. The job store's file is what a month of such days adds to.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
import psutil
from benchmarks.load.watchers import Watch, read_all
from benchmarks.load.worker import ENGINE, PacedWorker, bus_endpoints

from cryomamba.testing import Stack, wait_until

JOBS = int(os.environ.get("JOBS", "2000"))
AT_ONCE = 8
QUARTERS = 4
SIDE = 128


async def jobs_of(stack: Stack, http: httpx.AsyncClient, worker: PacedWorker, count: int) -> int:
    """Carry out so many jobs one after the other, each watched; return how many received the final state."""
    received = 0
    for _ in range(count):
        body = {"volume": {"shape": [4 * SIDE] * 3}, "engine": ENGINE}
        job = (await http.post("/v1/jobs", json=body)).raise_for_status().json()["job_id"]
        watching = asyncio.create_task(read_all(stack.http_url, [Watch(job, binary=True)]))
        await worker.one_job()
        (seen,) = await watching
        received += seen.code == 1000 and seen.states[-1][0] == "job_completed"
    return received


def read(stack: Stack, service: str) -> tuple[float, int, int]:
    process = psutil.Process(stack.processes[service].pid)
    return process.memory_info().rss / 1e6, process.num_fds(), process.num_threads()


async def measure(stack: Stack) -> None:
    workers = [
        PacedWorker(bus_endpoints(stack), f"soak-{n}", side=SIDE, rate_hz=50, seconds=0.04) for n in range(AT_ONCE)
    ]
    for worker in workers:
        await worker.hello()
    print(f"{'jobs':>6}{'final states':>14}{'jobs/s':>8}{'broker MB':>11}{'fds':>5}{'threads':>9}", end="")
    print(f"{'gateway MB':>12}{'fds':>5}{'threads':>9}{'store MB':>10}")
    async with httpx.AsyncClient(base_url=stack.http_url, timeout=60, trust_env=False) as http:
        done, received = 0, 0
        for _ in range(QUARTERS):
            each = JOBS // QUARTERS // AT_ONCE
            started = time.perf_counter()
            received += sum(await asyncio.gather(*(jobs_of(stack, http, worker, each) for worker in workers)))
            done += each * AT_ONCE
            rate = each * AT_ONCE / (time.perf_counter() - started)
            broker, gateway = read(stack, "broker"), read(stack, "gateway")
            store = sum(path.stat().st_size for path in stack.home.glob("jobs.sqlite*")) / 1e6
            print(f"{done:>6}{received:>14}{rate:>8.0f}{broker[0]:>11.0f}{broker[1]:>5}{broker[2]:>9}", end="")
            print(f"{gateway[0]:>12.0f}{gateway[1]:>5}{gateway[2]:>9}{store:>10.1f}", flush=True)
        times = []
        for _ in range(20):
            started = time.perf_counter()
            (await http.get("/v1/jobs")).raise_for_status()
            times.append(time.perf_counter() - started)
    print(f"first page of the listing: {np.median(times) * 1e3:.0f} ms")
    for worker in workers:
        await worker.close()


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="cryomamba-soak-") as name, Stack(Path(name)) as stack:
        stack.start("broker", "gateway")
        wait_until((stack.home / "gateway.json").exists, timeout=60, what="the gateway")
        asyncio.run(measure(stack))


if __name__ == "__main__":
    main()
