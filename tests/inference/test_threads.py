"""Thread teams: the same results for any number of threads, and never more at work than there are cores."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.inference.counting import Counting

from cryomamba_inference.threads import ThreadTeam


@pytest.mark.parametrize("threads", [1, 3])
def test_results_are_in_order(threads: int) -> None:
    """With any number of threads, the results are in the order of the items."""
    assert ThreadTeam(threads).map(lambda n: n * n, range(9)) == [n * n for n in range(9)]


@pytest.mark.parametrize("threads", [1, 3])
def test_every_task_runs_once(threads: int) -> None:
    """All tasks run, each in the compute slot; few are taken ahead, and the reported count ends at their number."""
    slot, done, reported = Counting(), np.zeros(12, int), list[int]()
    taken = 0

    def tasks() -> list[Callable[[], None]]:
        return [lambda n=n: done.__setitem__(n, done[n] + 1) for n in range(len(done))]  # type: ignore[misc]

    def generate() -> object:
        nonlocal taken
        for task in tasks():
            assert taken - int(done.sum()) <= threads + 1
            taken += 1
            yield task

    ThreadTeam(threads, slot).run(generate(), reported.append)  # type: ignore[arg-type]
    assert done.tolist() == [1] * len(done)
    assert reported == sorted(reported)
    assert reported[-1] == len(done)
    assert slot.entered == len(done)
    assert slot.most <= threads


def test_an_exception_of_the_report_cancels_the_rest() -> None:
    """What `report` raises is re-raised, and tasks that have not started are dropped."""
    begun = []

    def stop(_count: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        ThreadTeam(1).run([lambda: begun.append(1)] * 50, stop)
    assert len(begun) < 5
