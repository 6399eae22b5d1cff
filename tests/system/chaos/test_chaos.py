"""Jobs while processes, connections, disk and descriptors fail: nothing is lost, duplicated, changed or left over."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
from tests.system.chaos.faults import Faults, Proxies

from cryomamba.client import AsyncClient, aconnect
from cryomamba.client.bus_transport import BusTransport
from cryomamba.endpoints import BusEndpoints
from cryomamba.errors import ConflictError, UnavailableError
from cryomamba.models.events import StateEvent
from cryomamba.models.jobs import JobEvent, JobRecord, JobState
from cryomamba.testing import DEADLINE_S, Stack, wait_until, wait_until_async
from cryomamba.wire.requests import EventPage, EventsSince

T = TypeVar("T")
Spec = dict[str, Any]

pytestmark = [pytest.mark.system, pytest.mark.slow]

FINAL = {"job_completed", "job_failed", "job_cancelled"}
RETRIES_MAX = 10
PAUSE_S = 0.05
# On a machine that others use, the services are being started again most of the time.
ANSWER_S = 16 * DEADLINE_S


class Watched:
    """One job as a client sees it."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.job_id = ""
        self.finals: list[JobRecord] = []


async def retry_until_answered(request: Callable[[], Awaitable[T]]) -> T:
    """Repeat a request until it is answered."""
    answers: list[T] = []

    async def answered() -> bool:
        with suppress(UnavailableError):
            answers.append(await request())
        return bool(answers)

    await wait_until_async(answered, timeout=ANSWER_S, what="an answer")
    return answers[0]


async def watch_to_end(client: AsyncClient, job_id: str, failed: Counter[str]) -> StateEvent | None:
    """Watch a job until the watch ends by itself, and return the last state; after an error, begin again."""
    while True:
        last: StateEvent | None = None
        try:
            async for event in client.watch(job_id):
                if isinstance(event, StateEvent):
                    last = event
        except UnavailableError as error:
            failed[f"watches that ended: {error.code}"] += 1
            await asyncio.sleep(PAUSE_S)
        else:
            return last


async def follow(client: AsyncClient, seen: Watched, failed: Counter[str]) -> None:
    """Watch a job to its end, and retry it whenever it fails with a retryable error."""
    while True:
        state = await watch_to_end(client, seen.job_id, failed)
        assert state is not None
        assert state.record.state.final
        seen.finals.append(state.record)
        if state.record.state is not JobState.FAILED:
            return
        assert state.record.errors[-1].retryable, state.record.errors
        assert len(seen.finals) < RETRIES_MAX
        # Refused if an earlier request was carried out and only its answer was lost.
        with suppress(ConflictError):
            await retry_until_answered(lambda: client.retry(seen.job_id))


@dataclass(slots=True)
class Watchers:
    """Clients that watch a job to its next end, besides the one that submitted it.

    Attributes
    ----------
    clients : sequence of AsyncClient
        They take turns.
    per_job : int
    ended : int
        Watches that saw a final state.
    failed : Counter of str
        Errors with which watches ended; such a watch is begun again.
    missed : list of str
        Jobs of watches that ended by themselves without a final state. There must be none.
    """

    clients: Sequence[AsyncClient]
    per_job: int
    ended: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)

    async def watch(self, number: int, job_id: str) -> None:
        """Watch a job until its end was seen; with the client of this number."""
        last = await watch_to_end(self.clients[number % len(self.clients)], job_id, self.failed)
        if last is not None and last.record.state.final:
            self.ended += 1
        else:
            self.missed.append(job_id)


async def run_job(client: AsyncClient, seen: Watched, key: str, watchers: Watchers, *, cancel: bool) -> None:
    """Submit a job, watch it, and cancel it if asked."""
    record = await retry_until_answered(lambda: client.submit(**seen.spec, client_key=key))
    seen.job_id = record.job_id
    async with asyncio.TaskGroup() as tasks:
        for number in range(watchers.per_job):
            tasks.create_task(watchers.watch(number, seen.job_id))
        tasks.create_task(follow_or_cancel(client, seen, watchers.failed, cancel=cancel))


