"""The job store case by case: races, bounds, versions, full disks."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cryomamba.access.visibility import Visibility
from cryomamba.engines.info import EngineInfo
from cryomamba.errors import ConflictError, ErrorCode, InvalidRequestError, NotFoundError, UnavailableError
from cryomamba.models.jobs import (
    Artifact,
    JobError,
    JobRecord,
    JobState,
    Progress,
    SubmitRequest,
    VolumeSource,
    VolumeSummary,
)
from cryomamba.wire.constants import HEADER_MAX_BYTES
from cryomamba.wire.envelope import EnvelopeFactory, encode
from cryomamba.wire.requests import ListRequest
from cryomamba_broker.states import LeasePolicy
from cryomamba_broker.store import Attempt, Clock, NewJob, Store
from cryomamba_broker.store.schema import APPLICATION_ID, MIGRATIONS, SCHEMA

ALL = Visibility.everything()

OpenStore = Callable[[], Store]


class SettableClock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def clock(self) -> Clock:
        return Clock(wall=lambda: self.now, steady=lambda: self.now)


@pytest.fixture
def time() -> SettableClock:
    return SettableClock()


@pytest.fixture
def open_store(tmp_path: Path, time: SettableClock) -> Iterator[OpenStore]:
    opened: list[Store] = []

    def make() -> Store:
        opened.append(Store(tmp_path / "jobs.sqlite", time.clock(), LeasePolicy(lease_s=30.0, pause_s=2.0)))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: OpenStore) -> Store:
    return open_store()


def new_job(**fields: object) -> NewJob:
    request = SubmitRequest.model_validate({"volume": {"shape": (4, 4, 4)}, "engine": "demo", **fields})
    return NewJob(request, "demo", VolumeSummary(name="demo", shape=(4, 4, 4), voxel_size_A=(1, 1, 1)))


def claimed(store: Store, worker: str = "w") -> tuple[JobRecord, Attempt]:
    held = store.leases.claim(worker, ["demo"])
    assert held is not None
    return held.record, Attempt(held.record.job_id, worker, held.record.attempt)


def test_two_connections_hand_out_each_job_once(tmp_path: Path) -> None:
    """400 jobs claimed by two connections, always two at the same moment, go out once each."""
    path = tmp_path / "jobs.sqlite"
    filling = Store(path)
    for _ in range(400):
        filling.submissions.submit(new_job(), ALL)
    together = threading.Barrier(2, timeout=60)
    got: dict[str, list[str]] = {"a": [], "b": []}

    def claim_all(name: str) -> None:
        store = Store(path)
        for number in range(200):
            together.wait()
            got[name].append(claimed(store, f"{name}{number}")[0].job_id)
        store.close()

    threads = [threading.Thread(target=claim_all, args=(name,)) for name in got]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    filling.close()
    assert len(set(got["a"] + got["b"])) == 400


def test_the_same_key_and_request_is_the_same_job(store: Store) -> None:
    """A submit that is repeated makes no second job and no second event."""
    first = store.submissions.submit(new_job(client_key="k", params={"a": 1, "b": [2.5]}), ALL)
    again = store.submissions.submit(new_job(client_key="k", params={"b": [2.5], "a": 1}), ALL)
    assert again.record == first.record
    assert again.event is None
    assert store.events.last() == 1


def test_the_same_key_for_another_request_is_a_conflict(store: Store) -> None:
    """A key says which job is meant, so it cannot stand for two."""
    store.submissions.submit(new_job(client_key="k"), ALL)
    with pytest.raises(ConflictError):
        store.submissions.submit(new_job(client_key="k", name="another"), ALL)


def test_higher_priority_goes_first_and_older_first_among_equals(store: Store) -> None:
    """The queue is by priority, then by age."""
    for name, priority in (("late", -1), ("first", 5), ("second", 5), ("third", 0)):
        store.submissions.submit(new_job(name=name, priority=priority), ALL)
    assert [claimed(store, f"w{n}")[0].name for n in range(4)] == ["first", "second", "third", "late"]


def test_a_worker_gets_only_engines_that_it_offers(store: Store) -> None:
    """A job waits for a worker that has its engine."""
    store.submissions.submit(new_job(), ALL)
    assert store.leases.claim("w", ["threshold"]) is None
    assert store.leases.claim("w", []) is None
    assert store.leases.claim("w", ["threshold", "demo"]) is not None


def test_a_claim_whose_answer_was_lost_gives_the_same_job_again(store: Store) -> None:
    """A worker that asks while it holds a job is given that job, as the same attempt, and no event is written."""
    for _ in range(2):
        store.submissions.submit(new_job(), ALL)
    first, _ = claimed(store)
    events = store.events.last()
    again, _ = claimed(store)
    assert (again.job_id, again.attempt) == (first.job_id, 1)
    assert store.events.last() == events


def test_a_lease_that_runs_out_leads_to_attempt_2_and_keeps_the_error(store: Store, time: SettableClock) -> None:
    """A silent worker loses the job; after a pause another one gets it."""
    job = store.submissions.submit(new_job(), ALL).record
    claimed(store, "lost")
    time.now += 31
    (change,) = store.leases.expire()
    assert change.record.state is JobState.PENDING
    assert [error.code for error in change.record.errors] == [ErrorCode.WORKER_LOST]
    assert store.leases.claim("w", ["demo"]) is None
    time.now += 2
    record, attempt = claimed(store)
    assert (record.job_id, attempt.number) == (job.job_id, 2)


def test_a_job_is_tried_three_times_with_growing_pauses(store: Store, time: SettableClock) -> None:
    """Retryable errors use up the attempts; the job then fails with every error in its record."""
    store.submissions.submit(new_job(), ALL)
    pauses = []
    for number in (1, 2, 3):
        before = time.now
        while store.leases.claim("w", ["demo"]) is None:
            time.now += 0.5
        pauses.append(time.now - before)
        job_id = store.jobs.page(ListRequest(), ALL).jobs[0].job_id
        error = JobError(code=ErrorCode.OUT_OF_MEMORY, message=f"No {number}.", retryable=True)
        record = store.leases.fail(Attempt(job_id, "w", number), error).record
    assert pauses == [0.0, 2.0, 8.0]
    assert record.state is JobState.FAILED
    assert [(error.message, error.attempt) for error in record.errors] == [("No 1.", 1), ("No 2.", 2), ("No 3.", 3)]


def test_the_late_finish_of_a_lost_worker_is_refused(store: Store, time: SettableClock) -> None:
    """Once another attempt runs, nothing that the first worker sends counts."""
    store.submissions.submit(new_job(), ALL)
    _, zombie = claimed(store, "zombie")
    time.now += 31
    store.leases.expire()
    time.now += 2
    _, attempt = claimed(store, "healthy")
    for call in (
        lambda: store.leases.finish(zombie, (Artifact(name="mask.mrc", size_bytes=1),)),
        lambda: store.leases.renew(zombie),
        lambda: store.leases.report(zombie, Progress()),
        lambda: store.leases.fail(zombie, JobError(code=ErrorCode.INTERNAL, message="No.")),
        lambda: store.leases.release(zombie),
    ):
        with pytest.raises(ConflictError) as caught:
            call()
        assert caught.value.code is ErrorCode.STALE_ATTEMPT
    assert store.leases.finish(attempt, ()).record.state is JobState.COMPLETED


def test_giving_a_lease_back_costs_no_attempt(store: Store) -> None:
    """A worker may be shut down as often as one likes; the attempt's number still never comes again."""
    store.submissions.submit(new_job(), ALL)
    for number in range(1, 6):
        record, attempt = claimed(store)
        assert attempt.number == record.attempt == number
        assert store.leases.release(attempt).record.state is JobState.PENDING
    record, attempt = claimed(store)
    error = JobError(code=ErrorCode.INTERNAL, message="No.", retryable=True)
    assert store.leases.fail(attempt, error).record.state is JobState.PENDING


