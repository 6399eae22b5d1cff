"""An hour of jobs, watchers and uploads: memory, descriptors and threads of every service.

Each job uploads a tomogram of its own, is watched over HTTP by who submitted it and over the bus by another client,
and ends; one in ten is cancelled, and of the others the mask is downloaded. Every second job is deleted again. Clients
come and go with each job; two more follow all jobs from the beginning to the end. Every watcher must see the end.
``MINUTES`` and ``PERIOD_S`` (from one job to the next) are set in the environment.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import httpx
import numpy as np
import psutil

from cryomamba.client import AsyncClient, AsyncJob, aconnect
from cryomamba.errors import ConflictError
from cryomamba.models.events import Event, StateEvent
from cryomamba.testing import Stack, wait_until_async
from cryomamba.volumes import write_volume

MINUTES: Final = float(os.environ.get("MINUTES", "60"))
PERIOD_S: Final = float(os.environ.get("PERIOD_S", "3"))
ROWS: Final = 12
SAMPLE_S: Final = 5.0
SIDE: Final = 64
SERVICES: Final = ("broker", "gateway", "inference", "engine")


@dataclass(slots=True)
class Counts:
    """What was done and seen so far."""

    jobs: int = 0
    uploads: int = 0
    watches: int = 0
    ends: int = 0
    problems: list[str] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)


Sample = tuple[float, int, int]


def read(process: psutil.Process) -> Sample:
    """Return memory in MB, descriptors and threads of a process."""
    with process.oneshot():
        return process.memory_info().rss / 1e6, process.num_fds(), process.num_threads()


def sample(stack: Stack, samples: dict[str, list[Sample]]) -> None:
    for service in SERVICES[:-1]:
        samples[service].append(read(psutil.Process(stack.processes[service].pid)))
    children = psutil.Process(stack.processes["inference"].pid).children(recursive=True)
    with suppress(psutil.NoSuchProcess):
        found = [read(child) for child in children]
        samples["engine"].append(
            (sum(one[0] for one in found), sum(one[1] for one in found), sum(one[2] for one in found))
        )


async def watch_to_end(events: AsyncIterator[Event], counts: Counts, who: str) -> None:
    """Watch a job; whatever the watch does but end with a final state is a problem."""
    counts.watches += 1
    last: StateEvent | None = None
    try:
        async for event in events:
            if isinstance(event, StateEvent):
                last = event
    except Exception as error:  # noqa: BLE001 (whatever it is, it is counted)
        counts.problems.append(f"{who}: {error!r}")
        return
    if last is not None and last.record.state.final:
        counts.ends += 1
    else:
        counts.problems.append(f"{who}: ended without a final state")


async def one_job(stack: Stack, folder: Path, number: int, counts: Counts) -> None:
    """Upload, submit, watch twice, download, delete."""
    path = folder / f"tomogram-{number}.mrc"
    voxels = np.random.default_rng(number).normal(size=(SIDE,) * 3).astype(np.float32)
    await asyncio.to_thread(write_volume, path, voxels, 10.0)
    async with await aconnect(stack.http_url) as http, await aconnect(stack.bus_url) as bus:
        file = await http.upload(path)
        path.unlink()
        counts.uploads += 1
        job = await http.submit(file_id=file.file_id, engine="threshold")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(watch_to_end(http.watch(job.job_id), counts, f"{job.job_id} over HTTP"))
            tasks.create_task(watch_to_end(bus.watch(job.job_id), counts, f"{job.job_id} over the bus"))
            if number % 10 == 0:
                with suppress(ConflictError):
                    await job.cancel()
        await finish(http, job, folder, number)
        counts.ended.add(job.job_id)
        counts.jobs += 1


async def finish(client: AsyncClient, job: AsyncJob, folder: Path, number: int) -> None:
    await job.refresh()
    if job.artifacts:
        (await job.download(folder)).unlink()
    if number % 2:
        await client.delete(job)


async def follow_all(client: AsyncClient, ended: set[str]) -> None:
    async for event in client.watch_all():
        if isinstance(event, StateEvent) and event.event.state.final:
            ended.add(event.event.job_id)


def header() -> str:
    names = "".join(f"{name + ' MB':>14}{'fds':>5}{'threads':>9}" for name in SERVICES)
    return f"{'minutes':>7}{'jobs':>6}{'uploads':>9}{'ends seen':>15}{'previews MB':>13}{names}"


async def cached_previews(stack: Stack) -> float:
    """Return how many MB of the broker's memory are the last previews of jobs."""
    async with httpx.AsyncClient(base_url=stack.http_url) as http:
        text = (await http.get("/metrics")).text
    found = re.search(r"^cryomamba_broker_preview_cache_bytes (\S+)", text, re.MULTILINE)
    return float(found[1]) / 1e6 if found else math.nan


