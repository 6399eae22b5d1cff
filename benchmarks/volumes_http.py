"""A tomogram of 10 GB over HTTP: how soon it opens, and what ten people who scroll cost.

The tomogram is a sparse file (1024 × 2048 × 2560 voxels, int16), so no disk is measured: the numbers are those of a
file that the operating system has in memory. "First" is the first request for that level or axis, "again" the next one
in the same place. While ten clients scroll through sections and chunks, an eleventh asks whether the gateway lives.
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


def sparse_upload(home: Path) -> str:
    """Put a sparse tomogram among the uploads, as if somebody had sent it, and return its id."""
    file_id = str(uuid.uuid4())
    folder = home / "uploads" / "files" / file_id
    folder.mkdir(parents=True)
    path = folder / "volume.mrc"
    header = blank_header(SHAPE, 10.0, mode=1)
    path.write_bytes(encode_header(header, ("benchmark",)))
    os.truncate(path, header.data_offset + header.data_nbytes)
    meta = inspect(path)
    record = FileRecord(
        file_id=file_id,
        filename="sparse.mrc",
        size_bytes=meta.size_bytes,
        sha256="0" * 64,
        metadata=meta,
        created_at=datetime.now(UTC),
    )
    (folder / "file.json").write_text(record.model_dump_json())
    return file_id


async def timed(http: httpx.AsyncClient, what: str, path: str) -> None:
    """Print the time of a request and of the same one again."""
    times = []
    for _ in range(2):
        started = time.perf_counter()
        reply = await http.get(path)
        times.append((time.perf_counter() - started) * 1000)
        reply.raise_for_status()
    print(f"{what:44s} {times[0]:8.0f} ms {times[1]:8.0f} ms")


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


def lags(metrics: str) -> str:
    """Return how many of the gateway's own samples of its lag were above 50 ms."""
    counts = dict(re.findall(r'cryomamba_gateway_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)', metrics))
    return f"{float(counts['+Inf']) - float(counts['0.05']):.0f} of {float(counts['+Inf']):.0f}"


async def measure(url: str, file_id: str, pid: int) -> None:
    """Print all measurements."""
    zarr = f"/v1/zarr/0.5/files/{file_id}.ome.zarr"
    async with httpx.AsyncClient(base_url=url, timeout=120, trust_env=False) as http:
        print(f"{'':44s} {'first':>11s} {'again':>11s}")
        await timed(http, "metadata", f"{zarr}/zarr.json")
        last = len(levels_of(SHAPE)) - 1
        await timed(http, "chunk of the coarsest level", f"{zarr}/{last}/c/0/0/0")
        for level in (4, 3, 2, 1, 0):
            await timed(http, f"chunk of level {level}, and its row", f"{zarr}/{level}/c/0/0/0")
        for axis, index in (("z", 500), ("y", 1000), ("x", 1200)):
            await timed(
                http,
                f"section along {axis}, 1024 pixels",
                f"/v1/files/{file_id}/slice?axis={axis}&index={index}&size=1024",
            )
        with Peak(pid) as peak:
            until = time.perf_counter() + SECONDS
            beating = asyncio.create_task(beat(url, until))
            answers = sum(await asyncio.gather(*(scroll(url, file_id, n, until) for n in range(CLIENTS))))
            times = sorted(await beating)
        lag = lags((await http.get("/metrics")).text)
    print(f"\n{CLIENTS} clients scroll for {SECONDS:.0f} s: {answers / SECONDS:.0f} answers/s")
    print(f"health in between: median {times[len(times) // 2] * 1000:.0f} ms, slowest {times[-1] * 1000:.0f} ms")
    print(f"event loop more than 50 ms late: {lag} samples")
    print(
        f"memory of the gateway: {peak.before:.0f} MB before, {peak.highest:.0f} MB at most, {peak.now():.0f} MB after"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        file_id = sparse_upload(home)
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
                asyncio.run(measure(url, file_id, gateway.pid))
            finally:
                gateway.terminate()
                gateway.wait()


if __name__ == "__main__":
    main()
