"""Five hundred submits in a burst, over HTTP and over the bus: accepted or answered 429, and none lost.

All are sent at once, each HTTP request over a connection of its own and by a client as light as can be. What was
answered 201 is then looked for in the job store itself, and everything in the store must have been answered so. One
burst is of a token that may ask 300 times a minute. The peer: as many rows committed one after the other to an empty
SQLite file on the same disk.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
from benchmarks.load.worker import ENGINE, PacedWorker, bus_endpoints

import cryomamba
from cryomamba.client import AsyncClient, aconnect
from cryomamba.errors import CryoMambaError
from cryomamba.testing import Stack, wait_until
from cryomamba_server.tokens import Scope, TokenStore

SUBMITS = int(os.environ.get("SUBMITS", "500"))
PER_MINUTE = int(os.environ.get("PER_MINUTE", "300"))
SHAPE: Final = (64, 64, 64)

Submit = Callable[[int], Awaitable[tuple[int, str]]]


@dataclass(slots=True)
class Burst:
    """What came of one burst.

    Attributes
    ----------
    statuses : Counter of int
        HTTP status, or 201 and 0 over the bus.
    accepted : list of str
        Ids of the jobs that were answered.
    stored : list of str
        Ids of the jobs that the store has gained.
    answers : list of float
        Seconds of each answer.
    slowest_ping : float
        Seconds of the broker's slowest answer to another client meanwhile.
    """

    statuses: Counter[int]
    accepted: list[str]
    stored: list[str]
    answers: list[float]
    seconds: float
    slowest_ping: float

    @property
    def lost(self) -> int:
        """How many were answered and are not in the store, or are in it and were not answered, or are in it twice."""
        return len(set(self.accepted) ^ set(self.stored)) + len(self.stored) - len(set(self.stored))


def stored_jobs(home: Path) -> list[str]:
    """Read the store's file itself."""
    connection = sqlite3.connect(f"file:{home / 'jobs.sqlite'}?mode=ro", uri=True)
    try:
        return [row[0] for row in connection.execute("SELECT id FROM jobs")]
    finally:
        connection.close()


class Pinging:
    """Asks the broker again and again, in a thread of its own, and keeps the slowest answer."""

    def __init__(self, url: str) -> None:
        self.slowest = 0.0
        self._url = url
        self._over = threading.Event()
        self._asked = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        with cryomamba.connect(self._url) as client:
            client.latency()
            self._asked.set()
            while not self._over.wait(0.002):
                self.slowest = max(self.slowest, client.latency())

    def __enter__(self) -> Self:
        self._thread.start()
        self._asked.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


async def burst(stack: Stack, submit: Submit, count: int) -> Burst:
    """Send all at once and wait for every answer."""
    before = set(stored_jobs(stack.home))
    answers = []

    async def timed(number: int) -> tuple[int, str]:
        started = time.perf_counter()
        answer = await submit(number)
        answers.append(time.perf_counter() - started)
        return answer

    with Pinging(stack.bus_url) as pinging:
        started = time.perf_counter()
        got = await asyncio.gather(*(timed(number) for number in range(count)))
        seconds = time.perf_counter() - started
    stored = [job for job in stored_jobs(stack.home) if job not in before]
    statuses = Counter(status for status, _ in got)
    return Burst(statuses, [job for _, job in got if job], stored, answers, seconds, pinging.slowest)


def over_http(stack: Stack, token: str | None) -> Submit:
    body = json.dumps({"volume": {"shape": SHAPE}, "engine": ENGINE})
    access = f"Authorization: Bearer {token}\r\n" if token else ""

    async def submit(number: int) -> tuple[int, str]:
        reader, writer = await asyncio.open_connection("127.0.0.1", stack.ports["gateway"])
        writer.write(
            f"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{access}"
            f"Idempotency-Key: key-{number}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        head, _, content = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        status = int(head.split(maxsplit=2)[1])
        return status, json.loads(content)["job_id"] if status == 201 else ""

    return submit


def over_bus(client: AsyncClient) -> Submit:
    async def submit(number: int) -> tuple[int, str]:
        try:
            record = await client.submit(shape=SHAPE, engine=ENGINE, client_key=f"bus-{number}")
        except CryoMambaError:
            return 0, ""
        return 201, record.job_id

    return submit


async def measure(stack: Stack, count: int, token: str | None) -> dict[str, Burst]:
    """Return the bursts by their names: one with a token, or one over HTTP and one over the bus."""
    worker = PacedWorker(bus_endpoints(stack), "catalogue", side=8, rate_hz=1, seconds=1)
    await worker.hello()
    await worker.close()
    name = "HTTP, one token" if token else "HTTP"
    found = {name: await burst(stack, over_http(stack, token), count)}
    if not token:
        async with await aconnect(stack.bus_url) as bus:
            found["bus"] = await burst(stack, over_bus(bus), count)
    return found


def run(folder: Path, count: int, per_minute: int) -> dict[str, Burst]:
    """Start services and send the bursts: to an open server, and to one that limits a token."""
    found: dict[str, Burst] = {}
    for limited in (False, True):
        home = folder / f"home-{limited}"
        token = TokenStore(home / "keys").create("lab", [Scope.WRITE], days=1)[0] if limited else None
        # No worker takes any of them: what is measured is how jobs are accepted.
        with Stack(home, env={"CRYOMAMBA_REQUESTS_PER_MINUTE": str(per_minute)}) as stack:
            stack.start("broker", "gateway")
            wait_until((home / "gateway.json").exists, what="the gateway")
            found |= asyncio.run(measure(stack, count, token))
    return found


def commit_alone(folder: Path, count: int) -> float:
    """Return the seconds of so many durable commits of a small row."""
    connection = sqlite3.connect(folder / "alone.sqlite", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, body TEXT)")
    started = time.perf_counter()
    for _ in range(count):
        connection.execute("INSERT INTO jobs (body) VALUES (?)", ("x" * 500,))
    seconds = time.perf_counter() - started
    connection.close()
    return seconds


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="cryomamba-submits-") as name:
        found = run(Path(name), SUBMITS, PER_MINUTE)
        alone = commit_alone(Path(name), SUBMITS)
    columns = f"{'way':<17}{'201':>5}{'429':>5}{'other':>6}{'lost':>6}"
    print(f"{columns}{'all s':>8}{'answer p50 s':>14}{'slowest s':>11}{'broker ms':>11}")
    for way, one in found.items():
        other = one.statuses.total() - one.statuses[201] - one.statuses[429]
        print(
            f"{way:<17}{one.statuses[201]:>5}{one.statuses[429]:>5}{other:>6}{one.lost:>6}{one.seconds:>8.2f}"
            f"{np.median(one.answers):>14.2f}{max(one.answers):>11.2f}{one.slowest_ping * 1e3:>11.0f}"
        )
    print(f"{SUBMITS} commits alone, one after the other: {alone:.2f} s")
    print("lost: answered and not stored, or stored and not answered; broker: its slowest answer to another client")


if __name__ == "__main__":
    main()
