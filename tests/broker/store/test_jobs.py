"""The table of jobs: retry, pages, cursors."""

from __future__ import annotations

import pytest
from tests.broker.store.store_helpers import ALL, claimed, new_job

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.models.jobs import JobError, JobState
from cryomamba.wire.requests import ListRequest
from cryomamba_broker.store import Store


def test_retry_resets_the_attempts_and_keeps_the_errors(store: Store) -> None:
    """A retry starts a new count of attempts; earlier errors stay in the record."""
    store.submissions.submit(new_job(), ALL)
    record, attempt = claimed(store)
    store.leases.fail(attempt, JobError(code=ErrorCode.ENGINE_FAILED, message="No."))
    retried = store.jobs.retry(record.job_id, ALL).record
    assert retried.state is JobState.PENDING
    assert retried.completed_at is None
    assert len(retried.errors) == 1
    assert store.jobs.retry(record.job_id, ALL).event is None
    assert claimed(store)[1].number == 2


def test_pages_go_from_new_to_old_without_gap_or_repeat(store: Store) -> None:
    """A page that ends at its limit or at the size of a message is continued by its cursor."""
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
    """The filter is applied before the limit."""
    for _ in range(3):
        store.submissions.submit(new_job(), ALL)
    running, _ = claimed(store)
    page = store.jobs.page(ListRequest(state=JobState.RUNNING, limit=1), ALL)
    assert [record.job_id for record in page.jobs] == [running.job_id]
    assert page.cursor is None


@pytest.mark.parametrize("cursor", ["x", "-1", "1 OR 1", "²", "9" * 30])
def test_an_invalid_cursor_is_refused(store: Store, cursor: str) -> None:
    """A cursor that did not come from a page is an error, not an empty page."""
    with pytest.raises(InvalidRequestError):
        store.jobs.page(ListRequest(cursor=cursor), ALL)
