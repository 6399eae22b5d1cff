"""Submitting jobs to the store, once per client key."""

from __future__ import annotations

import pytest
from tests.broker.store.store_helpers import ALL, new_job

from cryomamba.errors import ConflictError
from cryomamba_broker.store import Store


def test_the_same_key_and_request_is_the_same_job(store: Store) -> None:
    """A repeated submit creates no second job and no second event."""
    first = store.submissions.submit(new_job(client_key="k", params={"a": 1, "b": [2.5]}), ALL)
    again = store.submissions.submit(new_job(client_key="k", params={"b": [2.5], "a": 1}), ALL)
    assert again.record == first.record
    assert again.event is None
    assert store.events.last() == 1


def test_the_same_key_for_another_request_is_a_conflict(store: Store) -> None:
    """A key identifies one job, so it cannot be reused for a different request."""
    store.submissions.submit(new_job(client_key="k"), ALL)
    with pytest.raises(ConflictError):
        store.submissions.submit(new_job(client_key="k", name="another"), ALL)
