"""From POST /v1/jobs to the first preview at a watching client, and how long the services' loops were blocked.

Real services as processes, a 512³ float32 file, a client that watches over the gateway's WebSocket. The time counts
from just before the POST. While the jobs run, pings are sent to broker and gateway all the time: the slowest answer
bounds how long an event loop can have been blocked. As a peer, the same file is only read once from start to end.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np

from cryomamba.client import AsyncClient, aconnect
from cryomamba.models.events import PreviewEvent
from cryomamba.testing import Stack
from cryomamba.volumes import write_volume

SIDE = 512
ROUNDS = 5


def write_file(path: Path) -> None:
    rng = np.random.default_rng(7)
    slab = rng.normal(size=(64, SIDE, SIDE)).astype(np.float32)
    write_volume(path, (slab for _ in range(SIDE // 64)), (10.0, 10.0, 10.0), shape=(SIDE, SIDE, SIDE))


async def first_preview(client: AsyncClient, path: Path, engine: str) -> tuple[float, float]:
    """Return the seconds to the first preview and to the end."""
    started = time.perf_counter()
    job = await client.submit(path, engine=engine)
    first = None
    async for event in client.watch(job.job_id):
        if isinstance(event, PreviewEvent) and first is None:
            first = time.perf_counter() - started
            if ROUNDS > 1:
                await client.cancel(job.job_id)
    return first or float("nan"), time.perf_counter() - started


async def probe(url: str, bus: AsyncClient, worst: dict[str, float]) -> None:
    """Ask both loops again and again; keep the slowest answer of each."""
    async with httpx.AsyncClient(base_url=url, timeout=10) as http:
        while True:
            for name, ask in (("gateway", lambda: http.get("/v1/healthz")), ("broker", bus.latency)):
                started = time.perf_counter()
                await ask()
                worst[name] = max(worst[name], time.perf_counter() - started)
            await asyncio.sleep(0.002)


async def measure(stack: Stack, path: Path) -> None:
    async with await aconnect(stack.http_url) as client, await aconnect(stack.bus_url) as bus:
        await client.info()
        await bus.latency()
        worst = {"gateway": 0.0, "broker": 0.0}
        prober = asyncio.create_task(probe(stack.http_url, bus, worst))
        print(f"{'engine':<14}{'first preview s: median':>24}{'worst':>8}   (target 1)")
        for engine in ("threshold",):
            times = [(await first_preview(client, path, engine))[0] for _ in range(ROUNDS)]
            print(f"{engine:<14}{statistics.median(times):>24.2f}{max(times):>8.2f}")
        prober.cancel()
        slowest = ", ".join(f"{name} {seconds * 1e3:.0f} ms" for name, seconds in worst.items())
        print(f"slowest answer meanwhile: {slowest} (target 50)")


def read_once(path: Path) -> float:
    buffer = bytearray(1 << 20)
    started = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
    return time.perf_counter() - started


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "big.mrc"
        write_file(path)
        with Stack(Path(folder) / "home", roots=[Path(folder)], env={"CRYOMAMBA_PROCESSES": "2"}) as stack:
            stack.start().wait_ready()
            asyncio.run(measure(stack, path))
        print(f"reading the file once, nothing else: {read_once(path):.2f} s")


if __name__ == "__main__":
    main()
