"""A tomogram of 10 GB over HTTP: the time to open it, and the load of ten people who scroll.

The tomogram (1024 × 2048 × 2560 voxels, int16, all of them noise) is a file of 10.7 GB that is written first, so the
operating system mostly has it in memory. "First" is the first request for that level or axis, "next" that for its
neighbour, "again" one for the same. Beside the time that the client waits there is the processor time of the gateway
and its helper processes, whatever else the machine does, and the time of a plain read of the section's bytes from the
file. "Sample" is before the coarser levels were made; a process that leaves the processor to others makes them
meanwhile, and what it computes is not counted with the requests.

While ten clients scroll through sections and chunks, another process asks for the gateway's health all the time: it
waits at least as long as the event loop is late. What the machine adds is seen on a second gateway, which is idle, and
on a run in which nobody scrolls. Then the same beside processes that compute all the time, four for each core.
"""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import PIL.Image
import psutil
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


def large_upload(home: Path, *, noise: bool = True) -> str:
    """Put a tomogram among the uploads, as if somebody had sent it, and return its id; without noise, a sparse file."""
    file_id = str(uuid.uuid4())
    folder = home / "uploads" / "files" / file_id
    folder.mkdir(parents=True)
    path = folder / "volume.mrc"
    header = blank_header(SHAPE, 10.0, mode=1)
    # Not a whole number of sections, so that none is like its neighbours.
    block = np.random.default_rng(0).normal(0, 40, (64 << 20) // 2 + 12_345).astype("<i2").tobytes()
    with path.open("wb") as file:
        file.write(encode_header(header, ("benchmark",)))
        for start in range(0, header.data_nbytes if noise else 0, len(block)):
            file.write(block[: header.data_nbytes - start])
        file.truncate(header.data_offset + header.data_nbytes)
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


def computed_s(pid: int) -> dict[int, float]:
    """Return how long a gateway and its helper processes have computed, but for the one that makes levels."""
    processes = [pid, *(child.pid for child in psutil.Process(pid).children() if child.nice() == 0)]
    return {process: _threads_s(process) for process in processes}


def more_s(now: dict[int, float], before: dict[int, float]) -> float:
    """Return how long processes have computed since."""
    return sum(seconds - before.get(process, 0.0) for process, seconds in now.items())


def _threads_s(pid: int) -> float:
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
        cells += f"{waited * 1000:6.0f} ({more_s(computed_s(pid), computed) * 1000:3.0f})"
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


def beat(url: str, seconds: float) -> None:
    """Ask for the gateway's health all the time, and print the times of the answers; a program of its own."""
    times = []
    until = time.perf_counter() + seconds
    host = url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=60)
    while time.perf_counter() < until:
        started = time.perf_counter()
        connection.request("GET", "/v1/healthz")
        connection.getresponse().read()
        times.append(time.perf_counter() - started)
        time.sleep(0.01)
    print(json.dumps(times))


def lags(metrics: str) -> tuple[int, int]:
    """Return how many of the gateway's own samples of its lag were above 50 ms, and how many there are."""
    counts = dict(re.findall(r'cryomamba_gateway_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)', metrics))
    return int(float(counts["+Inf"]) - float(counts["0.05"])), int(float(counts["+Inf"]))


async def live(urls: tuple[str, str], label: str, scrollers: Sequence[Awaitable[int]]) -> None:
    """Print how soon the gateway answers while clients scroll, beside an idle gateway, and how late its loop is."""
    async with httpx.AsyncClient(base_url=urls[0], timeout=120, trust_env=False) as http:
        late, samples = lags((await http.get("/metrics")).text)
        command = [sys.executable, "-m", "benchmarks.volumes_http", "beat"]
        beating = [
            await asyncio.create_subprocess_exec(*command, url, str(SECONDS), stdout=asyncio.subprocess.PIPE)
            for url in urls
        ]
        answers = sum(await asyncio.gather(*scrollers))
        here, idle = [_health(json.loads((await one.communicate())[0])) for one in beating]
        later, more = lags((await http.get("/metrics")).text)
    print(f"{label}: {answers / SECONDS:.0f} answers/s")
    print(f"  health: {here}; of an idle gateway: {idle}")
    print(f"  event loop more than 50 ms late: {later - late} of {more - samples} samples", flush=True)


