"""Large messages are sent a few in each turn of the event loop, in order."""

from __future__ import annotations

import asyncio
import itertools

from cryomamba.testing import DEADLINE_S
from cryomamba_gateway.live.send_scheduler import SendScheduler


async def test_a_turn_is_bounded() -> None:
    """Ten messages of 400 bytes at 1000 a turn: two at a time, in order."""
    scheduler = SendScheduler(1000)
    sent: list[int] = []

    async def send(number: int) -> None:
        await scheduler.acquire(400)
        sent.append(number)

    async with asyncio.TaskGroup() as tasks:
        for number in range(10):
            tasks.create_task(send(number))
        seen = [0]
        while len(sent) < 10:
            await asyncio.sleep(0)
            seen.append(len(sent))
    assert sent == list(range(10))
    assert max(after - before for before, after in itertools.pairwise(seen)) == 2


async def test_a_message_larger_than_a_turn_gets_one_of_its_own() -> None:
    """Those behind it come after it."""
    scheduler = SendScheduler(1000)
    sent: list[int] = []

    async def send(nbytes: int) -> None:
        await scheduler.acquire(nbytes)
        sent.append(nbytes)

    await asyncio.wait_for(asyncio.gather(*(send(nbytes) for nbytes in (10, 5000, 20, 30))), DEADLINE_S)
    assert sent == [10, 5000, 20, 30]


async def test_a_cancelled_sender_holds_nobody_up() -> None:
    """Its turn goes to the next."""
    scheduler = SendScheduler(1000)
    await scheduler.acquire(1000)
    gone = asyncio.ensure_future(scheduler.acquire(1000))
    stays = asyncio.ensure_future(scheduler.acquire(1000))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait_for(stays, DEADLINE_S)
    await asyncio.wait_for(scheduler.acquire(1), DEADLINE_S)
