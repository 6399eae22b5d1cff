"""A tomogram of 10 GB over HTTP: how soon it opens, and what ten people who scroll cost.

The tomogram (1024 × 2048 × 2560 voxels, int16, all of them noise) is a file of 10.7 GB that is written first, so the
operating system mostly has it in memory. "First" is the first request for that level or axis, "next" that for its
neighbour, "again" one for the same. Beside the time that the client waits there is the time that the gateway computes,
whatever else the machine does, and that of a plain read of the section's bytes from the file. While
ten clients scroll through sections and chunks, an eleventh asks whether the gateway lives; before that, it asks for as
long while nobody scrolls.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
from benchmarks.load.peak import Peak

from cryomamba.models.files import FileRecord
from cryomamba.testing import wait_until
from cryomamba.volumes import blank_header, inspect
from cryomamba.volumes.header_encoder import encode_header
from cryomamba.volumes.multiscale import levels_of

SHAPE = (1024, 2048, 2560)
CLIENTS = 10
SECONDS = float(os.environ.get("SCROLL_SECONDS", "20"))
RUNS = 3


def large_upload(home: Path) -> str:
    """Put a tomogram of noise among the uploads, as if somebody had sent it, and return its id."""
    file_id = str(uuid.uuid4())
    folder = home / "uploads" / "files" / file_id
    folder.mkdir(parents=True)
    path = folder / "volume.mrc"
    header = blank_header(SHAPE, 10.0, mode=1)
    # Not a whole number of sections, so that none is like its neighbours.
    noise = np.random.default_rng(0).normal(0, 40, (64 << 20) // 2 + 12_345).astype("<i2").tobytes()
    with path.open("wb") as file:
        file.write(encode_header(header, ("benchmark",)))
        for start in range(0, header.data_nbytes, len(noise)):
            file.write(noise[: header.data_nbytes - start])
    meta = inspect(path)
    record = FileRecord(
        file_id=file_id,
        filename="noise.mrc",
        size_bytes=meta.size_bytes,
        sha256="0" * 64,
        metadata=meta,
        created_at=datetime.now(UTC),
    )
    (folder / "file.json").write_text(record.model_dump_json())
    return file_id


def computed_s(pid: int) -> float:
    """Return how long the threads of a process have computed."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text(encoding="ascii").split()[0]) for task in tasks) / 1e9


async def timed(http: httpx.AsyncClient, what: str, paths: Sequence[str], pid: int, raw_s: float | None = None) -> None:
    """Print the time of requests, that of the gateway for each, and how long reading the same bytes takes."""
    cells = ""
    for path in paths:
        computed, started = computed_s(pid), time.perf_counter()
        reply = await http.get(path)
        waited = time.perf_counter() - started
        reply.raise_for_status()
        cells += f"{waited * 1000:6.0f} ({(computed_s(pid) - computed) * 1000:3.0f})"
    print(f"{what:34s}{cells}" + ("" if raw_s is None else f"{raw_s * 1000:8.1f}"))


def read_section_s(path: Path, axis: str, index: int) -> float:
    """Read the bytes that a section needs, with as few calls as possible, and return how long it takes."""
    depth, height, width = SHAPE
    row, start = 2 * width, path.stat().st_size - 2 * depth * height * width
    each = {
        "z": [(height * row, start + index * height * row)],
        "y": [(row, start + (z * height + index) * row) for z in range(depth)],
        "x": [(2, start + (z * height + y) * row + 2 * index) for z in range(2, depth, 5) for y in range(2, height, 5)],
    }[axis]
    with path.open("rb", buffering=0) as file:
        began = time.perf_counter()
        for nbytes, offset in each:
            os.pread(file.fileno(), nbytes, offset)
        return time.perf_counter() - began