def test_a_cancelled_job_goes_no_further_than_its_attempt(store: Store, time: SettableClock) -> None:
    """A job that should stop is not tried again, whether its worker says so, fails, gives it back or is lost."""
    for number in range(4):
        store.submissions.submit(new_job(), ALL)
        record, attempt = claimed(store, f"w{number}")
        store.jobs.cancel(record.job_id, ALL)
        assert store.leases.renew(attempt).cancel
        if number == 0:
            store.leases.fail(attempt, JobError(code=ErrorCode.CANCELLED, message="Stopped."))
        elif number == 1:
            store.leases.fail(attempt, JobError(code=ErrorCode.INTERNAL, message="No.", retryable=True))
        elif number == 2:
            store.leases.release(attempt)
        else:
            time.now += 31
            store.leases.expire()
        assert store.jobs.get(record.job_id, ALL).state is JobState.CANCELLED


def test_retry_gives_the_attempts_anew_and_keeps_the_errors(store: Store) -> None:
    """A person's retry starts the budget again; what went wrong before stays in the record."""
    store.submissions.submit(new_job(), ALL)
    record, attempt = claimed(store)
    store.leases.fail(attempt, JobError(code=ErrorCode.ENGINE_FAILED, message="No."))
    retried = store.jobs.retry(record.job_id, ALL).record
    assert retried.state is JobState.PENDING
    assert retried.completed_at is None
    assert len(retried.errors) == 1
    assert store.jobs.retry(record.job_id, ALL).event is None
    assert claimed(store)[1].number == 2


