"""The order of jobs between owners and within one owner."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from cryomamba.access.visibility import Visibility
from cryomamba_broker.fair_share import (
    PRIORITY_S,
    Abilities,
    Turn,
    allowed_priority,
    next_owner,
    owner_order,
    place_in_queue,
    queue_key,
)

OWNERS = ("ada", "bob", "cleo", "dan")


class Pool:
    """One pool of workers, which takes a job whenever it is asked to."""

    def __init__(self) -> None:
        self.turns: dict[str, Turn] = {}
        self.queues: dict[str, deque[int]] = {}
        self.taken: list[tuple[str, int]] = []
        self.serial = 0

    def submit(self, owner: str) -> int:
        self.serial += 1
        self.queues.setdefault(owner, deque()).append(self.serial)
        return self.serial

    def take(self) -> None:
        first = {owner: jobs[0] for owner, jobs in self.queues.items() if jobs}
        if first:
            owner = next_owner(first, self.turns)
            self.taken.append((owner, self.queues[owner].popleft()))
            self.turns[owner] = Turn(len(self.taken), len(self.taken))


@given(before=st.lists(st.sampled_from(["submit ada", "submit bob", "take"]), max_size=40))
def test_many_jobs_of_one_owner_delay_the_single_job_of_another_by_at_most_one(before: list[str]) -> None:
    """Whatever happened before: with 500 jobs of another owner queued, at most one of these starts before mine."""
    pool = Pool()
    for step in before:
        if step == "take":
            pool.take()
        else:
            pool.submit(step.split()[1])
    while pool.queues.get("bob"):
        pool.take()
    for _ in range(500):
        pool.submit("ada")
    mine, started = pool.submit("bob"), len(pool.taken)
    while ("bob", mine) not in pool.taken:
        pool.take()
    assert len(pool.taken) - started <= 2


@given(steps=st.lists(st.sampled_from([*OWNERS, "take"]), max_size=80))
def test_no_owner_gets_two_jobs_while_another_waits(steps: list[str]) -> None:
    """While an owner's job waits, no other owner is given two."""
    pool = Pool()
    since: dict[str, int] = {}
    for step in steps:
        if step != "take":
            if not pool.queues.get(step):
                since[step] = len(pool.taken)
            pool.submit(step)
            continue
        pool.take()
        for owner, jobs in pool.queues.items():
            if jobs:
                begin = max([since[owner], *(n for n, (taker, _) in enumerate(pool.taken, 1) if taker == owner)])
                others = [taker for taker, _ in pool.taken[begin:]]
                assert len(others) == len(set(others))


@given(steps=st.lists(st.sampled_from([*OWNERS, "take"]), max_size=60))
def test_the_places_that_are_shown_are_those_in_which_jobs_start(steps: list[str]) -> None:
    """If nothing more is submitted, each job starts at the place that the queue shows for it."""
    pool = Pool()
    for step in steps:
        if step == "take":
            pool.take()
        else:
            pool.submit(step)
    counts = {owner: len(jobs) for owner, jobs in pool.queues.items() if jobs}
    order = owner_order({owner: pool.queues[owner][0] for owner in counts}, pool.turns)
    shown = {
        place_in_queue(rank, owner, counts, order): serial
        for owner in counts
        for rank, serial in enumerate(pool.queues[owner], 1)
    }
    before = len(pool.taken)
    for _ in range(sum(counts.values())):
        pool.take()
    assert shown == {place: serial for place, (_, serial) in enumerate(pool.taken[before:], 1)}


@given(low=st.floats(0, 1e6), later=st.floats(PRIORITY_S, 1e6), steps=st.integers(1, 3))
def test_a_job_of_low_priority_is_overtaken_only_for_a_time(low: float, later: float, steps: int) -> None:
    """A job is not overtaken by one that is submitted more than a day later for each step of priority between them."""
    assert queue_key(low, 0, 1) < queue_key(low + later * steps + 1, steps, 2)
    assert queue_key(low, 0, 1) > queue_key(low + PRIORITY_S * steps - 1, steps, 2)


def test_only_administrators_give_more_than_a_high_priority() -> None:
    """The priority of everybody else is limited to low and high."""
    ada = Visibility.of("ada")
    assert [allowed_priority(value, ada) for value in (-100, -1, 0, 1, 100)] == [-1, -1, 0, 1, 1]
    assert allowed_priority(100, Visibility.everything()) == 100


def test_pools_are_named_by_what_their_workers_can_run() -> None:
    """The order of engines does not matter, and an engine is not taken for a model."""
    assert Abilities(("a", "b")).pool == Abilities(("b", "a"), (), ("some job",)).pool
    assert Abilities(("a", "b")).pool != Abilities(("a",), ("b",)).pool
