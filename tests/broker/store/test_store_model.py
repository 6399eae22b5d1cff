"""The job store against a model of a few dictionaries, with crashes in between."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cryomamba.access.visibility import Visibility
from cryomamba.errors import ConflictError, ErrorCode
from cryomamba.models.jobs import Artifact, JobError, JobEvent, Progress, SubmitRequest, VolumeSource, VolumeSummary
from cryomamba.wire.requests import ListRequest
from cryomamba_broker.state_machine import LeasePolicy
from cryomamba_broker.store import Attempt, Clock, NewJob, Store

ALL = Visibility.everything()

LEASE_S = 30.0
POLICY = LeasePolicy(lease_s=LEASE_S, max_attempts=2, pause_s=2.0)
WORKERS = st.sampled_from(["w1", "w2", "w3"])
CALLS = ("renew", "finish", "fail retryable", "fail", "release")
ENGINES = st.sampled_from(["demo", "threshold"])


@dataclass
class Modelled:
    """The expected state of a job."""

    job_id: str
    engine: str
    priority: int
    state: str = "pending"
    attempt: int = 0
    tries: int = 0
    worker: str | None = None
    lease_until: float = 0.0
    not_before: float = 0.0
    cancelling: bool = False
    errors: list[int] = field(default_factory=list)
    ends: dict[tuple[int, str], str] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)


@cache
def empty_store() -> bytes:
    """The file of an empty store, created once because that waits for the disk."""
    with tempfile.TemporaryDirectory() as folder:
        Store(Path(folder) / "jobs.sqlite").close()
        return (Path(folder) / "jobs.sqlite").read_bytes()


class StoreMachine(RuleBasedStateMachine):
    """Clients, workers, time and crashes in any order."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="store-model-"))
        self.folders = [self.folder]
        self.now = 1000.0
        self.jobs: list[Modelled] = []
        self.keys: dict[str, tuple[SubmitRequest, Modelled]] = {}
        (self.folder / "jobs.sqlite").write_bytes(empty_store())
        self.store = self.open()
        for _ in range(2):
            self.submit_one("demo", 0, None)

    def open(self) -> Store:
        clock = Clock(wall=lambda: self.now, steady=lambda: self.now)
        store = Store(self.folder / "jobs.sqlite", clock, POLICY)
        # The crashes here are those of a process, which need no fsync; without it there is time for more of them.
        store.database.read.execute("PRAGMA synchronous = OFF")
        return store

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            for folder in self.folders:
                shutil.rmtree(folder)

    # Clients

    @rule(engine=ENGINES, priority=st.integers(-1, 1), key=st.sampled_from([None, "k1", "k2"]))
    def submit(self, engine: str, priority: int, key: str | None) -> None:
        self.submit_one(engine, priority, key)

    def submit_one(self, engine: str, priority: int, key: str | None) -> None:
        request = SubmitRequest(volume=VolumeSource(shape=(4, 4, 4)), engine=engine, priority=priority, client_key=key)
        new = NewJob(request, engine, VolumeSummary(name="demo", shape=(4, 4, 4), voxel_size_A=(1, 1, 1)))
        if key in self.keys:
            first, job = self.keys[key]
            if first != request:
                with pytest.raises(ConflictError):
                    self.store.submissions.submit(new, ALL)
            else:
                assert self.store.submissions.submit(new, ALL).record.job_id == job.job_id
            return
        job = Modelled(self.store.submissions.submit(new, ALL).record.job_id, engine, priority, events=["job_created"])
        self.jobs.append(job)
        if key is not None:
            self.keys[key] = (request, job)

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job = self.pick(data)
        if job.state in {"completed", "failed"}:
            with pytest.raises(ConflictError) as caught:
                self.store.jobs.cancel(job.job_id, ALL)
            assert caught.value.code is ErrorCode.JOB_FINAL
            return
        self.store.jobs.cancel(job.job_id, ALL)
        if job.state == "pending":
            self.to(job, "cancelled", "job_cancelled")
        elif job.state == "running" and not job.cancelling:
            job.cancelling = True
            job.events.append("job_cancel_requested")

    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        job = self.pick(data)
        if job.state in {"running", "completed"}:
            with pytest.raises(ConflictError):
                self.store.jobs.retry(job.job_id, ALL)
            return
        self.store.jobs.retry(job.job_id, ALL)
        if job.state != "pending":
            job.tries, job.not_before, job.cancelling = 0, 0.0, False
            self.to(job, "pending", "job_retried")

    # Workers

    @rule(worker=WORKERS, engines=st.sampled_from([("demo", "threshold"), ("demo",), ("threshold", "demo"), ()]))
    def claim(self, worker: str, engines: tuple[str, ...]) -> None:
        got = self.store.leases.claim(worker, engines)
        expected = next((job for job in self.jobs if job.worker == worker), None)
        if expected is None:
            ready = [
                job
                for job in self.jobs
                if job.state == "pending" and job.engine in engines and job.not_before <= self.now
            ]
            expected = max(ready, key=lambda job: (job.priority, -self.jobs.index(job)), default=None)
            if expected is not None:
                expected.attempt += 1
                expected.tries += 1
                expected.worker = worker
                self.to(expected, "running", "job_started")
        if expected is None:
            assert got is None
            return
        assert got is not None
        assert (got.record.job_id, got.record.attempt) == (expected.job_id, expected.attempt)
        expected.lease_until = self.now + LEASE_S

    @precondition(lambda self: any(job.state == "running" for job in self.jobs))
    @rule(data=st.data(), what=st.sampled_from(CALLS))
    def holder_calls(self, data: st.DataObject, what: str) -> None:
        job = data.draw(st.sampled_from([job for job in self.jobs if job.state == "running"]), label="job")
        assert job.worker is not None
        change = self.call(what, Attempt(job.job_id, job.worker, job.attempt))
        if what == "renew":
            # A lease that was written less than half a renewal ago stays as it is.
            if self.now + LEASE_S - job.lease_until >= POLICY.renewal_s / 2:
                job.lease_until = self.now + LEASE_S
            return
        assert change is not None
        self.end(job, what.partition(" ")[0])
        match what:
            case "finish":
                self.to(job, "completed", "job_completed")
            case "release" if not job.cancelling:
                job.tries -= 1
                job.not_before = 0.0
                self.to(job, "pending", "job_requeued")
            case "release":
                self.to(job, "cancelled", "job_cancelled")
            case _:
                self.after_error(job, retryable=what == "fail retryable")

    @precondition(lambda self: any(job.attempt for job in self.jobs))
    @rule(data=st.data(), what=st.sampled_from(CALLS), worker=WORKERS, back=st.integers(0, 1))
    def anybody_else_calls(self, data: st.DataObject, what: str, worker: str, back: int) -> None:
        """A worker that has lost its job, repeats itself, or never had it."""
        job = data.draw(st.sampled_from([job for job in self.jobs if job.attempt]), label="job")
        attempt = Attempt(job.job_id, worker, max(job.attempt - back, 1))
        if job.worker == worker and attempt.number == job.attempt:
            return
        if job.ends.get((attempt.number, worker)) == what.partition(" ")[0]:
            assert self.call(what, attempt) is None
            return
        with pytest.raises(ConflictError) as caught:
            self.call(what, attempt)
        assert caught.value.code is ErrorCode.STALE_ATTEMPT

    def call(self, what: str, attempt: Attempt) -> JobEvent | None:
        leases = self.store.leases
        match what:
            case "renew":
                progress = Progress(fraction=0.5, done_tiles=1, total_tiles=2)
                leases.report(attempt, progress)
                leases.renew(attempt)
                assert self.store.jobs.get(attempt.job_id, ALL).progress == progress
                return None
            case "finish":
                artifacts = (Artifact(name="mask.mrc", size_bytes=1),)
                change = leases.finish(attempt, artifacts)
                assert change.event is None or change.record.artifacts == artifacts
                return change.event
            case "release":
                return leases.release(attempt).event
            case _:
                retryable = what == "fail retryable"
                error = JobError(code=ErrorCode.ENGINE_FAILED, message="No.", retryable=retryable)
                return leases.fail(attempt, error).event

    # Time and crashes

    @rule(seconds=st.sampled_from([0.5, 3.0, 9.0, 31.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        lost = [job for job in self.jobs if job.state == "running" and job.lease_until < self.now]
        changes = self.store.leases.expire()
        assert [change.record.job_id for change in changes] == [job.job_id for job in lost]
        for job in lost:
            self.end(job, "lost")
            self.after_error(job, retryable=True)

    @rule()
    def crash(self) -> None:
        """What is on disk at this moment is all that the next broker has."""
        copy = Path(tempfile.mkdtemp(prefix="store-model-"))
        self.folders.append(copy)
        for file in self.folder.iterdir():
            if not file.name.endswith("-shm"):
                shutil.copy(file, copy)
        self.store.close()
        self.folder = copy
        self.store = self.open()
        running = {record.job_id for record in self.store.leases.extend_all()}
        assert running == {job.job_id for job in self.jobs if job.state == "running"}
        for job in self.jobs:
            job.lease_until = self.now + LEASE_S
            job.not_before = 0.0

    # What must always hold

    @invariant()
    def agrees(self) -> None:
        listed = self.store.jobs.page(ListRequest(limit=500), ALL).jobs
        assert [record.job_id for record in listed] == [job.job_id for job in reversed(self.jobs)]
        rows = self.store.database.read.execute("SELECT tries FROM jobs ORDER BY serial")
        assert [row["tries"] for row in rows] == [job.tries for job in self.jobs]
        for job, record in zip(reversed(self.jobs), listed, strict=True):
            assert (record.state, record.attempt) == (job.state, job.attempt)
            assert record.cancel_requested == job.cancelling
            assert [error.attempt for error in record.errors] == job.errors[-5:]

    @invariant()
    def events_tell_the_whole_story(self) -> None:
        stored: list[JobEvent] = []
        n = 0
        while (page := self.store.events.since(n, ALL, limit=7)).events:
            stored += page.events
            n = page.events[-1].n
        assert [event.n for event in stored] == list(range(1, len(stored) + 1))
        for job in self.jobs:
            mine = [event for event in stored if event.job_id == job.job_id]
            assert [event.type for event in mine] == job.events
            assert mine[-1].state == job.state

    # Help

    def pick(self, data: st.DataObject) -> Modelled:
        """Any job, the interesting ones more often."""
        interesting = [job for job in self.jobs if job.worker or job.cancelling]
        return data.draw(st.sampled_from([*self.jobs, *interesting, *interesting]), label="job")

    def end(self, job: Modelled, how: str) -> None:
        assert job.worker is not None
        job.ends[job.attempt, job.worker] = how
        job.worker = None

    def after_error(self, job: Modelled, retryable: bool) -> None:
        job.errors.append(job.attempt)
        if job.cancelling:
            self.to(job, "cancelled", "job_cancelled")
        elif retryable and job.tries < 2:
            job.not_before = self.now + 2.0
            self.to(job, "pending", "job_requeued")
        else:
            self.to(job, "failed", "job_failed")

    def to(self, job: Modelled, state: str, event: str) -> None:
        job.state = state
        job.events.append(event)


StoreMachine.TestCase.settings = settings(max_examples=70, stateful_step_count=30)
TestStore = pytest.mark.slow(StoreMachine.TestCase)
