"""Listings of the jobs that meet conditions, from a real store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError
from tests.broker.store.store_helpers import ALL, SettableClock, claimed, new_job

from cryomamba.access.visibility import Visibility
from cryomamba.models.job_filter import SEARCH_WORDS_MAX, JobFilter
from cryomamba.models.jobs import VolumeSummary
from cryomamba.wire.requests import ListRequest
from cryomamba_broker.store import NewJob, Store


def submit(store: Store, owner: str = "", path: str | None = None, **fields: object) -> str:
    new = new_job(owner=owner, **fields)
    name = "demo" if path is None else path.rpartition("/")[2]
    volume = VolumeSummary(name=name, path=path, shape=(4, 4, 4), voxel_size_A=(1, 1, 1))
    return store.submissions.submit(NewJob(new.request, new.request.engine or "", volume), ALL).record.job_id


def listed(store: Store, visibility: Visibility = ALL, **conditions: Any) -> list[str]:
    page = store.jobs.page(ListRequest(**conditions), visibility)
    return [record.job_id for record in page.jobs]


def test_each_condition_lists_the_jobs_that_meet_it_and_all_of_them_hold_at_once(store: Store) -> None:
    """Engine, label, owner, state, and two together; nothing that only resembles them."""
    first = submit(store, engine="demo", name="TS_01", owner="ada")
    second = submit(store, engine="membrane", name="TS_01", owner="bob")
    third = submit(store, engine="demo", name="TS_01 again", owner="ada")
    assert listed(store, engine="demo") == [third, first]
    assert listed(store, name=" TS_01 ") == [second, first]
    assert listed(store, owner="ada") == [third, first]
    assert listed(store, owner="ada", name="TS_01") == [first]
    running, _ = claimed(store)
    assert running.job_id == first
    assert listed(store, state="running") == [first]
    assert listed(store, state=["running", "pending"]) == [third, second, first]
    assert listed(store, state=["completed", "failed"]) == []


def test_the_owner_in_a_condition_gives_no_right_to_see(store: Store) -> None:
    """A listing for one owner has only that owner's jobs, whoever is asked for."""
    own, other = submit(store, owner="ada"), submit(store, owner="bob")
    assert listed(store, Visibility.of("ada"), owner="bob") == []
    assert listed(store, Visibility.of("ada"), owner="ada") == [own]
    assert listed(store, Visibility.of("ada"), search=other) == []


def test_times_bound_when_a_job_was_submitted(store: Store, time: SettableClock) -> None:
    """Both ends are excluded, and may be given in any time zone."""
    made = []
    for time.now in (1000.0, 2000.0, 3000.0):
        made.append(submit(store))
    after, before = datetime.fromtimestamp(1000, UTC), datetime.fromtimestamp(3000, UTC)
    assert listed(store, created_after=after) == [made[2], made[1]]
    assert listed(store, created_before=before) == [made[1], made[0]]
    assert listed(store, created_after=after, created_before=before) == [made[1]]
    assert listed(store, created_after="1970-01-01T01:33:20+01:00") == [made[2]]
    with pytest.raises(ValidationError):
        JobFilter(created_after=datetime(2026, 1, 1))


@pytest.mark.parametrize("words", ["ts_01", "TS_01 lamella", "LAMELLA  data/ts", "memb TS_01", "%", "'"])
def test_every_word_of_a_search_occurs_somewhere(store: Store, words: str) -> None:
    """In label, path, engine or owner, in upper or lower case; SQL's own signs mean nothing."""
    found = submit(store, name="Lamella 3 % 'thin'", path="/data/TS_01.mrc", engine="membrane", owner="ada")
    submit(store, name="_ other", path="/data/TS_02.mrc", engine="membrane", owner="ada")
    assert listed(store, search=words) == [found]


def test_a_search_finds_ids_and_only_so_many_words_count(store: Store) -> None:
    """The beginning of an id is enough, and a search of blanks is none."""
    found, other = submit(store), submit(store)
    assert listed(store, search=found[:13]) == [found]
    assert listed(store, search="  ") == [other, found]
    assert listed(store, search="demo " * SEARCH_WORDS_MAX + "nowhere") == [other, found]
    assert listed(store, search="nowhere") == []


def test_pages_of_a_listing_with_conditions_have_each_job_once(store: Store) -> None:
    """The cursor continues among the jobs that meet them."""
    made = [submit(store, name="odd" if number % 2 else "even") for number in range(9)]
    seen: list[str] = []
    cursor = None
    while True:
        page = store.jobs.page(ListRequest(name="odd", limit=2, cursor=cursor), ALL)
        seen += [record.job_id for record in page.jobs]
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == made[1::2][::-1]


def test_conditions_that_are_not_set_are_not_sent() -> None:
    """A server that does not know them yet accepts a listing without conditions."""
    assert ListRequest().model_dump(mode="json") == {"limit": 50, "cursor": None}
