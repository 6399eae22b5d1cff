"""What such systems get wrong: deaths, restarts and silence while somebody watches. Real processes and sockets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

import cryomamba
from cryomamba.models.events import ConnectionEvent, Event, PreviewEvent, StateEvent
from cryomamba.models.jobs import JobState
from cryomamba.testing import Stack, wait_until

StackMaker = Callable[..., Stack]

pytestmark = pytest.mark.system
SHAPE = (32, 48, 64)


class Watcher:
    """Follows a job in a thread and keeps what it was told."""

    def __init__(self, url: str, job_id: str) -> None:
        self.events: list[Event] = []
        self._client = cryomamba.connect(url)
        self._thread = threading.Thread(target=self._follow, args=(job_id,))
        self._thread.start()

    def _follow(self, job_id: str) -> None:
        with self._client:
            for event in self._client.watch(job_id):
                self.events.append(event)

    @property
    def previews(self) -> list[PreviewEvent]:
        return [event for event in list(self.events) if isinstance(event, PreviewEvent)]

    @property
    def links(self) -> list[str]:
        return [event.status for event in list(self.events) if isinstance(event, ConnectionEvent)]

    @property
    def states(self) -> list[str]:
        return [event.event.type for event in list(self.events) if isinstance(event, StateEvent)]

    def end(self) -> StateEvent:
        self._thread.join(60)
        assert not self._thread.is_alive(), self.events[-3:]
        last = self.events[-1]
        assert isinstance(last, StateEvent)
        return last


def engine_children(stack: Stack) -> list[psutil.Process]:
    return psutil.Process(stack.processes["inference"].pid).children(recursive=True)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; one that only waits for init to notice its end does not."""
    running = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                running.append(process)
    return running


@contextmanager
def watching_demo(stack: Stack, url: str, seconds: float = 6) -> Iterator[Watcher]:
    with cryomamba.connect(url) as client:
        job = client.submit(shape=SHAPE, engine="demo", params={"seconds": seconds})
    watcher = Watcher(url, job.job_id)
    wait_until(lambda: watcher.previews, what="the first preview")
    yield watcher
    watcher.end()


def test_a_worker_killed_mid_job_costs_an_attempt(stack: Stack) -> None:
    """SIGKILL of the inference service: its child dies with it, and the job completes on attempt 2."""
    with watching_demo(stack, stack.bus_url, seconds=3) as watcher:
        children = engine_children(stack)
        stack.kill("inference")
        wait_until(lambda: not alive(children), what="the orphaned engine process to end")
        stack.start("inference")
        record = watcher.end().record
    assert (record.state, record.attempt) == (JobState.COMPLETED, 2)
    assert record.errors[0].code == "worker_lost"
    assert "job_requeued" in watcher.states


def test_an_engine_process_killed_mid_job_costs_an_attempt(stack: Stack) -> None:
    """SIGKILL of the child: the service lives on, and the job completes on attempt 2."""
    with watching_demo(stack, stack.bus_url, seconds=3) as watcher:
        for child in engine_children(stack):
            child.kill()
        record = watcher.end().record
    assert (record.state, record.attempt) == (JobState.COMPLETED, 2)


def test_a_child_that_holds_the_interpreter_keeps_its_lease(
    make_stack: StackMaker, hog_package: Path, tomogram: Path
) -> None:
    """An engine from a package of its own holds the interpreter for three leases and still completes on attempt 1."""
    stack = make_stack(CRYOMAMBA_LEASE_S="1", PYTHONPATH=str(hog_package)).start().wait_ready()
    with cryomamba.connect(stack.bus_url) as client:
        assert "hog" in [engine.name for engine in client.info().engines]
        job = client.submit(tomogram, engine="hog", params={"seconds": 3.5})
        record = job.wait().record
    assert record.attempt == 1


@pytest.mark.parametrize("transport", ["bus", "http"])
def test_a_broker_restart_is_a_pause(stack: Stack, transport: str) -> None:
    """The broker dies and comes back while a job is watched: the watcher is told, and sees the job's end."""
    url = stack.bus_url if transport == "bus" else stack.http_url
    with watching_demo(stack, url) as watcher:
        stack.kill("broker")
        if transport == "bus":
            wait_until(lambda: "lost" in watcher.links, what="word of the lost link")
        stack.start("broker")
        record = watcher.end().record
    assert (record.state, record.attempt) == (JobState.COMPLETED, 1)
    assert watcher.previews[-1].frame.final


