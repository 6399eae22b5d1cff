"""Crews and work beside: the same answers for any number of threads, and never more at work than there are cores."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import pytest

from cryomamba.errors import JobFailedError
from cryomamba_inference.runner.background_tasks import BackgroundTasks
from cryomamba_inference.threads import ThreadTeam


class Counting(AbstractContextManager[None]):
    """Counts who is in it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.inside = self.most = self.entered = 0

    def __enter__(self) -> None:
        with self._lock:
            self.inside += 1
            self.entered += 1
            self.most = max(self.most, self.inside)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.inside -= 1


@pytest.mark.parametrize("threads", [1, 3])
def test_a_crews_answers_are_in_order(threads: int) -> None:
    """However many threads there are, an item's answer stands in its place."""
    assert ThreadTeam(threads).map(lambda n: n * n, range(9)) == [n * n for n in range(9)]


@pytest.mark.parametrize("threads", [1, 3])
def test_a_crew_does_every_task_once(threads: int) -> None:
    """All tasks are done, each on a core, no more are taken than threads and one, and the count ends at all of them."""
    core, done, told = Counting(), np.zeros(12, int), list[int]()
    taken = 0

    def tasks() -> list[Callable[[], None]]:
        return [lambda n=n: done.__setitem__(n, done[n] + 1) for n in range(len(done))]  # type: ignore[misc]

    def hand_out() -> object:
        nonlocal taken
        for task in tasks():
            assert taken - int(done.sum()) <= threads + 1
            taken += 1
            yield task

    ThreadTeam(threads, core).run(hand_out(), told.append)  # type: ignore[arg-type]
    assert done.tolist() == [1] * len(done)
    assert told == sorted(told)
    assert told[-1] == len(done)
    assert core.entered == len(done)
    assert core.most <= threads


def test_a_crew_stops_when_it_is_told() -> None:
    """What `done` raises comes out, and tasks that have not begun are left."""
    begun = []

    def stop(_count: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        ThreadTeam(1).run([lambda: begun.append(1)] * 50, stop)
    assert len(begun) < 5


def test_what_is_done_beside_comes_in_order() -> None:
    """Tasks run one after the other in one thread, in the core, and their answers come in their order."""
    core = Counting()
    here = threading.get_ident()
    with BackgroundTasks([lambda _, n=n: (n, threading.get_ident()) for n in range(3)], core) as beside:  # type: ignore[misc]
        answers = list(beside.wait_for_all(lambda: None))
    assert [number for number, _ in answers] == [0, 1, 2]
    assert {thread for _, thread in answers}.isdisjoint({here})
    assert (core.entered, core.most) == (3, 1)
    assert list(beside.completed()) == []


def test_what_goes_wrong_beside_comes_out() -> None:
    """The error of a task is raised where its answer is asked for."""

    def broken(_check: Callable[[], None]) -> int:
        raise ZeroDivisionError

    with BackgroundTasks([broken]) as beside, pytest.raises(ZeroDivisionError):
        list(beside.wait_for_all(lambda: None))


def test_what_nobody_wants_any_more_ends() -> None:
    """Leaving the context ends a task at its next check, and the others never begin."""
    ended, begun = [], threading.Event()

    def endless(check: Callable[[], None]) -> None:
        begun.set()
        try:
            while True:
                check()
        except JobFailedError:
            ended.append("first")
            raise

    with BackgroundTasks([endless, lambda _: ended.append("second")]):
        begun.wait()
    assert ended == ["first"]
