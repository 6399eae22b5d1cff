"""Jobs while processes are killed and links fail by chance: nothing is lost, doubled, changed or left behind."""

from __future__ import annotations

import asyncio
import hashlib
import random
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import psutil
import pytest

from cryomamba.client import AsyncClient, aconnect
from cryomamba.client.bus import BusTransport
from cryomamba.endpoints import BusEndpoints
from cryomamba.errors import ConflictError, UnavailableError
from cryomamba.events import StateEvent
from cryomamba.records import JobEvent, JobRecord, JobState
from cryomamba.testing import FaultProxy, Stack, wait_until, wait_until_async
from cryomamba.wire.requests import EventPage, EventsSince

T = TypeVar("T")
Links = Mapping[str, FaultProxy]
Spec = dict[str, Any]

pytestmark = pytest.mark.system

FINAL = {"job_completed", "job_failed", "job_cancelled"}
RETRIES_MAX = 10


class Faults:
    """One fault after the other, in a thread, until told to stop; then everything is whole again."""

    def __init__(self, stack: Stack, links: Links, chance: random.Random) -> None:
        self.done: Counter[str] = Counter()
        self.killed: list[psutil.Process] = []
        self._stack, self._links, self._chance = stack, links, chance
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="faults")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._chance.uniform(1.0, 3.0)):
            fault = self._chance.choice(
                [self._kill_service, self._kill_child, self._cut, self._delay, self._black_hole]
            )
            fault()

    def _kill_service(self) -> None:
        service = self._chance.choice(["broker", "inference", "gateway"])
        self.done[f"SIGKILL {service}"] += 1
        self._remember()
        self._stack.kill(service)
        self._stop.wait(self._chance.uniform(0.0, 1.0))
        self._stack.start(service)  # type: ignore[arg-type]

    def _kill_child(self) -> None:
        children = self._remember()
        if children:
            self.done["SIGKILL engine process"] += 1
            with suppress(psutil.NoSuchProcess):
                self._chance.choice(children).kill()

    def _remember(self) -> list[psutil.Process]:
        found: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            found = psutil.Process(self._stack.processes["inference"].pid).children(recursive=True)
        self.killed += found
        return found

    def _cut(self) -> None:
        with self._fault("cut") as link:
            link.cut()

    def _delay(self) -> None:
        with self._fault("delayed") as link:
            link.delay_s = self._chance.uniform(0.01, 0.3)

    def _black_hole(self) -> None:
        with self._fault("black hole") as link:
            link.black_hole = True

    @contextmanager
    def _fault(self, name: str) -> Iterator[FaultProxy]:
        link = self._chance.choice(sorted(self._links))
        self.done[f"{name}: {link}"] += 1
        try:
            yield self._links[link]
            self._stop.wait(self._chance.uniform(0.2, 1.5))
        finally:
            self._links[link].mend()


class Watched:
    """A client's view of one job."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.job_id = ""
        self.finals: list[JobRecord] = []


async def insist(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until somebody answers."""
    answer: list[T] = []

    async def asked() -> bool:
        with suppress(UnavailableError):
            answer.append(await ask())
        return bool(answer)

    await wait_until_async(asked, timeout=60, what="an answer")
    return answer[0]


async def follow(client: AsyncClient, seen: Watched) -> None:
    """Watch a job to its end, and try again as often as it fails for a passing reason."""
    while True:
        state = await insist(lambda: _last_state(client, seen))
        seen.finals.append(state.record)
        if state.record.state is not JobState.FAILED:
            return
        assert state.record.errors[-1].retryable, state.record.errors
        assert len(seen.finals) < RETRIES_MAX
        await insist(lambda: client.retry(seen.job_id))


async def _last_state(client: AsyncClient, seen: Watched) -> StateEvent:
    last: StateEvent | None = None
    async for event in client.watch(seen.job_id):
        if isinstance(event, StateEvent):
            last = event
    assert last is not None
    assert last.record.state.final
    return last


async def carry(client: AsyncClient, seen: Watched, key: str, *, cancel: bool) -> None:
    """Hand in a job, watch it, and perhaps cancel it."""
    record = await insist(lambda: client.submit(**seen.spec, client_key=key))
    seen.job_id = record.job_id
    if cancel:
        with suppress(ConflictError):
            await insist(lambda: client.cancel(seen.job_id))
    await follow(client, seen)


def make_specs(volumes: list[Path]) -> list[Spec]:
    threshold = [{"volume": path, "engine": "threshold"} for path in volumes]
    demo = [{"shape": (24, 32, 40), "engine": "demo", "params": {"seconds": seconds}} for seconds in (0, 1)]
    return [*threshold, *demo]


