"""Waiting for conditions instead of for time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

_PAUSE_S = 0.02


def wait_until(condition: Callable[[], T], *, timeout: float = 60.0, what: str = "the condition") -> T:
    """Ask again and again until the answer is true, and return it.

    Parameters
    ----------
    condition : callable
        Asked every 20 ms.
    timeout : float
        Seconds after which to give up.
    what : str
        Named in the failure.

    Raises
    ------
    AssertionError
        It did not become true in time.
    """
    deadline = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"After {timeout:.0f} s still waiting for {what}; the last answer was {answer!r}.")
        time.sleep(_PAUSE_S)


async def wait_until_async(
    condition: Callable[[], Awaitable[T]],
    *,
    timeout: float = 60.0,  # noqa: ASYNC109
    what: str = "the condition",
) -> T:
    """Do what :func:`wait_until` does, without blocking the event loop."""
    deadline = time.monotonic() + timeout
    while True:
        answer = await condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"After {timeout:.0f} s still waiting for {what}; the last answer was {answer!r}.")
        await asyncio.sleep(_PAUSE_S)