def test_a_broker_that_starts_gives_running_jobs_one_lease(open_store: OpenStore, time: SettableClock) -> None:
    """Workers that lived through the broker's absence keep their jobs."""
    store = open_store()
    store.submissions.submit(new_job(), ALL)
    _, attempt = claimed(store)
    time.now += 1000
    after = open_store()
    assert [record.attempt for record in after.leases.extend_all()] == [1]
    assert after.leases.expire() == []
    assert not after.leases.renew(attempt).cancel


def test_progress_is_seen_at_once_and_stored_with_the_lease(open_store: OpenStore, time: SettableClock) -> None:
    """A broker that restarts knows the progress of the last lease that was written, and no older one."""
    store = open_store()
    store.submissions.submit(new_job(), ALL)
    record, attempt = claimed(store)
    for fraction in (0.25, 0.5):
        time.now += 5
        store.leases.report(attempt, Progress(fraction=fraction))
        found = store.jobs.get(record.job_id, ALL)
        assert found == store.jobs.page(ListRequest(), ALL).jobs[0].model_copy(update={"history": found.history})
        assert (found.progress.fraction, found.updated_at.timestamp()) == (fraction, time.now)
        if fraction == 0.25:
            store.leases.renew(attempt)
    assert open_store().jobs.get(record.job_id, ALL).progress.fraction == 0.25
    store.leases.renew(attempt)
    assert open_store().jobs.get(record.job_id, ALL).progress.fraction == 0.5


def test_a_lease_that_was_just_written_is_not_written_again(store: Store, tmp_path: Path, time: SettableClock) -> None:
    """However often a worker asks, the lease is extended once per renewal interval."""
    store.submissions.submit(new_job(), ALL)
    _, attempt = claimed(store)
    log = tmp_path / "jobs.sqlite-wal"
    before = log.stat().st_size
    for _ in range(10):
        store.leases.renew(attempt)
        store.leases.report(attempt, Progress(fraction=0.5))
    assert log.stat().st_size == before
    time.now += 5
    store.leases.renew(attempt)
    assert log.stat().st_size > before
    time.now += 29
    assert store.leases.expire() == []


def test_progress_outlives_its_attempt_only_where_the_job_ends(store: Store) -> None:
    """A failed job keeps how far it was; one that is tried again starts from nothing."""
    store.submissions.submit(new_job(), ALL)
    _, attempt = claimed(store)
    store.leases.report(attempt, Progress(fraction=0.75))
    assert store.leases.release(attempt).record.progress == Progress()
    record, attempt = claimed(store)
    assert record.progress == Progress()
    store.leases.report(attempt, Progress(fraction=0.75))
    error = JobError(code=ErrorCode.ENGINE_FAILED, message="No.")
    assert store.leases.fail(attempt, error).record.progress.fraction == 0.75