async def follow_or_cancel(client: AsyncClient, seen: Watched, failed: Counter[str], *, cancel: bool) -> None:
    """Follow a job to its end, after cancelling it if asked."""
    if cancel:
        with suppress(ConflictError):
            await retry_until_answered(lambda: client.cancel(seen.job_id))
    await follow(client, seen, failed)


async def collect_ends(client: AsyncClient, finals: dict[int, str]) -> None:
    """Watch all jobs, and note the number and type of each event that ends one."""
    async for event in client.watch_all():
        if isinstance(event, StateEvent) and event.event.state.final:
            finals[event.event.n] = str(event.event.type)


def make_specs(volumes: list[Path]) -> list[Spec]:
    engines = ["threshold"] * (len(volumes) - 1) + ["membrane"]
    real = [{"volume": path, "engine": engine} for path, engine in zip(volumes, engines, strict=True)]
    demo = [{"shape": (24, 32, 40), "engine": "demo", "params": {"seconds": seconds}} for seconds in (1, 2)]
    return [*real, *demo]


def bus_client(proxies: Proxies) -> AsyncClient:
    """Return a client of the bus that connects through the proxies."""
    addresses = {name: f"tcp://127.0.0.1:{proxy.port}" for name, proxy in proxies.items() if name != "gateway"}
    return AsyncClient(BusTransport(addresses["jobs"], endpoints=BusEndpoints(**addresses)))


def digests(stack: Stack, record: JobRecord) -> dict[str, str]:
    """Return the SHA-256 of every file of a job, by its name."""
    folder = stack.home / "artifacts" / record.job_id
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


async def all_events(client: AsyncClient) -> dict[str, list[JobEvent]]:
    found: dict[str, list[JobEvent]] = {}
    last = 0
    transport = client.transport
    assert isinstance(transport, BusTransport)
    while True:
        reply = await transport.requester.request("events.since", EventsSince(n=last))
        page = EventPage.model_validate(dict(reply.body))
        for event in page.events:
            found.setdefault(event.job_id, []).append(event)
        if not page.events:
            return found
        last = page.events[-1].n


def check_history(events: list[JobEvent]) -> None:
    """Each run of a job, from its creation or a retry to the next, ends once and last."""
    kinds = [str(event.type) for event in events]
    runs: list[list[str]] = []
    for kind in kinds:
        if kind in {"job_created", "job_retried"}:
            runs.append([])
        runs[-1].append(kind)
    for run in runs:
        assert [kind for kind in run if kind in FINAL] == run[-1:], kinds


