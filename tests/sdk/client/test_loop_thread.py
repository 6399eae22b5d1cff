"""The event loop in a thread: what a signal handler raises arrives wherever it is raised, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from cryomamba.client import loop_thread
from cryomamba.client.loop_thread import LoopThread
from cryomamba.client.sync_client import Blocking, iterating
from cryomamba.errors import NotFoundError, UnavailableError
from cryomamba.testing import DEADLINE_S, wait_until

STEPS = 2
FOLDERS = tuple(str(Path(module.__file__ or "").parent) for module in (loop_thread, asyncio))


class SignalRaised(BaseException):
    """What the handler of a signal raises."""


class Numbers:
    """An asynchronous generator of two numbers that then waits without end."""

    def __init__(self) -> None:
        self.open = 0

    async def watch(self) -> AsyncGenerator[int, None]:
        self.open += 1
        try:
            for number in range(STEPS):
                await asyncio.sleep(0)
                yield number
            await asyncio.Event().wait()
        finally:
            # Like a socket, it takes a few turns of the loop to close.
            await asyncio.sleep(0)
            self.open -= 1

    async def count(self) -> int:
        return self.open + len(asyncio.all_tasks())


class BlockingNumbers(Blocking[Numbers]):
    watch = iterating(Numbers.watch)


class Raiser:
    """A trace function that raises at the n-th line which this thread runs in the client or asyncio."""

    def __init__(self, line: int) -> None:
        self.left = line

    def __call__(self, frame: FrameType, event: str, _arg: Any) -> Raiser | None:
        if not frame.f_code.co_filename.startswith(FOLDERS):
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                sys.settrace(None)
                raise SignalRaised
        return self


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    """A running loop, stopped at the end."""
    thread = LoopThread("test")
    yield thread
    thread.stop()


def read_steps(numbers: BlockingNumbers) -> None:
    steps = numbers.watch()
    for _ in range(STEPS):
        next(steps)
    steps.close()  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_an_exception_of_a_signal_handler_arrives_wherever_it_is_raised(thread: LoopThread) -> None:
    """At each line of the waiting thread in turn, exactly that exception arrives, and no generator or task remains."""
    numbers = Numbers()
    line, raised = 1, True
    before = sys.gettrace()
    gc.disable()
    try:
        while raised:
            raiser = Raiser(line)
            raised = False
            sys.settrace(raiser)
            try:
                read_steps(BlockingNumbers(numbers, thread))
            except SignalRaised:
                raised = True
            finally:
                sys.settrace(None)
            assert raised or raiser.left > 0, f"the exception at line {line} was lost"
            # The counting task alone; a generator that nobody refers to any more closes by itself.
            wait_until(lambda: thread.run(numbers.count()) == 1, what=f"everything to end after line {line}")
            line += 1
    finally:
        gc.enable()
        sys.settrace(before)
    assert line > 30


def test_an_error_of_the_coroutine_is_raised(thread: LoopThread) -> None:
    """The caller gets the same error."""

    async def fail() -> None:
        raise NotFoundError("There is no such job.")

    with pytest.raises(NotFoundError, match="no such job"):
        thread.run(fail())


def test_a_call_in_another_thread_ends_with_the_client(thread: LoopThread) -> None:
    """A call that is cancelled by another thread ends with an error of the client."""
    errors: list[UnavailableError] = []
    started = threading.Event()

    async def endless() -> None:
        started.set()
        await asyncio.Event().wait()

    async def cancel_others() -> None:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    def call() -> None:
        try:
            thread.run(endless())
        except UnavailableError as error:
            errors.append(error)

    other = threading.Thread(target=call)
    other.start()
    started.wait()
    thread.run(cancel_others())
    other.join()
    assert [error.message for error in errors] == ["The client was closed during this call."]


def test_a_stopped_loop_runs_nothing() -> None:
    """A call after the end is an error, and its coroutine is closed."""
    thread = LoopThread("test")
    thread.stop()
    with pytest.raises(RuntimeError, match="closed"):
        thread.run(asyncio.sleep(0))


def test_stopping_cancels_what_still_runs() -> None:
    """A coroutine that waits is cancelled, and so is one that has not begun; both end before the loop is closed."""
    thread = LoopThread("test")
    ended: list[str] = []
    begun = threading.Event()

    async def wait(name: str) -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    waiting = asyncio.run_coroutine_threadsafe(wait("waiting"), thread.loop)
    assert begun.wait(DEADLINE_S)
    thread.loop.call_soon_threadsafe(lambda: thread.loop.create_task(asyncio.sleep(3600)))
    thread.stop()
    assert ended == ["waiting"]
    assert waiting.cancelled()
    assert not asyncio.all_tasks(thread.loop)
