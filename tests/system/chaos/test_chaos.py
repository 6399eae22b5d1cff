"""Jobs while processes are killed and links fail by chance: nothing is lost, doubled, changed or left behind."""

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
Links = Mapping[str, FaultProxy]
Spec = dict[str, Any]

pytestmark = pytest.mark.system

FINAL = {"job_completed", "job_failed", "job_cancelled"}
RETRIES_MAX = 10
OVERCOME_S = 30.0
# A machine that does much else may take a minute to start a service.
PATIENCE_S = 240.0


class Faults:
    """Two threads, one that kills and one that spoils links, until told to stop; then everything is whole again.

    Nothing is killed before the last death is overcome and a job is in work again, and then some moments into it, as
    long as a few jobs take undisturbed (`job_s` each): a machine that does much else would otherwise only ever see its
    workers die.
    """

    def __init__(self, stack: Stack, links: Links, seed: int, *, job_s: float) -> None:
        self.done: Counter[str] = Counter()
        self.killed: list[psutil.Process] = []
        self._stack, self._links, self._job_s = stack, links, job_s
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._kill_again_and_again, args=(random.Random(seed),), name="killer"),
            threading.Thread(target=self._spoil_again_and_again, args=(random.Random(seed + 1),), name="spoiler"),
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _kill_again_and_again(self, chance: random.Random) -> None:
        while not self._stop.wait(0.02):
            victim, moment = chance.choice(["broker", "inference", "gateway", "child"]), chance.uniform(0.0, 2.5)
            self._await_work()
            if self._stop.wait(moment * self._job_s):
                return
            if victim == "child":
                self._kill_child(chance)
            else:
                self._kill_service(victim, chance)

    def _await_work(self) -> None:
        until = time.monotonic() + OVERCOME_S
        while not self._working() and time.monotonic() < until and not self._stop.wait(0.02):
            pass

    def _working(self) -> bool:
        return any((self._stack.home / "work").glob("*/*"))

    def _kill_service(self, service: str, chance: random.Random) -> None:
        self.done[f"SIGKILL {service}"] += 1
        self._remember()
        self._stack.kill(service)
        self._stop.wait(chance.uniform(0.0, 1.0))
        self._stack.start(service)  # type: ignore[arg-type]

    def _kill_child(self, chance: random.Random) -> None:
        children = self._remember()
        if children:
            self.done["SIGKILL engine process"] += 1
            with suppress(psutil.NoSuchProcess):
                chance.choice(children).kill()

    def _remember(self) -> list[psutil.Process]:
        found: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            found = psutil.Process(self._stack.processes["inference"].pid).children(recursive=True)
        self.killed += found
        return found

    def _spoil_again_and_again(self, chance: random.Random) -> None:
        while not self._stop.wait(chance.uniform(0.2, 1.5)):
            name = chance.choice(sorted(self._links))
            kind = chance.choice(["cut", "delayed", "black hole", "forgotten"])
            # Some last longer than heartbeats and leases.
            lasting = chance.uniform(0.2, 1.5) if chance.random() < 0.85 else chance.uniform(6.0, 9.0)
            delay_s = chance.uniform(0.01, 0.3)
            self.done[f"{kind}: {name}"] += 1
            link = self._links[name]
            match kind:
                case "cut":
                    link.cut()
                case "delayed":
                    link.delay_s = delay_s
                case "black hole":
                    link.black_hole = True
                case _:
                    link.black_hole_open_connections()
            self._stop.wait(lasting)
            link.restore()

    def met(self) -> dict[str, int]:
        """Return what the faults of links met, by fault and link."""
        return {f"{what}, {name}": n for name, link in sorted(self._links.items()) for what, n in link.counts.items()}


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

    await wait_until_async(asked, timeout=PATIENCE_S, what="an answer")
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
        # Refused where an earlier try was carried out and only its answer was lost.
        with suppress(ConflictError):
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


async def overhear(client: AsyncClient, finals: dict[int, str]) -> None:
    """Follow all jobs, and note the number and kind of each event that ends one."""
    async for event in client.watch_all():
        if isinstance(event, StateEvent) and event.event.state.final:
            finals[event.event.n] = str(event.event.type)