def test_a_gateway_restart_is_a_pause(stack: Stack) -> None:
    """The gateway dies and comes back while a job is watched through it: the watcher sees the job's end."""
    with watching_demo(stack, stack.http_url) as watcher:
        stack.kill("gateway")
        wait_until(lambda: "lost" in watcher.links, what="word of the lost link")
        stack.start("gateway")
        record = watcher.end().record
    assert record.state is JobState.COMPLETED


@pytest.mark.parametrize("transport", ["bus", "http"])
def test_a_late_joiner_on_an_ended_job_sees_the_last_frame(stack: Stack, transport: str) -> None:
    """Who comes when all is over gets the present state and the finished mask's preview at once."""
    with cryomamba.connect(stack.bus_url) as client:
        job = client.submit(shape=SHAPE, engine="demo", params={"seconds": 1})
        job.wait()
    with cryomamba.connect(stack.bus_url if transport == "bus" else stack.http_url) as client:
        told = [event for event in client.watch(job.job_id) if not isinstance(event, ConnectionEvent)]
    assert isinstance(told[0], PreviewEvent)
    assert told[0].frame.final
    assert isinstance(told[-1], StateEvent)
    assert told[-1].record.state is JobState.COMPLETED


def test_start_order_is_free(make_stack: StackMaker) -> None:
    """The gateway first, then inference, then the broker: they find each other, and a job runs."""
    stack = make_stack().start("gateway")
    import httpx

    def health() -> bool:
        try:
            return httpx.get(f"{stack.http_url}/v1/healthz").status_code == 200
        except httpx.TransportError:
            return False

    wait_until(health, what="the gateway to live without a broker")
    ready = httpx.get(f"{stack.http_url}/v1/readyz")
    assert ready.status_code == 503
    assert "broker" in ready.text
    stack.start("inference").start("broker").wait_ready()
    with cryomamba.connect(stack.http_url) as client:
        job = client.submit(shape=SHAPE, engine="demo", params={"seconds": 1})
        assert job.wait().state is JobState.COMPLETED


def test_sigterm_ends_each_service_clean(stack: Stack) -> None:
    """SIGTERM in the middle of a job: each ends with status 0 without being killed, no child, port or lease is left."""
    with cryomamba.connect(stack.bus_url) as client:
        job = client.submit(shape=SHAPE, engine="demo", params={"seconds": 60})
        wait_until(lambda: client.record(job.job_id).state is JobState.RUNNING, what="the job to run")
        children = engine_children(stack)
        assert stack.stop("inference") == 0
        wait_until(lambda: not alive(children), what="the children to end")
        record = client.record(job.job_id)
        assert record.state is JobState.PENDING
        assert record.errors == ()
    assert stack.stop("gateway") == 0
    assert stack.stop("broker") == 0
    listening = [c.laddr.port for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr]
    assert not set(stack.ports.values()) & set(listening)


def test_a_hundred_clients_leave_nothing_behind(stack: Stack) -> None:
    """A hundred clients that connect, ask, subscribe and leave cost neither side a file descriptor."""

    def visit(url: str) -> None:
        with cryomamba.connect(url) as client:
            client.info()
            next(iter(client.watch(done.job_id)))

    with cryomamba.connect(stack.bus_url) as client:
        done = client.submit(shape=SHAPE, engine="demo", params={"seconds": 1})
        done.wait()
    watched = [psutil.Process(stack.processes[name].pid) for name in ("broker", "gateway")] + [psutil.Process()]
    for url in (stack.bus_url, stack.http_url):
        visit(url)
    before = [process.num_fds() for process in watched]
    for round_ in range(100):
        visit(stack.bus_url if round_ % 2 else stack.http_url)
    for process, count in zip(watched, before, strict=True):
        wait_until(lambda p=process, n=count: p.num_fds() <= n + 5, what=f"{process.name()} to close what it opened")  # type: ignore[misc]


def test_two_stacks_run_side_by_side(make_stack: StackMaker) -> None:
    """Homes and ports of their own are all that two stacks on one machine need."""
    stacks = [make_stack(name).start() for name in ("one", "two")]
    for stack in stacks:
        stack.wait_ready()
        with cryomamba.connect(stack.http_url) as client:
            job = client.submit(shape=SHAPE, engine="demo", params={"seconds": 1})
            job.wait()
            assert [record.job_id for record in client.jobs()] == [job.job_id]
