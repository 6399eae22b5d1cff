"""Control: what a person waits for, and what the number of stored jobs costs.

A job of the engine 'demo' is submitted, followed over the gateway's WebSocket, and cancelled while it runs. Then the
store is filled with copies of a finished job, in its file while the services are stopped, and requests are sent one
after the other over one connection. The yardstick of a submit is a durable commit of a small row on the same disk: no
submit is answered before its own.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from benchmarks.lease_commits import commits_per_minute
from benchmarks.load_submits import commit_alone
from benchmarks.report.figures import Figure

from cryomamba import JobState
from cryomamba.client import AsyncClient, aconnect
from cryomamba.models.events import PreviewEvent
from cryomamba.testing import Stack

BODY = json.dumps({"volume": {"shape": [64, 64, 64]}, "engine": "demo", "params": {"seconds": 600}})


def measure(*, quick: bool) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="cryomamba-control-") as name:
        home = Path(name) / "home"
        with Stack(home) as stack:
            stack.start().wait_ready()
            yield from asyncio.run(waits(stack, 5 if quick else 15))
            if not quick:
                idle, running = asyncio.run(commits_per_minute(stack))
                yield Figure("commits of a running job", running, "a minute", 12)
                yield Figure("commits while nothing runs", idle, "a minute", 1)
        yield from by_stored_jobs(home, (100, 10_000) if quick else (100, 1_000, 10_000, 100_000))


async def waits(stack: Stack, rounds: int) -> list[Figure]:
    """Return how long a person waits for each step of a job."""
    times: dict[str, list[float]] = {"claimed": [], "first": [], "cancelled": []}
    async with await aconnect(stack.http_url) as client:
        for _ in range(rounds):
            for name, seconds in (await one_job(client)).items():
                times[name].append(seconds)
    names = {
        "claimed": "from the submit until a worker has the job",
        "first": "from the submit until the first preview is here",
        "cancelled": "from the request to cancel until the job has stopped",
    }
    return [Figure(names[name], statistics.median(found) * 1e3, "ms") for name, found in times.items()]


async def one_job(client: AsyncClient) -> dict[str, float]:
    found: dict[str, float] = {}
    started = time.perf_counter()
    job = await client.submit(shape=(64, 64, 64), engine="demo", params={"seconds": 20})
    async for event in job.watch():
        if job.state is JobState.RUNNING:
            found.setdefault("claimed", time.perf_counter() - started)
        if isinstance(event, PreviewEvent) and "first" not in found:
            found["first"] = time.perf_counter() - started
            started = time.perf_counter()
            await job.cancel()
    found["cancelled"] = time.perf_counter() - started
    return found


def fill(home: Path, count: int) -> str:
    """Copy the last finished job of a stopped store until there are so many; return its id."""
    with closing(sqlite3.connect(home / "jobs.sqlite")) as database, database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(jobs)") if row[1] != "serial"]
        source = database.execute("SELECT serial, id FROM jobs WHERE state = 'cancelled' ORDER BY serial").fetchone()
        missing = count - database.execute("SELECT count(*) FROM jobs").fetchone()[0]
        new = {"id": "printf('%08x-0000-4000-8000-%012x', n, ?)", "client_key": "NULL"}
        chosen = ", ".join(new.get(column, column) for column in columns)
        database.execute(
            f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {max(missing, 1)}) "
            f"INSERT INTO jobs ({', '.join(columns)}) SELECT {chosen} FROM numbers, jobs WHERE jobs.serial = ?",
            (count, source[0]),
        )
    return str(source[1])


def request(connection: http.client.HTTPConnection, method: str, path: str, body: str | None = None) -> bytes:
    connection.request(method, path, body=body, headers={"Content-Type": "application/json"})
    reply = connection.getresponse()
    content = reply.read()
    assert reply.status < 300, content
    return content


def median_ms(ask: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        ask()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e3


def by_stored_jobs(home: Path, counts: tuple[int, ...]) -> Iterator[Figure]:
    answers: dict[str, dict[int, float]] = {"status of a job": {}, "list of jobs": {}, "submit": {}}
    for count in counts:
        job = fill(home, count)
        # Submitted jobs stay pending, because no worker runs; the engine is known from before.
        with Stack(home, env={"CRYOMAMBA_REQUESTS_PER_MINUTE": "1000000"}) as stack:
            stack.start().wait_ready()
            stack.stop("inference")
            with closing(http.client.HTTPConnection("127.0.0.1", stack.ports["gateway"], timeout=60)) as link:
                asks: dict[str, Callable[[], object]] = {
                    "status of a job": partial(request, link, "GET", f"/v1/jobs/{job}"),
                    "list of jobs": partial(request, link, "GET", "/v1/jobs?limit=50"),
                    "submit": partial(request, link, "POST", "/v1/jobs", BODY),
                }
                for name, ask in asks.items():
                    ask()
                    value = answers[name][count] = median_ms(ask, 100)
                    yield Figure(f"{name}, {count:,} stored", value, "ms", plot="status", series=name, x=count)
    first, last = counts[0], counts[-1]
    for name, target in (("status of a job", 1.5), ("list of jobs", None), ("submit", None)):
        growth = answers[name][last] / answers[name][first]
        yield Figure(f"{name}, {last:,} stored", growth, "×", target, f"the same with {first:,} stored")
    commit = commit_alone(home, 100) / 100 * 1e3
    yield Figure("submit over HTTP", answers["submit"][10_000] / commit, "×", None, "one durable commit alone")
    yield Figure("submits by one client, 10,000 stored", 1e3 / answers["submit"][10_000], "a second", at_least=True)
