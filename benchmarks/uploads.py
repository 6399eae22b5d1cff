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
import threading
import time
from pathlib import Path
from typing import Self

import httpx
import numpy as np
import psutil

from cryomamba.testing import Stack
from cryomamba.volumes import write_volume

UPLOADS = int(os.environ.get("UPLOADS", "20"))
MB = int(os.environ.get("UPLOAD_MB", "256"))
CHUNK = 8 * 1024 * 1024
PARALLEL = 2
SETTLE_S = 0.05


class Peak:
    """The largest resident memory of a process while it lasts, in MB."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.before = self.now()
        self.highest = self.before

    def now(self) -> float:
        return self._process.memory_info().rss / 1e6

    def _watch(self) -> None:
        while not self._over.wait(SETTLE_S):
            self.highest = max(self.highest, self.now())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def base_volume(folder: Path) -> memoryview:
    """Return the bytes of a volume of about the wanted size."""
    side = round((MB * 1e6 / 4) ** (1 / 3))
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


async def all_at_once(url: str, base: memoryview) -> int:
    return sum(await asyncio.gather(*(upload(url, base, number) for number in range(UPLOADS))))


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="cryomamba-uploads-") as name:
        folder = Path(name)
        base = base_volume(folder)
        limits = {"CRYOMAMBA_UPLOADS_PER_TOKEN": str(UPLOADS), "CRYOMAMBA_UPLOAD_QUOTA_GB": "1000"}
        with Stack(folder / "home", env=limits) as stack:
            stack.start("broker", "inference", "gateway").wait_ready()
            asyncio.run(upload(stack.http_url, base, 1000))
            with Peak(stack.processes["gateway"].pid) as peak:
                started = time.perf_counter()
                right = asyncio.run(all_at_once(stack.http_url, base))
                seconds = time.perf_counter() - started
            after = peak.now()
        alone = write_alone(folder, base)
    sent = UPLOADS * len(base) / 1e6
    print(
        f"{UPLOADS} uploads of {len(base) / 1e6:.0f} MB at once, parts of {CHUNK >> 20} MiB, {PARALLEL} at a time each"
    )
    print(f"checksums right        {right} of {UPLOADS}")
    print(f"gateway before         {peak.before:8.0f} MB resident")
    print(f"gateway at its highest {peak.highest:8.0f} MB resident (+{peak.highest - peak.before:.0f})")
    print(f"gateway afterwards     {after:8.0f} MB resident")
    print(f"all uploads            {sent / seconds:8.0f} MB/s ({seconds:.1f} s), client on the same cores")
    print(f"hash and write alone   {len(base) / 1e6 / alone:8.0f} MB/s, one file, one process")


if __name__ == "__main__":
    main()
