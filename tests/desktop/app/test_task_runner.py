"""Work in threads."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from cryomamba.errors import ErrorCode, InternalError
from cryomamba.testing import DEADLINE_S
from napari_cryomamba.app.task_runner import Task, TaskRunner

if TYPE_CHECKING:
    from tests.desktop.conftest import WaitFor

pytestmark = pytest.mark.desktop


def test_result_and_progress_arrive_in_the_gui_thread(tasks: TaskRunner, wait_for: WaitFor) -> None:
    """Both callbacks run in the thread of the event loop, the result last."""
    calls: list[tuple[str, object, bool]] = []

    def note(what: str, value: object) -> None:
        calls.append((what, value, threading.current_thread() is threading.main_thread()))

    def work(task: Task) -> int:
        task.progress(0.5)
        return 7

    tasks.run("Counting", work, lambda value: note("done", value), lambda fraction: note("progress", fraction))
    wait_for(lambda: len(calls) == 2)
    assert calls == [("progress", 0.5, True), ("done", 7, True)]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InternalError("It broke.", hint="Report it."), ErrorCode.INTERNAL),
        (FileNotFoundError(2, "No such file"), ErrorCode.UNAVAILABLE),
        (MemoryError(), ErrorCode.OUT_OF_MEMORY),
        (ValueError("odd"), ErrorCode.INTERNAL),
    ],
)
def test_every_error_becomes_a_notification(
    tasks: TaskRunner, notifications: Any, wait_for: WaitFor, error: Exception, code: ErrorCode
) -> None:
    """Whatever a task raises, the user reads what failed and what to do."""
    failed: list[bool] = []

    def work(_task: Task) -> None:
        raise error

    tasks.run("Working", work, failed=lambda: failed.append(True))
    wait_for(lambda: failed)
    [entry] = notifications.history.entries
    assert (entry.context, entry.code) == ("Working", str(code))
    assert entry.hint


def test_a_cancelled_task_stops_at_its_next_report_and_calls_nothing(
    tasks: TaskRunner, notifications: Any, wait_for: WaitFor
) -> None:
    """Neither a result nor an error of a cancelled task reaches the window."""
    cancelled, called = threading.Event(), list[object]()

    def work(task: Task) -> None:
        cancelled.wait()
        task.progress(0.1)
        called.append("went on")

    task = tasks.run("Waiting", work, called.append, failed=lambda: called.append("failed"))
    task.cancel()
    cancelled.set()
    wait_for(lambda: not task.is_alive())
    tasks.run("Next", lambda _task: "next", called.append)
    wait_for(lambda: called)
    assert called == ["next"]
    assert not notifications.history.entries


def test_a_task_that_outlives_its_runner_reports_to_nobody() -> None:
    """A window may be gone before a thread is: what the thread reports then must not reach a deleted object."""
    reports: list[object] = []
    released = threading.Event()

    def work(task: Task) -> None:
        released.wait(DEADLINE_S)
        task.progress(0.5)

    task = Task("Waiting", work, reports.append, reports.append)
    task.start()
    task.detach()
    released.set()
    task.join(DEADLINE_S)
    assert not task.is_alive()
    assert reports == []
