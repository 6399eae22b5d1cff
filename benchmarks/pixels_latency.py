"""From a stroke to the updated section under the view, with `pixels` on 512³ voxels through real services.

Real services as processes, two processes for tiles, a 512³ float32 file, and a client that watches over the gateway's
WebSocket. Each round adds a stroke of a new label while the job runs; the time counts from just before the PUT to the
first preview that has the new label's name, which has the section in view and is shown at once. There are rounds while
the network is not yet applied to the volume, and the section is classified without it, and rounds after that. At the
end the peak of the memory of the compute process and its children is printed. `--side` takes a smaller volume,
`--rounds` other counts.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from cryomamba.client import AsyncClient, aconnect
from cryomamba.masks.strokes import Strokes, read_strokes
from cryomamba.models.events import Event, PreviewEvent, ProgressEvent
from cryomamba.models.jobs import PreviewOptions
from cryomamba.testing import Stack
from cryomamba.volumes import write_volume

CLASSIFYING = "classifying"
"""The stage of the tiles."""


def write_file(path: Path, side: int) -> None:
    rng = np.random.default_rng(7)
    slab = rng.normal(size=(side // 8, side, side)).astype(np.float32)
    slab[:, side // 4 : side // 2] -= 1
    write_volume(path, (slab for _ in range(8)), (10.0, 10.0, 10.0), shape=(side, side, side))


def strokes(side: int, labels: int) -> Strokes:
    """Twenty strokes and one more for each further label, all in the middle section."""
    rng, z = np.random.default_rng(1), side // 2
    lines: list[dict[str, Any]] = []
    for number in range(20):
        y = int(rng.integers(side // 4, side // 2)) if number % 2 else int(rng.integers(side // 2, side - 4))
        x = int(rng.integers(0, side - 50))
        lines.append({"label": number % 2, "radius": 2, "points": [[z, y, x], [z, y, x + 40]]})
    for label in range(2, labels):
        x = 20 * label
        lines.append({"label": label, "radius": 2, "points": [[z, 8, x], [z, 8, x + 10]]})
    names = ["background", *(f"label {number}" for number in range(1, labels))]
    return read_strokes({"shape": [side] * 3, "labels": names, "lines": lines})


async def measure(stack: Stack, path: Path, side: int, rounds: int) -> None:
    async with await aconnect(stack.http_url) as client, contextlib.AsyncExitStack() as closing:
        began = time.perf_counter()
        params = {"strokes": strokes(side, 2).model_dump(mode="json")}
        job = await client.submit(path, engine="pixels", params=params, preview=PreviewOptions(interval_s=0.25))
        await client.focus(job.job_id, (side / 2, side / 2, side / 2))
        watched = await closing.enter_async_context(contextlib.aclosing(client.watch(job.job_id)))
        peak = _Peak(stack)
        await until_label(watched, 1, peak)
        first = time.perf_counter() - began
        early = [await update(client, job.job_id, watched, side, 3 + n, peak) for n in range(rounds)]
        async for event in watched:
            if isinstance(event, ProgressEvent) and event.progress.stage.startswith(CLASSIFYING):
                break
        network = time.perf_counter() - began
        late = [await update(client, job.job_id, watched, side, 3 + rounds + n, peak) for n in range(rounds)]
        await finish(client, job.job_id)
    print(f"{side}³, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"from submitting to the first section: {first:.2f} s (with reading the volume once)")
    print(
        f"from submitting until the network was applied to the volume: {network:.0f} s, with {rounds} strokes meanwhile"
    )
    for when, times in (("before", early), ("after", late)):
        middle, worst = statistics.median(times), max(times)
        print(
            f"from a stroke to the updated section, {when} that: median {middle:.2f} s, worst {worst:.2f} s (target 2)"
        )
        print("  each: " + ", ".join(f"{one:.2f}" for one in times))
    print(f"peak memory of the worker and its processes: {peak.nbytes / 1e9:.2f} GB")


async def update(
    client: AsyncClient, job_id: str, watched: AsyncIterator[Event], side: int, labels: int, peak: _Peak
) -> float:
    """Add a stroke of a new label, and return the seconds until the section is shown with it."""
    # Meanwhile tiles are computed, or maps.
    await asyncio.sleep(3)
    sent = time.perf_counter()
    await client.set_strokes(job_id, strokes(side, labels))
    await until_label(watched, labels - 1, peak)
    return time.perf_counter() - sent


async def until_label(watched: AsyncIterator[Event], label: int, peak: _Peak) -> None:
    async for event in watched:
        if isinstance(event, PreviewEvent):
            peak.measure()
            if len(event.frame.labels) >= label:
                return


class _Peak:
    """The highest memory of the inference service and its processes."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.nbytes = 0

    def measure(self) -> None:
        self.nbytes = max(self.nbytes, compute_bytes(self._stack))


async def finish(client: AsyncClient, job_id: str) -> None:
    await client.cancel(job_id)
    async for _ in client.watch(job_id, previews=False):
        pass


def compute_bytes(stack: Stack) -> int:
    """Return the memory of the inference service and all its processes, shared pages counted once for each."""
    worker = psutil.Process(stack.processes["inference"].pid)
    total = 0
    for process in (worker, *worker.children(recursive=True)):
        try:
            total += process.memory_full_info().uss
        except psutil.Error:
            continue
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "volume.mrc"
        write_file(path, chosen.side)
        with Stack(Path(folder) / "home", roots=[Path(folder)], env={"CRYOMAMBA_PROCESSES": "2"}) as stack:
            stack.start().wait_ready()
            asyncio.run(measure(stack, path, chosen.side, chosen.rounds))


if __name__ == "__main__":
    main()
