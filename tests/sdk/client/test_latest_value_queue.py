"""A slow reader sees the newest of each key, every message without one, and costs bounded memory."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from cryomamba.client.latest_value_queue import LatestValueQueue


async def drained(queue: LatestValueQueue[int]) -> list[tuple[int, int]]:
    queue.close()
    got = []
    while (item := await queue.get()) is not None:
        got.append(item)
    return got


@given(st.lists(st.tuples(st.sampled_from([None, "preview", "progress"]), st.integers())))
def test_newest_of_each_key_and_all_without(messages: list[tuple[str | None, int]]) -> None:
    """Whatever comes: keyless ones stay in order, of each key only the newest stays, and the count adds up."""

    async def scenario() -> list[tuple[int, int]]:
        queue: LatestValueQueue[int] = LatestValueQueue()
        for key, value in messages:
            queue.put(value, key=key)
        assert len(queue) <= sum(key is None for key, _ in messages) + 2
        return await drained(queue)

    got = asyncio.run(scenario())
    values = [value for value, _ in got]
    keyless = [value for key, value in messages if key is None]
    newest = {key: value for key, value in messages if key is not None}
    rest = list(values)
    for value in [*keyless, *newest.values()]:
        rest.remove(value)
    assert rest == []
    assert sum(replaced for _, replaced in got) == len(messages) - len(got)


async def test_a_waiting_reader_is_woken() -> None:
    """A reader that waits gets the next message, and None once the queue is closed."""
    queue: LatestValueQueue[str] = LatestValueQueue()
    reader = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.put("now")
    assert await reader == ("now", 0)
    reader = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.close()
    assert await reader is None


async def test_a_closed_queue_accepts_nothing() -> None:
    """What comes after the end is dropped."""
    queue: LatestValueQueue[str] = LatestValueQueue()
    queue.close()
    queue.put("late")
    assert len(queue) == 0
