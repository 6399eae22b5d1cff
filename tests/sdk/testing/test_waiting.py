"""Waiting for conditions."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from cryomamba.testing import wait_until, wait_until_async


async def wait(condition: Callable[[], int], *, blocking: bool) -> int:
    async def answer() -> int:
        return condition()

    if blocking:
        return wait_until(condition, timeout=1, what="a number")
    return await wait_until_async(answer, timeout=1, what="a number")


@pytest.mark.parametrize("blocking", [True, False])
async def test_the_first_true_value_is_returned(blocking: bool) -> None:
    """The condition is called until it returns something true."""
    numbers = count()
    assert await wait(lambda: next(numbers) // 2, blocking=blocking) == 1


@pytest.mark.parametrize("blocking", [True, False])
async def test_giving_up_names_what_was_waited_for(blocking: bool) -> None:
    """A condition that stays false fails with its name and last value."""
    with pytest.raises(AssertionError, match=r"a number .*last value was 0"):
        await wait(lambda: 0, blocking=blocking)