async def scroll(url: str, base: str, seed: int, until: float) -> int:
    """Scroll through sections, and through chunks of a section, and return the number of answers."""
    rng = np.random.default_rng(seed)
    answers = 0
    levels = levels_of(SHAPE)
    async with httpx.AsyncClient(base_url=url, timeout=120, trust_env=False) as http:
        while time.perf_counter() < until:
            z = int(rng.integers(SHAPE[0]))
            paths = [f"/v1/files/{base}/slice?index={z}&size=1024"]
            level = int(rng.integers(3))
            grid = [-(-side // most) for side, most in zip(levels[level].shape, (32, 128, 128), strict=True)]
            paths += [
                f"/v1/zarr/0.5/files/{base}.ome.zarr/{level}/c/" + "/".join(str(rng.integers(n)) for n in grid)
                for _ in range(6)
            ]
            for reply in await asyncio.gather(*(http.get(path) for path in paths)):
                reply.raise_for_status()
                answers += 1
    return answers


async def beat(url: str, until: float) -> list[float]:
    """Ask for the gateway's health all the time, and return the times of the answers."""
    times = []
    async with httpx.AsyncClient(base_url=url, timeout=120, trust_env=False) as http:
        while time.perf_counter() < until:
            started = time.perf_counter()
            (await http.get("/v1/healthz")).raise_for_status()
            times.append(time.perf_counter() - started)
            await asyncio.sleep(0.01)
    return times


def lags(metrics: str) -> tuple[int, int]:
    """Return how many of the gateway's own samples of its lag were above 50 ms, and how many there are."""
    counts = dict(re.findall(r'cryomamba_gateway_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)', metrics))
    return int(float(counts["+Inf"]) - float(counts["0.05"])), int(float(counts["+Inf"]))


async def live(http: httpx.AsyncClient, url: str, label: str, scrollers: Sequence[Awaitable[int]]) -> None:
    """Print how soon the gateway answers while clients scroll, and how late its event loop is."""
    late, samples = lags((await http.get("/metrics")).text)
    until = time.perf_counter() + SECONDS
    beating = asyncio.create_task(beat(url, until))
    answers = sum(await asyncio.gather(*scrollers))
    times = sorted(await beating)
    later, more = lags((await http.get("/metrics")).text)
    print(
        f"{label}: {answers / SECONDS:.0f} answers/s; health: median {times[len(times) // 2] * 1000:.0f} ms, slowest "
        f"{times[-1] * 1000:.0f} ms; event loop more than 50 ms late: {later - late} of {more - samples} samples"
    )


async def measure(url: str, file_id: str, path: Path, pid: int) -> None:
    """Print all measurements."""
    zarr = f"/v1/zarr/0.5/files/{file_id}.ome.zarr"
    async with httpx.AsyncClient(base_url=url, timeout=120, trust_env=False) as http:
        print(f"{'ms (computed by the gateway)':34s}{'first':>12s}{'next':>12s}{'again':>12s}{'plain read':>12s}")
        await timed(http, "metadata", [f"{zarr}/zarr.json"] * 3, pid)
        last = len(levels_of(SHAPE)) - 1
        await timed(http, "chunk of the coarsest level", [f"{zarr}/{last}/c/0/0/0"] * 3, pid)
        for level in (4, 3, 2, 1, 0):
            chunks = [f"{zarr}/{level}/c/{z}/0/0" for z in (0, 1, 1)]
            await timed(http, f"chunk of level {level}, and its row", chunks, pid)
        for axis, index in (("z", 500), ("y", 1000), ("x", 1200)):
            sections = [
                f"/v1/files/{file_id}/slice?axis={axis}&index={n}&size=1024" for n in (index, index + 1, index + 1)
            ]
            raw_s = read_section_s(path, axis, index + 2)
            await timed(http, f"section along {axis}, 1024 pixels", sections, pid, raw_s)
        print()
        await live(http, url, f"nobody scrolls, {SECONDS:.0f} s", [asyncio.sleep(SECONDS, 0)])
        for run in range(RUNS):
            with Peak(pid) as peak:
                until = time.perf_counter() + SECONDS
                scrollers = [scroll(url, file_id, run * CLIENTS + n, until) for n in range(CLIENTS)]
                await live(http, url, f"{CLIENTS} clients scroll", scrollers)
            print(f"memory: {peak.before:.0f} MB before, {peak.highest:.0f} MB at most, {peak.now():.0f} MB after")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        file_id = large_upload(home)
        environment = {
            **os.environ,
            "CRYOMAMBA_HOME": str(home),
            "CRYOMAMBA_GATEWAY_PORT": "0",
            "CRYOMAMBA_LOG": "error",
        }
        with subprocess.Popen([sys.executable, "-m", "cryomamba_gateway"], env=environment) as gateway:
            try:
                announced = home / "gateway.json"
                wait_until(announced.exists, what="the gateway")
                url = re.findall(r'"url": "([^"]+)"', announced.read_text(encoding="utf-8"))[0]
                path = home / "uploads" / "files" / file_id / "volume.mrc"
                asyncio.run(measure(url, file_id, path, gateway.pid))
            finally:
                gateway.terminate()
                gateway.wait()


if __name__ == "__main__":
    main()
