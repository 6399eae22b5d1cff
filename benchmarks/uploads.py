"""Twenty uploads of 256 MB at once: memory of the gateway, speed, and every checksum.

Each upload has a connection of its own and sends parts of 8 MiB, two at a time; contents differ, so nothing is stored
twice. The limit that it is held against is measured in the same run: the same bytes hashed and written to the same disk
by this process alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from benchmarks.load.peak import Peak

from cryomamba.testing import Stack, wait_until
from cryomamba.volumes import write_volume

UPLOADS = int(os.environ.get("UPLOADS", "20"))
BURSTS = 2
MB = int(os.environ.get("UPLOAD_MB", "256"))
CHUNK = 8 * 1024 * 1024
PARALLEL = 2


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it; memory of the gateway in MB, its highest in each burst."""

    size: int
    right: int
    before: float
    highest: list[float]
    after: float
    seconds: float


def base_volume(folder: Path, megabytes: int) -> memoryview:
    """Return the bytes of a volume of about the wanted size."""
    side = round((megabytes * 1e6 / 4) ** (1 / 3))
    path = folder / "base.mrc"
    rng = np.random.default_rng(1)
    write_volume(path, rng.random((side, side, side), np.float32), 10.0)
    content = path.read_bytes()
    path.unlink()
    return memoryview(content)


def part_of(base: memoryview, number: int, index: int) -> bytes:
    """Return a part of upload `number`: the base, with other voxels in its last bytes."""
    part = bytearray(base[index * CHUNK : (index + 1) * CHUNK])
    part[-8:] = number.to_bytes(8, "little")
    return bytes(part)


def digest_of(base: memoryview, number: int) -> str:
    digest = hashlib.sha256()
    for index in range(-(-len(base) // CHUNK)):
        digest.update(part_of(base, number, index))
    return digest.hexdigest()


async def upload(url: str, base: memoryview, number: int) -> bool:
    """Send one file and say whether it arrived as it was."""
    async with httpx.AsyncClient(base_url=url, timeout=600, trust_env=False) as http:
        body = {"filename": f"{number}.mrc", "total_size_bytes": len(base), "chunk_size_bytes": CHUNK}
        begun = (await http.post("/v1/uploads/init", json=body)).raise_for_status().json()
        indices = iter(range(begun["part_count"]))

        async def send() -> None:
            for index in indices:
                reply = await http.put(begun["chunk_urls"][index], content=part_of(base, number, index))
                reply.raise_for_status()

        await asyncio.gather(*(send() for _ in range(PARALLEL)))
        done = (await http.post(f"/v1/uploads/{begun['upload_id']}/complete")).raise_for_status().json()
        await http.delete(f"/v1/files/{done['file_id']}")
        return bool(done["sha256"] == await asyncio.to_thread(digest_of, base, number))


def write_alone(folder: Path, base: memoryview) -> float:
    """Return the seconds that hashing and writing one such file takes."""
    started = time.perf_counter()
    digest = hashlib.sha256()
    with (folder / "alone").open("wb", buffering=0) as file:
        for start in range(0, len(base), CHUNK):
            digest.update(base[start : start + CHUNK])
            file.write(base[start : start + CHUNK])
        os.fsync(file.fileno())
    (folder / "alone").unlink()
    return time.perf_counter() - started


async def all_at_once(url: str, base: memoryview, count: int) -> int:
    return sum(await asyncio.gather(*(upload(url, base, number) for number in range(count))))


def run(folder: Path, base: memoryview, count: int, bursts: int) -> Result:
    """Start services, send one file to warm up, then so many at once, again and again."""
    limits = {"CRYOMAMBA_UPLOADS_PER_TOKEN": str(count), "CRYOMAMBA_UPLOAD_QUOTA_GB": "1000"}
    with Stack(folder / "home", env=limits) as stack:
        stack.start("broker", "gateway")
        wait_until((stack.home / "gateway.json").exists, what="the gateway")
        asyncio.run(upload(stack.http_url, base, 1000))
        peaks, right, started = [], 0, time.perf_counter()
        for _ in range(bursts):
            with Peak(stack.processes["gateway"].pid) as peak:
                right += asyncio.run(all_at_once(stack.http_url, base, count))
            peaks.append(peak)
        seconds = time.perf_counter() - started
        return Result(len(base), right, peaks[0].before, [peak.highest for peak in peaks], peaks[-1].now(), seconds)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="cryomamba-uploads-") as name:
        folder = Path(name)
        base = base_volume(folder, MB)
        found = run(folder, base, UPLOADS, BURSTS)
        alone = write_alone(folder, base)
    sent = BURSTS * UPLOADS * found.size / 1e6
    print(
        f"{UPLOADS} uploads of {found.size / 1e6:.0f} MB at once, parts of {CHUNK >> 20} MiB, {PARALLEL} at a time each"
    )
    print(f"checksums right        {found.right} of {BURSTS * UPLOADS}")
    print(f"gateway after one      {found.before:8.0f} MB resident")
    for number, highest in enumerate(found.highest, 1):
        grown = highest - found.before
        print(f"its highest in burst {number} {highest:8.0f} MB resident (+{grown:.0f}, target 50)")
    print(f"gateway afterwards     {found.after:8.0f} MB resident")
    print(f"all uploads            {sent / found.seconds:8.0f} MB/s ({found.seconds:.1f} s), client on the same cores")
    print(f"hash and write alone   {found.size / 1e6 / alone:8.0f} MB/s, one file, one process")


if __name__ == "__main__":
    main()
