"""Waiting for conditions instead of for time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

T = TypeVar("T")

DEADLINE_S: Final = 240.0
"""How long a test waits before it fails: far longer than anything takes, also on an overloaded machine."""

_POLL_S: Final = 0.02


def wait_until(condition: Callable[[], T], *, timeout: float = DEADLINE_S, what: str = "the condition") -> T:
    """Call a condition until it returns something true, and return that.

    Parameters
    ----------
    condition : callable
        Called every 20 ms.
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
    while not (value := condition()):
        _check(deadline, timeout, what, value)
        time.sleep(_POLL_S)
    return value


async def wait_until_async(
    condition: Callable[[], Awaitable[T]],
    *,
    timeout: float = DEADLINE_S,  # noqa: ASYNC109
    what: str = "the condition",
) -> T:
    """Do the same as :func:`wait_until` without blocking the event loop."""
    deadline = time.monotonic() + timeout
    while not (value := await condition()):
        _check(deadline, timeout, what, value)
        await asyncio.sleep(_POLL_S)
    return value


def _check(deadline: float, timeout: float, what: str, value: object) -> None:
    if time.monotonic() > deadline:
        raise AssertionError(f"Still waiting for {what} after {timeout:.0f} s; the last value was {value!r}.")