def test_a_full_record_still_fits_into_a_header(store: Store, time: SettableClock) -> None:
    """Whatever clients and workers send, a job can always be sent on."""
    long = "∫" * 2000
    request = SubmitRequest(
        volume=VolumeSource(path="x" * 4096), name="ß" * 200, params={"text": "p" * 16_000}, client_key="k"
    )
    summary = VolumeSummary(
        name="n" * 255, shape=(4, 4, 4), voxel_size_A=(1, 1, 1), path="x" * 4096, warnings=("w" * 300,) * 8
    )
    store.submissions.submit(NewJob(request, "demo", summary), ALL)
    error = JobError(code=ErrorCode.ENGINE_FAILED, message=long, hint=long[:1000], retryable=True)
    for _ in range(20):
        while store.leases.claim("w", ["demo"]) is None:
            time.now += 1
        record, attempt = claimed(store)
        if store.leases.fail(attempt, error).record.state is JobState.FAILED:
            store.jobs.retry(record.job_id, ALL)
    while store.leases.claim("w", ["demo"]) is None:
        time.now += 1
    record, attempt = claimed(store)
    artifacts = [Artifact(name=f"{n:03d}" + "f" * 100, size_bytes=2**40, sha256="0" * 64) for n in range(40)]
    record = store.leases.finish(attempt, artifacts).record
    body = {"event": record.history[-1].model_dump(mode="json"), "record": record.model_dump(mode="json")}
    raw = encode(EnvelopeFactory("broker").envelope("job.state", body, ts=1.0, job=record.job_id, attempt=99))
    assert len(raw) <= HEADER_MAX_BYTES
    assert record.history[-1].type == "job_completed"
    assert len(record.errors) == 5


def test_too_long_a_list_of_artifacts_is_refused(store: Store) -> None:
    """A worker cannot make a record that no message could carry."""
    store.submissions.submit(new_job(), ALL)
    _, attempt = claimed(store)
    with pytest.raises(InvalidRequestError):
        store.leases.finish(attempt, [Artifact(name=f"f{n}", size_bytes=1, media_type="m" * 500) for n in range(50)])


def test_pages_go_from_new_to_old_without_gap_or_repeat(store: Store) -> None:
    """A listing cut by its limit or by the size of a message continues where it ended."""
    made = [store.submissions.submit(new_job(params={"text": "x" * 8000}), ALL).record.job_id for _ in range(25)]
    listed: list[str] = []
    cursor, pages = None, 0
    while True:
        page = store.jobs.page(ListRequest(limit=20, cursor=cursor), ALL)
        listed += [record.job_id for record in page.jobs]
        pages += 1
        if page.cursor is None:
            break
        cursor = page.cursor
    assert listed == made[::-1]
    assert pages > 2


def test_a_listing_can_be_of_one_state(store: Store) -> None:
    """The filter goes before the limit."""
    for _ in range(3):
        store.submissions.submit(new_job(), ALL)
    running, _ = claimed(store)
    page = store.jobs.page(ListRequest(state=JobState.RUNNING, limit=1), ALL)
    assert [record.job_id for record in page.jobs] == [running.job_id]
    assert page.cursor is None


@pytest.mark.parametrize("cursor", ["x", "-1", "1 OR 1", "²", "9" * 30])
def test_a_cursor_that_no_page_gave_is_refused(store: Store, cursor: str) -> None:
    """Nonsense in a cursor is an error and not an empty page."""
    with pytest.raises(InvalidRequestError):
        store.jobs.page(ListRequest(cursor=cursor), ALL)


def test_events_are_replayed_from_any_point(store: Store) -> None:
    """Whoever has seen event n gets the rest, of all jobs or of one, and learns the newest number."""
    a, b = (store.submissions.submit(new_job(), ALL).record.job_id for _ in range(2))
    store.jobs.cancel(a, ALL)
    assert [event.n for event in store.events.since(1, ALL).events] == [2, 3]
    assert [event.type for event in store.events.since(0, ALL, job_id=a).events] == ["job_created", "job_cancelled"]
    assert store.events.since(0, ALL, job_id=b).last == 3
    assert store.events.since(3, ALL).events == ()
    with pytest.raises(NotFoundError):
        store.events.since(0, ALL, job_id="nobody")


