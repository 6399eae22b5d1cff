"""Background tasks: results in order, errors re-raised, cancelled when the context is left."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from tests.inference.counting import Counting

from cryomamba.errors import JobFailedError
from cryomamba_inference.runner.background_tasks import BackgroundTasks


def test_results_are_in_order() -> None:
    """Tasks run one after the other in one thread, in the compute slot, and their results are in order."""
    slot = Counting()
    here = threading.get_ident()
    with BackgroundTasks([lambda _, n=n: (n, threading.get_ident()) for n in range(3)], slot) as background:  # type: ignore[misc]
        results = list(background.wait_for_all(lambda: None))
    assert [number for number, _ in results] == [0, 1, 2]
    assert {thread for _, thread in results}.isdisjoint({here})
    assert (slot.entered, slot.most) == (3, 1)
    assert list(background.completed()) == []


def test_an_error_of_a_task_is_reraised() -> None:
    """The error of a task is raised where its result is requested."""

    def broken(_check: Callable[[], None]) -> int:
        raise ZeroDivisionError

    with BackgroundTasks([broken]) as background, pytest.raises(ZeroDivisionError):
        list(background.wait_for_all(lambda: None))


def test_leaving_the_context_cancels() -> None:
    """Leaving the context ends a task at its next check, and the others never start."""
    ended, started = [], threading.Event()

    def endless(check: Callable[[], None]) -> None:
        started.set()
        try:
            while True:
                check()
        except JobFailedError:
            ended.append("first")
            raise

    with BackgroundTasks([endless, lambda _: ended.append("second")]):
        started.wait()
    assert ended == ["first"]
