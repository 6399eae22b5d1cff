"""Crashes, restarts and lost connections while a job is watched. Real processes and sockets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

import cryomamba
from cryomamba.errors import ConflictError
from cryomamba.models.events import ConnectionEvent, Event, PreviewEvent, StateEvent
from cryomamba.models.jobs import JobRecord, JobState
from cryomamba.testing import DEADLINE_S, Stack, wait_until

StackMaker = Callable[..., Stack]

pytestmark = [pytest.mark.system, pytest.mark.slow]
SHAPE = (32, 48, 64)


class Watcher:
    """Follows a job in a thread and keeps the events."""

    def __init__(self, url: str, job_id: str) -> None:
        self.events: list[Event] = []
        self._url, self._job_id = url, job_id
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def _follow(self) -> None:
        with cryomamba.connect(self._url) as client:
            for event in client.watch(self._job_id):
                self.events.append(event)

    @property
    def previews(self) -> list[PreviewEvent]:
        return [event for event in list(self.events) if isinstance(event, PreviewEvent)]

    @property
    def connections(self) -> list[str]:
        return [event.status for event in list(self.events) if isinstance(event, ConnectionEvent)]

    @property
    def states(self) -> list[StateEvent]:
        return [event for event in list(self.events) if isinstance(event, StateEvent)]

    def wait_for_attempt(self, attempt: int) -> None:
        wait_until(lambda: self.states[-1].record.attempt == attempt, what=f"attempt {attempt}")

    def wait_for_preview(self) -> None:
        before = len(self.previews)
        wait_until(lambda: len(self.previews) > before, what="another preview")

    def cancel(self) -> JobRecord:
        """Cancel the job, follow it to its end, and return the last record."""
        with cryomamba.connect(self._url) as client, suppress(ConflictError):
            client.cancel(self._job_id)
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive(), self.events[-3:]
        last = self.events[-1]
        assert isinstance(last, StateEvent)
        return last.record


def engine_children(stack: Stack) -> list[psutil.Process]:
    return psutil.Process(stack.processes["inference"].pid).children(recursive=True)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Return those that still run; a zombie does not."""
    running = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                running.append(process)
    return running


@contextmanager
def watching_demo(url: str) -> Iterator[Watcher]:
    """Watch a job that runs until it is cancelled."""
    with cryomamba.connect(url) as client:
        job = client.submit(shape=SHAPE, engine="demo", params={"seconds": 3600})
    watcher = Watcher(url, job.job_id)
    try:
        wait_until(lambda: watcher.previews, what="the first preview")
        yield watcher
    finally:
        watcher.cancel()


def test_a_killed_worker_costs_an_attempt(stack: Stack) -> None:
    """SIGKILL of the inference service: its child dies with it, and the job runs again as attempt 2."""
    with watching_demo(stack.bus_url) as watcher:
        children = engine_children(stack)
        stack.kill("inference")
        wait_until(lambda: not alive(children), what="the orphaned engine process to end")
        stack.start("inference")
        watcher.wait_for_attempt(2)
        record = watcher.cancel()
    assert [error.code for error in record.errors] == ["worker_lost"]
    assert "job_requeued" in [state.event.type for state in watcher.states]


def test_a_killed_engine_process_costs_an_attempt(stack: Stack) -> None:
    """SIGKILL of the child: the service keeps running, and the job runs again as attempt 2."""
    with watching_demo(stack.bus_url) as watcher:
        for child in engine_children(stack):
            child.kill()
        watcher.wait_for_attempt(2)
    assert stack.processes["inference"].poll() is None


def test_an_engine_that_holds_the_interpreter_lock_keeps_its_lease(
    make_stack: StackMaker, hog_package: Path, tomogram: Path
) -> None:
    """A third-party engine holds the lock for more than three leases and still completes on attempt 1."""
    stack = make_stack(CRYOMAMBA_LEASE_S="4", PYTHONPATH=str(hog_package)).start().wait_ready()
    with cryomamba.connect(stack.bus_url) as client:
        assert "hog" in [engine.name for engine in client.info().engines]
        job = client.submit(tomogram, engine="hog", params={"seconds": 12.5})
        record = job.wait().record
    assert record.attempt == 1


@pytest.mark.parametrize("transport", ["bus", "http"])
def test_a_job_survives_a_broker_restart(stack: Stack, transport: str) -> None:
    """The broker is killed and restarted while a job is watched: attempt 1 continues, and so do its previews."""
    with watching_demo(stack.bus_url if transport == "bus" else stack.http_url) as watcher:
        stack.kill("broker")
        if transport == "bus":
            wait_until(lambda: "lost" in watcher.connections, what="the event of the lost connection")
        stack.start("broker").wait_ready()
        watcher.wait_for_preview()
        record = watcher.cancel()
    assert (record.state, record.attempt, record.errors) == (JobState.CANCELLED, 1, ())