def row(minutes: float, counts: Counts, samples: dict[str, list[Sample]], previews_MB: float) -> str:
    """Median of the memory, highest number of descriptors and threads since the last row."""
    cells = "".join(
        f"{statistics.median(one[0] for one in samples[name]):>14.0f}"
        f"{max(one[1] for one in samples[name]):>5}{max(one[2] for one in samples[name]):>9}"
        for name in SERVICES
    )
    seen = f"{counts.ends} of {counts.watches}"
    return f"{minutes:>7.0f}{counts.jobs:>6}{counts.uploads:>9}{seen:>15}{previews_MB:>13.1f}{cells}"


async def report(stack: Stack, counts: Counts, started: float) -> None:
    """Print a row now and then until the time is over."""
    print(header(), flush=True)
    for number in range(1, ROWS + 1):
        samples: dict[str, list[Sample]] = defaultdict(list)
        until = started + number * MINUTES * 60 / ROWS
        while not samples["broker"] or time.monotonic() < until:
            await asyncio.sleep(min(SAMPLE_S, max(until - time.monotonic(), 0.1)))
            sample(stack, samples)
        minutes, previews_MB = (time.monotonic() - started) / 60, await cached_previews(stack)
        print(row(minutes, counts, samples, previews_MB), flush=True)


async def submit_repeatedly(stack: Stack, folder: Path, counts: Counts, started: float) -> None:
    """Start a job every period until the time is over, at most eight at once."""
    number, places = 0, asyncio.Semaphore(8)

    async def guarded(number: int) -> None:
        async with places:
            try:
                await one_job(stack, folder, number, counts)
            except Exception as error:  # noqa: BLE001 (whatever it is, it is counted)
                counts.problems.append(f"job {number}: {error!r}")

    async with asyncio.TaskGroup() as tasks:
        while time.monotonic() < started + MINUTES * 60:
            number += 1
            tasks.create_task(guarded(number))
            await asyncio.sleep(max(started + number * PERIOD_S - time.monotonic(), 0))
            async with places:
                pass


async def all_seen(ended: set[str], ends: Iterable[set[str]]) -> bool:
    return all(ended <= seen for seen in ends)


async def measure(stack: Stack, folder: Path) -> None:
    counts = Counts()
    ends: tuple[set[str], set[str]] = (set(), set())
    async with AsyncExitStack() as context:
        clients = [await context.enter_async_context(await aconnect(url)) for url in (stack.http_url, stack.bus_url)]
        tasks = [asyncio.create_task(follow_all(one, seen)) for one, seen in zip(clients, ends, strict=True)]
        started = time.monotonic()
        reporting = asyncio.create_task(report(stack, counts, started))
        await submit_repeatedly(stack, folder, counts, started)
        await reporting
        with suppress(AssertionError):
            await wait_until_async(partial(all_seen, counts.ended, ends), timeout=30)
        for name, seen in zip(("HTTP", "bus"), ends, strict=True):
            print(f"all jobs over {name}: {len(counts.ended & seen)} of {len(counts.ended)} ends seen")
        for task in tasks:
            task.cancel()
        for name, ended in zip(("HTTP", "bus"), await asyncio.gather(*tasks, return_exceptions=True), strict=True):
            if isinstance(ended, Exception):
                counts.problems.append(f"all jobs over {name}: {ended!r}")
    print(f"watches: {counts.ends} of {counts.watches} saw the end; other problems: {len(counts.problems)}")
    for problem in counts.problems[:20]:
        print(f"  {problem}")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="cryomamba-endurance-") as name:
        folder = Path(name)
        with Stack(folder / "home", roots=[folder]) as stack:
            stack.start().wait_ready()
            asyncio.run(measure(stack, folder))


if __name__ == "__main__":
    main()
