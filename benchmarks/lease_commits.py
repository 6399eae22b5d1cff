"""Commits of the job store per minute: idle, and while one job runs.

Commits are counted in SQLite's write-ahead log: a frame whose field "size after commit" is not 0 ends a transaction
(https://www.sqlite.org/fileformat.html#the_write_ahead_log). The services run unchanged. The target is one commit per
lease renewal: `LEASE_S / RENEWALS_PER_LEASE` is 5 s, so 12 a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import tempfile
import time
from pathlib import Path

from cryomamba import JobState
from cryomamba.client import aconnect
from cryomamba.testing import Stack
from cryomamba.wire.constants import LEASE_S, RENEWALS_PER_LEASE

LOG_HEADER, FRAME_HEADER = 32, 24
IDLE_S, RUNNING_S, JOB_S = 15.0, 45.0, 120.0
LOOK_S = 0.02


class CommitCounter:
    """Counts the commits in a write-ahead log that grows and is restarted."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._salt = b""
        self._position = LOG_HEADER
        self.commits = 0

    def read(self) -> int:
        """Return the number of commits so far."""
        with self._path.open("rb") as file:
            header = file.read(LOG_HEADER)
            page_size = struct.unpack(">I", header[8:12])[0] if header else 0
            if header[16:24] != self._salt:
                self._salt, self._position = header[16:24], LOG_HEADER
            while True:
                file.seek(self._position)
                frame = file.read(FRAME_HEADER)
                if len(frame) < FRAME_HEADER or frame[8:16] != self._salt:
                    return self.commits
                self.commits += struct.unpack(">I", frame[4:8])[0] != 0
                self._position += FRAME_HEADER + page_size

    async def per_minute(self, seconds: float) -> float:
        """Count for so many seconds."""
        before, started = self.read(), time.monotonic()
        while (taken := time.monotonic() - started) < seconds:
            await asyncio.sleep(LOOK_S)
            self.read()
        return (self.commits - before) * 60 / taken


async def commits_per_minute(stack: Stack) -> tuple[float, float]:
    """Return the commits a minute while nothing runs, and while one job does."""
    async with await aconnect(stack.http_url) as client:
        counter = CommitCounter(stack.home / "jobs.sqlite-wal")
        idle = await counter.per_minute(IDLE_S)
        job = await client.submit(shape=(64, 64, 64), engine="demo", params={"seconds": JOB_S})
        async with contextlib.aclosing(job.watch(previews=False)) as events:
            async for _ in events:
                if job.state is JobState.RUNNING:
                    break
        running = await counter.per_minute(RUNNING_S)
        await job.cancel()
    return idle, running


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder) / "home") as stack:
        stack.start().wait_ready()
        idle, running = asyncio.run(commits_per_minute(stack))
    target = 60 * RENEWALS_PER_LEASE / LEASE_S
    print(f"idle          {idle:6.1f} commits a minute")
    print(f"one job       {running:6.1f} commits a minute   (target {target:.0f})")


if __name__ == "__main__":
    main()
