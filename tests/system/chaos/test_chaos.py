"""Jobs while processes are killed and connections fail at random: nothing is lost, duplicated, changed or left over."""

from __future__ import annotations

import asyncio
import hashlib
import random
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import psutil
import pytest

from cryomamba.client import AsyncClient, aconnect
from cryomamba.client.bus_transport import BusTransport
from cryomamba.endpoints import BusEndpoints
from cryomamba.errors import ConflictError, UnavailableError
from cryomamba.models.events import StateEvent
from cryomamba.models.jobs import JobEvent, JobRecord, JobState
from cryomamba.testing import FaultProxy, Stack, wait_until, wait_until_async
from cryomamba.wire.requests import EventPage, EventsSince

T = TypeVar("T")
Proxies = Mapping[str, FaultProxy]
Spec = dict[str, Any]

pytestmark = [pytest.mark.system, pytest.mark.slow]

FINAL = {"job_completed", "job_failed", "job_cancelled"}
RETRIES_MAX = 10
RECOVERY_S = 30.0


class Faults:
    """Two threads, one that kills processes and one that disturbs connections; at the end all faults are undone.

    A process is killed only after the services have recovered from the last kill and a job is running again, and then
    after a random time of a few undisturbed jobs (`job_s` each). On a busy machine no job would ever end otherwise.
    """

    def __init__(self, stack: Stack, proxies: Proxies, seed: int, *, job_s: float) -> None:
        self.done: Counter[str] = Counter()
        self.killed: list[psutil.Process] = []
        self._stack, self._proxies, self._job_s = stack, proxies, job_s
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._kill_repeatedly, args=(random.Random(seed),), name="killer"),
            threading.Thread(target=self._disturb_repeatedly, args=(random.Random(seed + 1),), name="disturber"),
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _kill_repeatedly(self, chance: random.Random) -> None:
        while not self._stop.wait(0.02):
            victim, delay = chance.choice(["broker", "inference", "gateway", "child"]), chance.uniform(0.0, 2.5)
            self._wait_for_a_job()
            if self._stop.wait(delay * self._job_s):
                return
            if victim == "child":
                self._kill_child(chance)
            else:
                self._kill_service(victim, chance)

    def _wait_for_a_job(self) -> None:
        until = time.monotonic() + RECOVERY_S
        while not self._job_is_running() and time.monotonic() < until and not self._stop.wait(0.02):
            pass

    def _job_is_running(self) -> bool:
        return any((self._stack.home / "work").glob("*/*"))

    def _kill_service(self, service: str, chance: random.Random) -> None:
        self.done[f"SIGKILL {service}"] += 1
        self._note_children()
        self._stack.kill(service)
        self._stop.wait(chance.uniform(0.0, 1.0))
        self._stack.start(service)  # type: ignore[arg-type]

    def _kill_child(self, chance: random.Random) -> None:
        children = self._note_children()
        if children:
            self.done["SIGKILL engine process"] += 1
            with suppress(psutil.NoSuchProcess):
                chance.choice(children).kill()

    def _note_children(self) -> list[psutil.Process]:
        found: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            found = psutil.Process(self._stack.processes["inference"].pid).children(recursive=True)
        self.killed += found
        return found

    def _disturb_repeatedly(self, chance: random.Random) -> None:
        while not self._stop.wait(chance.uniform(0.2, 1.5)):
            name = chance.choice(sorted(self._proxies))
            kind = chance.choice(["cut", "delayed", "black hole", "open connections lost"])
            # Some last longer than heartbeats and leases.
            duration_s = chance.uniform(0.2, 1.5) if chance.random() < 0.85 else chance.uniform(6.0, 9.0)
            delay_s = chance.uniform(0.01, 0.3)
            self.done[f"{kind}: {name}"] += 1
            proxy = self._proxies[name]
            match kind:
                case "cut":
                    proxy.cut()
                case "delayed":
                    proxy.delay_s = delay_s
                case "black hole":
                    proxy.black_hole = True
                case _:
                    proxy.black_hole_open_connections()
            self._stop.wait(duration_s)
            proxy.restore()

    def effects(self) -> dict[str, int]:
        """Return how often each fault took effect, by fault and connection."""
        proxies = sorted(self._proxies.items())
        return {f"{effect}, {name}": n for name, proxy in proxies for effect, n in proxy.counts.items()}


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

    await wait_until_async(answered, what="an answer")
    return answers[0]


async def follow(client: AsyncClient, seen: Watched) -> None:
    """Watch a job to its end, and retry it whenever it fails with a retryable error."""
    while True:
        state = await retry_until_answered(lambda: _last_state(client, seen))
        seen.finals.append(state.record)
        if state.record.state is not JobState.FAILED:
            return
        assert state.record.errors[-1].retryable, state.record.errors
        assert len(seen.finals) < RETRIES_MAX
        # Refused if an earlier request was carried out and only its answer was lost.
        with suppress(ConflictError):
            await retry_until_answered(lambda: client.retry(seen.job_id))


async def _last_state(client: AsyncClient, seen: Watched) -> StateEvent:
    last: StateEvent | None = None
    async for event in client.watch(seen.job_id):
        if isinstance(event, StateEvent):
            last = event
    assert last is not None
    assert last.record.state.final
    return last


async def run_job(client: AsyncClient, seen: Watched, key: str, *, cancel: bool) -> None:
    """Submit a job, watch it, and cancel it if asked."""
    record = await retry_until_answered(lambda: client.submit(**seen.spec, client_key=key))
    seen.job_id = record.job_id
    if cancel:
        with suppress(ConflictError):
            await retry_until_answered(lambda: client.cancel(seen.job_id))
    await follow(client, seen)


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


async def test_chaos_loses_nothing(
    stack: Stack,
    proxies: Proxies,
    volumes: list[Path],
    seed: int,
    job_count: int,
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
        async with collecting(zip(clients, ends_seen, strict=True)):
            started = time.monotonic()
            expected = await references(stack, specs)
            job_s = (time.monotonic() - started) / len(specs)
            with Faults(stack, proxies, seed, job_s=job_s) as faults:
                started = time.monotonic()
                async with asyncio.TaskGroup() as tasks:
                    for number, seen in enumerate(watched):
                        cancel = chance.random() < 0.06
                        tasks.create_task(run_job(clients[number % 2], seen, f"chaos-{number}", cancel=cancel))
                took = time.monotonic() - started
            events = await retry_until_answered(lambda: all_events(by_bus))
            ends = {event.n: str(event.type) for history in events.values() for event in history if event.state.final}
            for finals in ends_seen:
                await wait_until_async(same(finals, ends), what="the events of all ends")
        records = [await by_bus.record(seen.job_id) for seen in watched]
    assert len(events) == job_count + len(specs)
    for history in events.values():
        check_history(history)
    for kind, seen, record in zip(kinds, watched, records, strict=True):
        states = [event.state for event in events[seen.job_id] if event.state.final]
        assert [final.state for final in seen.finals] == states
        assert record.state is states[-1]
        if record.state is JobState.COMPLETED:
            assert digests(stack, record) == expected[kind]
            assert {file.name: file.sha256 for file in record.artifacts} == expected[kind]
        else:
            assert record.state is JobState.CANCELLED
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