def _health(times: list[float]) -> str:
    above = sum(one > 0.05 for one in times) / len(times)
    median, slowest = sorted(times)[len(times) // 2], max(times)
    return f"median {median * 1000:.0f}, slowest {slowest * 1000:.0f} ms, {above:.0%} above 50 ms"


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Run processes that compute all the time."""
    with ExitStack() as stack:
        for _ in range(count):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(process.kill)
        yield


async def levels_made(pid: int) -> None:
    """Wait until the coarser levels are made, and print how long the process for them has computed."""
    started = computed = 0.0
    maker = None
    while True:
        found = [child for child in psutil.Process(pid).children() if child.nice() > 0]
        if not found and maker is not None:
            break
        if found and maker is None:
            started, maker = found[0].create_time(), found[0].pid
        with suppress(OSError):
            computed = max(computed, _threads_s(maker) if maker else 0.0)
        await asyncio.sleep(0.05)
    print(f"coarser levels made in the background in {time.time() - started:.1f} s, {computed:.1f} s computed\n")


async def chunks(http: httpx.AsyncClient, zarr: str, pid: int) -> None:
    last = len(levels_of(SHAPE)) - 1
    await timed(http, "chunk of the coarsest level", [f"{zarr}/{last}/c/0/0/0"] * 3, pid)
    for level in (4, 3, 2, 1):
        paths = [f"{zarr}/{level}/c/{n}" for n in ("0/0/0", "1/0/0", "1/0/0")]
        await timed(http, f"chunk of level {level}, and one below", paths, pid)


async def section(http: httpx.AsyncClient, file_id: str, path: Path, axis: str, index: int, pid: int) -> None:
    paths = [f"/v1/files/{file_id}/slice?axis={axis}&index={n}&size=1024" for n in (index, index + 1, index + 1)]
    far = await http.get(paths[0].replace(f"index={index}", f"index={index - 64}"))
    size = " × ".join(map(str, PIL.Image.open(io.BytesIO(far.content)).size))
    await timed(http, f"section along {axis}, {size}", paths, pid, read_section_s(path, axis, index + 2))


async def measure(url: str, file_id: str, path: Path, pid: int) -> None:
    """Print what single requests cost."""
    zarr = f"/v1/zarr/0.5/files/{file_id}.ome.zarr"
    async with httpx.AsyncClient(base_url=url, timeout=120, trust_env=False) as http:
        print(f"{'ms (computed by the gateway)':34s}{'first':>12s}{'next':>12s}{'again':>12s}{'plain read':>12s}")
        await timed(http, "metadata", [f"{zarr}/zarr.json"] * 3, pid)
        await timed(http, "chunk of level 0, and one below", [f"{zarr}/0/c/{n}/0/0" for n in (0, 1, 1)], pid)
        for axis, index in (("z", 500), ("y", 1000)):
            await section(http, file_id, path, axis, index, pid)
        print("samples")
        await section(http, file_id, path, "x", 1200, pid)
        await chunks(http, zarr, pid)
        await levels_made(pid)
        await section(http, file_id, path, "x", 1200, pid)
        await chunks(http, zarr, pid)
        print()


async def scroll_all(urls: tuple[str, str], file_id: str, pid: int) -> None:
    """Print what people who scroll cost."""
    await live(urls, "nobody scrolls", [asyncio.sleep(SECONDS, 0)])
    for run in range(RUNS):
        await scrolling(urls, file_id, run, pid, f"{CLIENTS} clients scroll")
    with busy(4 * (os.cpu_count() or 1)):
        await live(urls, "nobody scrolls, busy machine", [asyncio.sleep(SECONDS, 0)])
        for run in range(RUNS):
            await scrolling(urls, file_id, RUNS + run, pid, f"{CLIENTS} clients scroll, busy machine")


async def scrolling(urls: tuple[str, str], file_id: str, run: int, pid: int, label: str) -> None:
    # Beside them, Python starts one that only removes what they might leave.
    helpers = [child.pid for child in psutil.Process(pid).children() if "spawn_main" in " ".join(child.cmdline())]
    with Peak(pid) as peak, ExitStack() as stack:
        peaks = [stack.enter_context(Peak(helper)) for helper in helpers]
        until = time.perf_counter() + SECONDS
        await live(urls, label, [scroll(urls[0], file_id, run * CLIENTS + n, until) for n in range(CLIENTS)])
    highest = ", ".join(f"{one.highest:.0f}" for one in peaks)
    print(f"  memory: {peak.before:.0f} MB before, {peak.highest:.0f} MB at most, {peak.now():.0f} MB after")
    print(f"  memory of its helper processes: {highest} MB at most")


@contextmanager
def gateway(home: Path) -> Iterator[tuple[str, int]]:
    """Run a gateway and yield its address and process id."""
    own = {"CRYOMAMBA_HOME": str(home), "CRYOMAMBA_GATEWAY_PORT": "0", "CRYOMAMBA_LOG": "error"}
    with subprocess.Popen([sys.executable, "-m", "cryomamba_gateway"], env={**os.environ, **own}) as process:
        try:
            announced = home / "gateway.json"
            wait_until(announced.exists, what="the gateway")
            yield re.findall(r'"url": "([^"]+)"', announced.read_text(encoding="utf-8"))[0], process.pid
        finally:
            process.terminate()
            process.wait()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        file_id = large_upload(home)
        path = home / "uploads" / "files" / file_id / "volume.mrc"
        print(f"load of the machine before: {os.getloadavg()[1]:.0f}")
        with gateway(home) as (url, pid), gateway(Path(folder) / "idle") as (idle, _):
            asyncio.run(measure(url, file_id, path, pid))
            asyncio.run(scroll_all((url, idle), file_id, pid))


if __name__ == "__main__":
    if sys.argv[1:2] == ["beat"]:
        beat(sys.argv[2], float(sys.argv[3]))
    else:
        main()
