"""Leases in the store: claims, attempts, expiry, and the ways in which they end."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from tests.broker.store.store_helpers import ALL, OpenStore, SettableClock, claimed, new_job

from cryomamba.engines.api import Estimate
from cryomamba.errors import ConflictError, ErrorCode, InvalidRequestError
from cryomamba.models.jobs import Artifact, JobError, JobState, Progress
from cryomamba.testing import DEADLINE_S
from cryomamba.volumes import VolumeWarning
from cryomamba.wire.requests import ListRequest
from cryomamba_broker.store import Attempt, Store


def test_two_connections_lease_each_job_once(tmp_path: Path) -> None:
    """400 jobs that two connections claim concurrently are leased once each."""
    path = tmp_path / "jobs.sqlite"
    filling = Store(path)
    for _ in range(400):
        filling.submissions.submit(new_job(), ALL)
    together = threading.Barrier(2, timeout=DEADLINE_S)
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
    """A worker that claims while it holds a job gets that job, as the same attempt, and no event is written."""
    for _ in range(2):
        store.submissions.submit(new_job(), ALL)
    first, _ = claimed(store)
    events = store.events.last()
    again, _ = claimed(store)
    assert (again.job_id, again.attempt) == (first.job_id, 1)
    assert store.events.last() == events


def test_an_expired_lease_leads_to_attempt_2_and_keeps_the_error(store: Store, time: SettableClock) -> None:
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
    """Once another attempt runs, the first worker's requests are refused."""
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


def test_what_was_seen_is_kept_with_the_result(store: Store) -> None:
    """Warnings and estimates are in the record of a completed job, after a restart of the broker too."""
    store.submissions.submit(new_job(), ALL)
    record, attempt = claimed(store)
    assert (record.warnings, record.estimates) == ((), {})
    warning = VolumeWarning(code="mask_empty", message="The mask is empty.", hint="Look at it.")
    estimates: dict[str, Estimate] = {"contrast": "dark", "contrast_margin": 0.25}
    record = store.leases.finish(attempt, (), warnings=[warning], estimates=estimates).record
    assert (record.warnings, record.estimates) == ((warning,), estimates)
    assert store.jobs.get(record.job_id, ALL).warnings == (warning,)


def test_a_released_lease_is_not_counted_as_an_attempt(store: Store) -> None:
    """A worker may be shut down any number of times; attempt numbers are still never reused."""
    store.submissions.submit(new_job(), ALL)
    for number in range(1, 6):
        record, attempt = claimed(store)
        assert attempt.number == record.attempt == number
        assert store.leases.release(attempt).record.state is JobState.PENDING
    record, attempt = claimed(store)
    error = JobError(code=ErrorCode.INTERNAL, message="No.", retryable=True)
    assert store.leases.fail(attempt, error).record.state is JobState.PENDING


def test_a_cancelled_job_is_not_attempted_again(store: Store, time: SettableClock) -> None:
    """A job that is being cancelled is not requeued, whether its worker confirms, fails, releases it or is lost."""
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


def test_a_broker_that_starts_extends_all_leases(open_store: OpenStore, time: SettableClock) -> None:
    """Workers that kept running while the broker was down keep their jobs."""
    store = open_store()
    store.submissions.submit(new_job(), ALL)
    _, attempt = claimed(store)
    time.now += 1000
    after = open_store()
    assert [record.attempt for record in after.leases.extend_all()] == [1]
    assert after.leases.expire() == []
    assert not after.leases.renew(attempt).cancel


def test_a_lease_that_was_just_written_is_not_written_again(store: Store, tmp_path: Path, time: SettableClock) -> None:
    """However often a worker renews, the lease is written once per renewal interval."""
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


def test_too_long_a_list_of_artifacts_is_refused(store: Store) -> None:
    """A worker cannot make a record that does not fit into a message."""
    store.submissions.submit(new_job(), ALL)
    _, attempt = claimed(store)
    with pytest.raises(InvalidRequestError):
        store.leases.finish(attempt, [Artifact(name=f"f{n}", size_bytes=1, media_type="m" * 500) for n in range(50)])