def test_a_job_survives_a_gateway_restart(stack: Stack) -> None:
    """The gateway is killed and restarted while a job is watched through it: the previews continue, up to the end."""
    with watching_demo(stack.http_url) as watcher:
        stack.kill("gateway")
        wait_until(lambda: "lost" in watcher.connections, what="the event of the lost connection")
        stack.start("gateway").wait_ready()
        watcher.wait_for_preview()
        record = watcher.cancel()
    assert (record.state, record.attempt) == (JobState.CANCELLED, 1)


@pytest.mark.parametrize("transport", ["bus", "http"])
def test_a_watcher_of_an_ended_job_gets_the_last_frame(stack: Stack, transport: str) -> None:
    """A client that watches an ended job gets the preview of the finished mask and the final state at once."""
    with cryomamba.connect(stack.bus_url) as client:
        job = client.submit(shape=SHAPE, engine="demo", params={"seconds": 1})
        job.wait()
    with cryomamba.connect(stack.bus_url if transport == "bus" else stack.http_url) as client:
        preview, *_, last = [event for event in client.watch(job.job_id) if not isinstance(event, ConnectionEvent)]
    assert isinstance(preview, PreviewEvent)
    assert preview.frame.final
    assert isinstance(last, StateEvent)
    assert last.record.state is JobState.COMPLETED


def test_services_start_in_any_order(make_stack: StackMaker) -> None:
    """A gateway and a worker wait until a broker starts, connect without a restart, and run a job."""
    stack = make_stack(CRYOMAMBA_LEASE_S="5").start("gateway")

    def answers() -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{stack.http_url}/v1/healthz", timeout=DEADLINE_S).status_code == 200
        return False

    wait_until(answers, what="the gateway to answer without a broker")
    ready = httpx.get(f"{stack.http_url}/v1/readyz", timeout=DEADLINE_S)
    assert ready.status_code == 503
    assert "broker" in ready.text
    stack.start("inference")
    wait_until(lambda: "Retrying until it answers" in stack.log("inference"), what="the worker to look for a broker")
    pids = {name: process.pid for name, process in stack.processes.items()}
    stack.start("broker").wait_ready()
    assert {name: stack.processes[name].pid for name in pids} == pids
    with cryomamba.connect(stack.http_url) as client:
        job = client.submit(shape=SHAPE, engine="demo", params={"seconds": 0})
        assert job.wait().state is JobState.COMPLETED


def test_sigterm_stops_each_service(make_stack: StackMaker) -> None:
    """SIGTERM during a job: each service exits with 0; no child, open port or lease remains."""
    stack = make_stack().start().wait_ready()
    with cryomamba.connect(stack.bus_url) as client:
        job = client.submit(shape=SHAPE, engine="demo", params={"seconds": 60})
        wait_until(lambda: client.record(job.job_id).state is JobState.RUNNING, what="the job to run")
        children = engine_children(stack)
        assert stack.stop("inference", timeout=DEADLINE_S) == 0
        wait_until(lambda: not alive(children), what="the children to end")
        record = client.record(job.job_id)
        assert record.state is JobState.PENDING
        assert record.errors == ()
    assert stack.stop("gateway", timeout=DEADLINE_S) == 0
    assert stack.stop("broker", timeout=DEADLINE_S) == 0
    listening = [c.laddr.port for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr]
    assert not set(stack.ports.values()) & set(listening)


def test_clients_leak_no_file_descriptor(stack: Stack) -> None:
    """Thirty clients connect, ask, watch and disconnect: the services and this process have no more open files."""

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
    # A client that leaked one would be far above the five that a process may open for itself.
    for url in (stack.bus_url, stack.http_url) * 15:
        visit(url)
    for process, count in zip(watched, before, strict=True):
        wait_until(lambda p=process, n=count: p.num_fds() <= n + 5, what=f"{process.name()} to close what it opened")  # type: ignore[misc]


def test_two_stacks_run_on_one_machine(stack: Stack, make_stack: StackMaker) -> None:
    """With data directories and ports of their own, each has its own jobs."""
    other = make_stack().start().wait_ready()
    jobs = []
    for one in (stack, other):
        with cryomamba.connect(one.http_url) as client:
            job = client.submit(shape=SHAPE, engine="demo", params={"seconds": 0})
            job.wait()
            jobs.append({record.job_id for record in client.jobs()})
            assert job.job_id in jobs[-1]
    assert jobs[0].isdisjoint(jobs[1])