def processes_of(stack: Stack) -> list[psutil.Process]:
    """Return every process that was started for this data directory."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.environ().get("CRYOMAMBA_HOME") == str(stack.home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def leftovers(stack: Stack) -> list[str]:
    """Return the files of unfinished work, and temporary files."""
    work = list((stack.home / "work").rglob("*"))
    temporary = [
        path
        for path in stack.home.rglob("*")
        if path.name.startswith(".") or path.name.endswith((".part", ".tmp", ".new"))
    ]
    return [str(path.relative_to(stack.home)) for path in {*work, *temporary}]


async def references(stack: Stack, specs: list[Spec]) -> list[dict[str, str]]:
    """Return the files of each kind of job without faults."""
    async with await aconnect(stack.http_url) as client:
        jobs = [await client.submit(**spec) for spec in specs]
        return [digests(stack, (await job.wait()).record) for job in jobs]


def check_files(stack: Stack, record: JobRecord, expected: dict[str, str]) -> None:
    """Check that a job was cancelled or has the files of a run without faults."""
    if record.state is JobState.COMPLETED:
        assert digests(stack, record) == expected
        assert {file.name: file.sha256 for file in record.artifacts} == expected
    else:
        assert record.state is JobState.CANCELLED


async def test_chaos_loses_nothing(
    stack: Stack,
    proxies: Proxies,
    volumes: list[Path],
    seed: int,
    job_count: int,
    watchers_per_job: int,
    disk: Path | None,
    exhausting: bool,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every job ends once per run, every file equals that of a run without faults, every watcher saw every end."""
    show = partial(print_counts, request, capsys)
    show({"seed": seed})
    chance = random.Random(seed)
    specs = make_specs(volumes)
    stack.start().wait_ready()
    kinds = [chance.randrange(len(specs)) for _ in range(job_count)]
    watched = [Watched(specs[kind]) for kind in kinds]
    ends_seen: list[dict[int, str]] = [{}, {}]
    async with bus_client(proxies) as by_bus, await aconnect(f"http://127.0.0.1:{proxies['gateway'].port}") as by_http:
        clients = (by_bus, by_http)
        watchers = Watchers(clients, watchers_per_job)
        async with collecting(zip(clients, ends_seen, strict=True)):
            started = time.monotonic()
            expected = await references(stack, specs)
            job_s = (time.monotonic() - started) / len(specs)
            with Faults(stack, proxies, disk, seed, job_s=job_s, exhausting=exhausting) as faults:
                started = time.monotonic()
                async with asyncio.TaskGroup() as tasks:
                    for number, seen in enumerate(watched):
                        cancel = chance.random() < 0.06
                        work = run_job(clients[number % 2], seen, f"chaos-{number}", watchers, cancel=cancel)
                        tasks.create_task(work)
                took = time.monotonic() - started
            events = await retry_until_answered(lambda: all_events(by_bus))
            ends = {event.n: str(event.type) for history in events.values() for event in history if event.state.final}
            for finals in ends_seen:
                await wait_until_async(same(finals, ends), what="the events of all ends")
        records = [await by_bus.record(seen.job_id) for seen in watched]
    show({"watches that saw the end": watchers.ended, **watchers.failed})
    assert watchers.missed == []
    assert watchers.ended == job_count * watchers_per_job
    assert len(events) == job_count + len(specs)
    for history in events.values():
        check_history(history)
    for kind, seen, record in zip(kinds, watched, records, strict=True):
        assert [final.state for final in seen.finals] == [e.state for e in events[seen.job_id] if e.state.final]
        assert record.state is seen.finals[-1].state
        check_files(stack, record, expected[kind])
    processes = [*faults.killed, *processes_of(stack)]
    stack.close()
    wait_until(lambda: not [one for one in processes if one.is_running()], what="every process to end")
    assert processes_of(stack) == []
    assert leftovers(stack) == []
    counted = Counter(str(event.type) for history in events.values() for event in history)
    completed = sum(record.state is JobState.COMPLETED for record in records)
    show({"seconds": round(took), "completed": completed, **faults.done, **faults.effects(), **counted})


@asynccontextmanager
async def collecting(watchers: Iterable[tuple[AsyncClient, dict[int, str]]]) -> AsyncIterator[None]:
    """Collect the ends of all jobs meanwhile."""
    tasks = [asyncio.create_task(collect_ends(client, finals)) for client, finals in watchers]
    try:
        yield
        # A watch of all jobs never ends by itself.
        assert not [task for task in tasks if task.done()]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def same(finals: dict[int, str], ends: dict[int, str]) -> Callable[[], Awaitable[bool]]:
    """Return a condition that holds once every end was seen."""

    async def compare() -> bool:
        return finals == ends

    return compare


def print_counts(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], rows: Mapping[str, int]) -> None:
    """Print what happened, with ``-v``."""
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")
    if terminal is None or request.config.getoption("verbose") < 1:
        return
    with capsys.disabled():
        terminal.ensure_newline()
        for name, value in sorted(rows.items()):
            terminal.write_line(f"  {name:<28}{value:>6}")
