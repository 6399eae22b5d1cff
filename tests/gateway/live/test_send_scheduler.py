"""Large messages pass a few in each turn of the loop, in order, and what is small is served between them."""

from __future__ import annotations

import asyncio
import itertools

from cryomamba_gateway.live.send_scheduler import SendScheduler


async def test_so_many_bytes_pass_in_a_turn() -> None:
    """Ten messages of 400 bytes through 1000 a turn: two at a time, in the order in which they came."""
    turnstile = SendScheduler(1000)
    passed: list[int] = []

    async def send(number: int) -> None:
        await turnstile.pass_through(400)
        passed.append(number)

    async with asyncio.TaskGroup() as tasks:
        for number in range(10):
            tasks.create_task(send(number))
        seen = [0]
        while len(passed) < 10:
            await asyncio.sleep(0)
            seen.append(len(passed))
    assert passed == list(range(10))
    assert max(after - before for before, after in itertools.pairwise(seen)) == 2


async def test_one_that_is_larger_than_a_turn_passes_alone() -> None:
    """It waits for a turn of its own, and whoever waits behind it comes after it."""
    turnstile = SendScheduler(1000)
    passed: list[int] = []

    async def send(nbytes: int) -> None:
        await turnstile.pass_through(nbytes)
        passed.append(nbytes)

    await asyncio.wait_for(asyncio.gather(*(send(nbytes) for nbytes in (10, 5000, 20, 30))), 5)
    assert passed == [10, 5000, 20, 30]


async def test_one_that_gives_up_holds_nobody_up() -> None:
    """A client that goes while it waits leaves its turn to the next."""
    turnstile = SendScheduler(1000)
    await turnstile.pass_through(1000)
    gone = asyncio.ensure_future(turnstile.pass_through(1000))
    stays = asyncio.ensure_future(turnstile.pass_through(1000))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait_for(stays, 5)
    await asyncio.wait_for(turnstile.pass_through(1), 5)
