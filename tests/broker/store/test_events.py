"""The log of events."""

from __future__ import annotations

import pytest
from tests.broker.store.store_helpers import ALL, new_job

from cryomamba.errors import NotFoundError
from cryomamba_broker.store import Store


def test_events_are_replayed_from_any_point(store: Store) -> None:
    """The events after event n come in order, of all jobs or of one, with the number of the newest."""
    a, b = (store.submissions.submit(new_job(), ALL).record.job_id for _ in range(2))
    store.jobs.cancel(a, ALL)
    assert [event.n for event in store.events.since(1, ALL).events] == [2, 3]
    assert [event.type for event in store.events.since(0, ALL, job_id=a).events] == ["job_created", "job_cancelled"]
    assert store.events.since(0, ALL, job_id=b).last == 3
    assert store.events.since(3, ALL).events == ()
    with pytest.raises(NotFoundError):
        store.events.since(0, ALL, job_id="nobody")
