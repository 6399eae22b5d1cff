"""The queue of claims that wait for a job."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

from cryomamba_broker.claim_queue import PENDING_MAX, WORKERS_REMEMBERED, ClaimQueue


async def test_a_newer_claim_replaces_the_older_and_wakes_it() -> None:
    """The older claim ends its wait and gets no job; the newer one goes on waiting."""
    queue, loop = ClaimQueue(), asyncio.get_running_loop()
    with queue.pending("w") as older:
        waiting = asyncio.create_task(older.wait(loop.time() + 60))
        with queue.pending("w") as newer:
            assert await waiting
            assert (older.replaced, newer.replaced) == (True, False)
            assert queue.is_newest("w", newer)
            assert not queue.is_newest("w", older)
            assert queue.workers() == ("w",)


async def test_a_job_wakes_every_claim_also_one_that_does_not_wait_yet() -> None:
    """A claim that looks at the store while a job is submitted does not miss it."""
    queue, loop = ClaimQueue(), asyncio.get_running_loop()
    with queue.pending("a") as one, queue.pending("b") as two:
        queue.wake_all()
        assert await one.wait(loop.time() + 60)
        assert await two.wait(loop.time() + 60)
        assert not await one.wait(loop.time())


def test_claims_leave_the_queue_and_their_number_is_bounded() -> None:
    """A claim that was served is not pending, and the names of old workers are forgotten."""
    queue = ClaimQueue()
    with ExitStack() as stack:
        claims = [stack.enter_context(queue.pending(str(number))) for number in range(PENDING_MAX)]
        assert queue.full
    assert not queue.full
    assert queue.workers() == ()
    assert queue.is_newest("0", claims[0])
    for number in range(WORKERS_REMEMBERED):
        with queue.pending(f"other-{number}"):
            pass
    assert not queue.is_newest("0", claims[0])