def test_engines_are_known_after_a_restart(open_store: OpenStore) -> None:
    """A submit need not wait for a worker that was there before."""
    info = EngineInfo(name="demo", summary="s", parameters={"type": "object"}, needs_volume=False)
    open_store().engines.save([info])
    assert open_store().engines.load() == (info,)


def test_a_newer_store_is_refused(tmp_path: Path, open_store: OpenStore) -> None:
    """A database from the future is left alone, with a word about it."""
    open_store().close()
    with sqlite3.connect(tmp_path / "jobs.sqlite") as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    connection.close()
    with pytest.raises(ConflictError, match="newer CryoMamba"):
        Store(tmp_path / "jobs.sqlite")


def first_schema(path: Path) -> str:
    """Make a store as the first release did, with a job in it, and return the job's id."""
    with sqlite3.connect(path) as connection:
        connection.executescript(MIGRATIONS[0])
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 1")
        job = "11111111-1111-1111-1111-111111111111"
        volume = VolumeSummary(name="old", shape=(4, 4, 4), voxel_size_A=(10, 10, 10)).model_dump_json()
        connection.execute(
            "INSERT INTO jobs (id, state, name, engine, params, volume, preview, priority, fingerprint, created_at, "
            "updated_at) VALUES (?, 'pending', 'old', 'demo', '{}', ?, '{}', 0, 'f', 1.0, 1.0)",
            (job, volume),
        )
    connection.close()
    return job


def test_an_older_store_is_carried_over(tmp_path: Path) -> None:
    """What an earlier release wrote is there, is nobody's, and can be worked on."""
    path = tmp_path / "jobs.sqlite"
    job = first_schema(path)
    store = Store(path)
    assert (store.jobs.get(job, ALL).name, store.jobs.get(job, ALL).owner) == ("old", "")
    held = store.leases.claim("w", ["demo"])
    assert held is not None
    assert held.record.job_id == job
    assert store._database.read.execute("PRAGMA user_version").fetchone()[0] == SCHEMA
    store.close()


def test_a_migration_that_fails_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    """The steps are one transaction: the release before can still be used."""
    path = tmp_path / "jobs.sqlite"
    first_schema(path)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE INDEX jobs_by_owner ON jobs (name)")
    connection.close()
    with pytest.raises(UnavailableError, match="job store"):
        Store(path)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone()[0] == 1
    assert "owner" not in [row[1] for row in connection.execute("PRAGMA table_info(jobs)")]
    connection.close()


def test_what_was_committed_is_on_the_disk(store: Store) -> None:
    """Each commit is brought to the disk before it is answered: a power cut takes nothing back."""
    read = store._database.read
    assert read.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert read.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    """A file that is not ours is not written to."""
    path = tmp_path / "jobs.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE cats (name TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ConflictError, match="another program"):
        Store(path)
    assert path.read_bytes() == before


def test_a_damaged_file_is_refused_with_a_sentence(tmp_path: Path) -> None:
    """What is no database at all leads to an error that says what to do."""
    path = tmp_path / "jobs.sqlite"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(UnavailableError, match="job store") as caught:
        Store(path)
    assert caught.value.hint


def test_a_full_disk_refuses_the_change_and_loses_nothing(store: Store) -> None:
    """A submit that finds no room is refused as such; with room again, the store goes on."""
    first = store.submissions.submit(new_job(), ALL).record
    pages = store._database.read.execute("PRAGMA page_count").fetchone()[0]
    store._database.read.execute(f"PRAGMA max_page_count = {pages}")
    large = new_job(params={"text": "x" * 15_000})
    with pytest.raises(UnavailableError) as caught:
        store.submissions.submit(large, ALL)
    assert caught.value.code is ErrorCode.INSUFFICIENT_STORAGE
    store._database.read.execute("PRAGMA max_page_count = 1000000")
    assert store.submissions.submit(new_job(), ALL).event is not None
    assert store.jobs.get(first.job_id, ALL).state is JobState.PENDING