def bus_client(links: Links) -> AsyncClient:
    """A client straight to the bus, through the proxies."""
    ways = {name: f"tcp://127.0.0.1:{proxy.port}" for name, proxy in links.items() if name != "gateway"}
    return AsyncClient(BusTransport(ways["jobs"], endpoints=BusEndpoints(**ways)))


def digests(stack: Stack, record: JobRecord) -> dict[str, str]:
    """The digest of every file of a job, as it lies there, by its name."""
    folder = stack.home / "artifacts" / record.job_id
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


async def all_events(client: AsyncClient) -> dict[str, list[JobEvent]]:
    found: dict[str, list[JobEvent]] = {}
    last = 0
    transport = client.transport
    assert isinstance(transport, BusTransport)
    while True:
        reply = await transport.channel.request("events.since", EventsSince(n=last))
        page = EventPage.model_validate(dict(reply.body))
        for event in page.events:
            found.setdefault(event.job_id, []).append(event)
        if not page.events:
            return found
        last = page.events[-1].n


def check_history(events: list[JobEvent]) -> None:
    """A history is tries, one after the other, and each ends once."""
    kinds = [str(event.type) for event in events]
    tries: list[list[str]] = []
    for kind in kinds:
        if kind in {"job_created", "job_retried"}:
            tries.append([])
        tries[-1].append(kind)
    for one in tries:
        assert [kind for kind in one if kind in FINAL] == one[-1:], kinds


def processes_of(stack: Stack) -> list[psutil.Process]:
    """Every process that was started for this home."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.environ().get("CRYOMAMBA_HOME") == str(stack.home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def left_behind(stack: Stack) -> list[str]:
    """Files of unfinished work, and files aside."""
    work = list((stack.home / "work").rglob("*"))
    aside = [
        path for path in stack.home.rglob("*") if path.name.endswith((".part", ".tmp")) or path.name[:5] == ".bus-"
    ]
    return [str(path.relative_to(stack.home)) for path in {*work, *aside}]


async def references(stack: Stack, specs: list[Spec]) -> list[dict[str, str]]:
    """What each kind of job makes when nobody disturbs it."""
    async with await aconnect(stack.http_url) as client:
        made = [await client.submit(**spec) for spec in specs]
        return [digests(stack, await client.wait(record.job_id)) for record in made]


async def test_chaos_loses_nothing(
    stack: Stack,
    links: Links,
    volumes: list[Path],
    seed: int,
    job_count: int,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every job ends once per try, every file is that of an undisturbed run, every watcher saw the end."""
    show = partial(tell, request, capsys)
    show({"seed": seed})
    chance = random.Random(seed)
    specs = make_specs(volumes)
    stack.start().wait_ready(timeout=60)
    expected = await references(stack, specs)
    kinds = [chance.randrange(len(specs)) for _ in range(job_count)]
    watched = [Watched(specs[kind]) for kind in kinds]
    started = time.monotonic()
    async with bus_client(links) as by_bus, await aconnect(f"http://127.0.0.1:{links['gateway'].port}") as by_http:
        with Faults(stack, links, random.Random(seed)) as faults:
            async with asyncio.TaskGroup() as tasks:
                for number, seen in enumerate(watched):
                    client = (by_bus, by_http)[number % 2]
                    tasks.create_task(carry(client, seen, f"chaos-{number}", cancel=chance.random() < 0.08))
        took = time.monotonic() - started
        events = await all_events(by_bus)
        records = [await by_bus.get(seen.job_id) for seen in watched]
    completed = 0
    assert len(events) == job_count + len(specs)
    for history in events.values():
        check_history(history)
    for kind, seen, record in zip(kinds, watched, records, strict=True):
        assert record.state is seen.finals[-1].state
        if record.state is JobState.COMPLETED:
            completed += 1
            assert digests(stack, record) == expected[kind]
            assert {file.name: file.sha256 for file in record.artifacts} == expected[kind]
        else:
            assert record.state is JobState.CANCELLED
    family = [*faults.killed, *processes_of(stack)]
    stack.close()
    wait_until(lambda: not [one for one in family if one.is_running()], what="every process to end")
    assert processes_of(stack) == []
    assert left_behind(stack) == []
    counted = Counter(str(event.type) for history in events.values() for event in history)
    show({"seconds": round(took), "completed": completed, **faults.done, **counted})


def tell(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], rows: Mapping[str, int]) -> None:
    """Show what happened, where the terminal wants to know (``-v``)."""
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")
    if terminal is None or request.config.getoption("verbose") < 1:
        return
    with capsys.disabled():
        terminal.ensure_newline()
        for name, value in sorted(rows.items()):
            terminal.write_line(f"  {name:<28}{value:>6}")
