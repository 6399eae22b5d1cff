"""The queue in the store: turns of owners, priorities, and the places that are shown."""

from __future__ import annotations

import pytest
from tests.broker.store.store_helpers import ALL, OpenStore, SettableClock, claimed, new_job

from cryomamba.wire.requests import ListRequest
from cryomamba_broker.fair_share import PRIORITY_S
from cryomamba_broker.placement import Candidate, Placement
from cryomamba_broker.store import Store

DEMO = Placement((Candidate(("demo",)),))


def submit(store: Store, owner: str, **fields: object) -> str:
    return store.submissions.submit(new_job(owner=owner, **fields), ALL).record.job_id


def take_all(store: Store) -> list[str]:
    taken: list[str] = []
    while (lease := store.leases.claim(f"w{len(taken)}", ["demo"])) is not None:
        taken.append(lease.record.job_id)
    return taken


def test_owners_take_turns(store: Store) -> None:
    """After 500 jobs of one owner, the one job of another is second."""
    many = [submit(store, "ada") for _ in range(500)]
    assert claimed(store, "first")[0].job_id == many[0]
    one = submit(store, "bob")
    assert store.jobs.get(one, ALL, DEMO).queue_position == 1
    assert store.jobs.get(many[1], ALL, DEMO).queue_position == 2
    assert claimed(store, "second")[0].job_id == one


def test_turns_are_kept_over_a_restart(open_store: OpenStore) -> None:
    """A broker that starts again knows whose turn it is."""
    store = open_store()
    for owner in ("ada", "ada", "bob"):
        submit(store, owner)
    claimed(store, "w1")
    assert claimed(open_store(), "w2")[0].owner == "bob"


def test_places_are_the_order_in_which_jobs_start(store: Store) -> None:
    """Owners and priorities mixed: the listing shows each job's place, and so they start."""
    for n in range(12):
        submit(store, ("ada", "bob", "ada", "cleo")[n % 4], priority=(0, 1, -1)[n % 3])
    listed = store.jobs.page(ListRequest(limit=50), ALL, DEMO).jobs
    shown = [record.job_id for record in sorted(listed, key=lambda record: record.queue_position or 0)]
    assert sorted(record.queue_position or 0 for record in listed) == list(range(1, 13))
    assert take_all(store) == shown


def test_jobs_that_the_workers_cannot_run_do_not_count(store: Store) -> None:
    """A job for another engine is not before anybody, and its record says why it waits."""
    other = store.submissions.submit(new_job(name="other"), ALL).record.job_id
    store.database.read.execute("UPDATE jobs SET engine = 'onnx'")
    mine = submit(store, "ada")
    assert store.jobs.get(mine, ALL, DEMO).queue_position == 1
    blocked = store.jobs.get(other, ALL, DEMO)
    assert (blocked.queue_position, blocked.blocked_reason) == (None, "No worker has the engine 'onnx'.")


def test_a_low_priority_waits_at_most_a_day_longer(store: Store, time: SettableClock) -> None:
    """Jobs of normal priority that keep coming overtake a low one for a day, and no longer."""
    low = submit(store, "ada", priority=-1)
    time.now += PRIORITY_S - 1
    early = submit(store, "ada")
    time.now += 2
    late = submit(store, "ada")
    assert take_all(store) == [early, low, late]


def test_an_owner_whose_jobs_keep_other_workers_busy_still_has_its_turn(store: Store) -> None:
    """Jobs on workers with other engines do not count as turns of this pool."""
    submit(store, "ada")
    claimed(store, "y0")
    waiting = submit(store, "bob")
    for n in range(5):
        submit(store, "ada")
        # Bob's jobs for the engine that only the other workers have.
        submit(store, "bob")
        store.database.read.execute("UPDATE jobs SET engine = 'x' WHERE serial = (SELECT max(serial) FROM jobs)")
        lease = store.leases.claim(f"x{n}", ["x"])
        assert lease is not None
        assert lease.record.owner == "bob"
    assert claimed(store, "y1")[0].job_id == waiting


def test_a_job_that_was_just_claimed_has_no_place(store: Store) -> None:
    """A record that was read before the claim is returned as it was."""
    submit(store, "ada")
    record = store.jobs.page(ListRequest(), ALL).jobs[0]
    submit(store, "bob")
    claimed(store)
    placed = store.jobs.placed(record, DEMO)
    assert (placed.queue_position, placed.blocked_reason) == (None, "")


def test_a_job_that_a_worker_has_handed_back_is_not_given_to_it_again(store: Store) -> None:
    """The next job is."""
    first, second = submit(store, "ada"), submit(store, "ada")
    lease = store.leases.claim("w", ["demo"], declined=[first])
    assert lease is not None
    assert lease.record.job_id == second


@pytest.mark.parametrize("owners", [1, 40])
def test_a_claim_looks_at_one_job_of_each_owner(store: Store, owners: int) -> None:
    """The query for the first job of an owner uses the index of the queue."""
    for n in range(owners):
        submit(store, f"owner{n}")
    plan = store.database.read.execute(
        "EXPLAIN QUERY PLAN SELECT serial FROM jobs WHERE owner = 'owner0' AND state = 'pending' "
        "ORDER BY created_at - priority * 86400.0, serial LIMIT 1"
    ).fetchall()
    assert [row["detail"] for row in plan] == ["SEARCH jobs USING INDEX jobs_queued (owner=?)"]
