"""Progress in memory, stored with the lease."""

from __future__ import annotations

from tests.broker.store.store_helpers import ALL, OpenStore, SettableClock, claimed, new_job

from cryomamba.errors import ErrorCode
from cryomamba.models.jobs import JobError, Progress
from cryomamba.wire.requests import ListRequest
from cryomamba_broker.store import Store


def test_progress_is_seen_at_once_and_stored_with_the_lease(open_store: OpenStore, time: SettableClock) -> None:
    """A broker that restarts has the progress that was stored with the last lease."""
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


def test_progress_outlives_its_attempt_only_where_the_job_ends(store: Store) -> None:
    """A failed job keeps its last progress; a requeued one starts from zero."""
    store.submissions.submit(new_job(), ALL)
    _, attempt = claimed(store)
    store.leases.report(attempt, Progress(fraction=0.75))
    assert store.leases.release(attempt).record.progress == Progress()
    record, attempt = claimed(store)
    assert record.progress == Progress()
    store.leases.report(attempt, Progress(fraction=0.75))
    error = JobError(code=ErrorCode.ENGINE_FAILED, message="No.")
    assert store.leases.fail(attempt, error).record.progress.fraction == 0.75