def make_specs(volumes: list[Path]) -> list[Spec]:
    engines = ["threshold"] * (len(volumes) - 1) + ["membrane"]
    real = [{"volume": path, "engine": engine} for path, engine in zip(volumes, engines, strict=True)]
    demo = [{"shape": (24, 32, 40), "engine": "demo", "params": {"seconds": seconds}} for seconds in (1, 2)]
    return [*real, *demo]


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
        reply = await transport.requester.request("events.since", EventsSince(n=last))
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
        path
        for path in stack.home.rglob("*")
        if path.name.startswith(".") or path.name.endswith((".part", ".tmp", ".new"))
    ]
    return [str(path.relative_to(stack.home)) for path in {*work, *aside}]


async def references(stack: Stack, specs: list[Spec]) -> list[dict[str, str]]:
    """What each kind of job makes when nobody disturbs it."""
    async with await aconnect(stack.http_url) as client:
        made = [await client.submit(**spec) for spec in specs]
        return [digests(stack, (await job.wait()).record) for job in made]


async def test_chaos_loses_nothing(
    stack: Stack,
    links: Links,
    volumes: list[Path],
    seed: int,
    job_count: int,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every job ends once per try, every file is that of an undisturbed run, every watcher saw every end."""
    show = partial(tell, request, capsys)
    show({"seed": seed})
    chance = random.Random(seed)
    specs = make_specs(volumes)
    stack.start().wait_ready(timeout=60)
    kinds = [chance.randrange(len(specs)) for _ in range(job_count)]
    watched = [Watched(specs[kind]) for kind in kinds]
    overheard: list[dict[int, str]] = [{}, {}]
    async with bus_client(links) as by_bus, await aconnect(f"http://127.0.0.1:{links['gateway'].port}") as by_http:
        clients = (by_bus, by_http)
        async with listening(zip(clients, overheard, strict=True)):
            started = time.monotonic()
            expected = await references(stack, specs)
            job_s = (time.monotonic() - started) / len(specs)
            with Faults(stack, links, seed, job_s=job_s) as faults:
                started = time.monotonic()
                async with asyncio.TaskGroup() as tasks:
                    for number, seen in enumerate(watched):
                        cancel = chance.random() < 0.06
                        tasks.create_task(carry(clients[number % 2], seen, f"chaos-{number}", cancel=cancel))
                took = time.monotonic() - started
            events = await insist(lambda: all_events(by_bus))
            ends = {event.n: str(event.type) for history in events.values() for event in history if event.state.final}
            for finals in overheard:
                await wait_until_async(same(finals, ends), timeout=PATIENCE_S, what="every end to be heard of")
        records = [await by_bus.record(seen.job_id) for seen in watched]
    assert len(events) == job_count + len(specs)
    for history in events.values():
        check_history(history)
    for kind, seen, record in zip(kinds, watched, records, strict=True):
        told = [event.state for event in events[seen.job_id] if event.state.final]
        assert [final.state for final in seen.finals] == told
        assert record.state is told[-1]
        if record.state is JobState.COMPLETED:
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
    completed = sum(record.state is JobState.COMPLETED for record in records)
    show({"seconds": round(took), "completed": completed, **faults.done, **faults.met(), **counted})


@asynccontextmanager
async def listening(places: Iterable[tuple[AsyncClient, dict[int, str]]]) -> AsyncIterator[None]:
    """Overhear all jobs meanwhile."""
    tasks = [asyncio.create_task(overhear(client, finals)) for client, finals in places]
    try:
        yield
        # An overhearing that ended by itself is a defect.
        assert not [task for task in tasks if task.done()]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def same(finals: dict[int, str], ends: dict[int, str]) -> Callable[[], Awaitable[bool]]:
    """Whether all that ended was heard of."""

    async def heard() -> bool:
        return finals == ends

    return heard


def tell(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], rows: Mapping[str, int]) -> None:
    """Show what happened, where the terminal wants to know (``-v``)."""
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")
    if terminal is None or request.config.getoption("verbose") < 1:
        return
    with capsys.disabled():
        terminal.ensure_newline()
        for name, value in sorted(rows.items()):
            terminal.write_line(f"  {name:<28}{value:>6}")
