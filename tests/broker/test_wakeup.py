"""Waiting with a deadline, and the renewals that wait for a change of their job."""

from __future__ import annotations

import asyncio

from cryomamba_broker.wakeup import PendingRenewals, Wakeup


async def test_a_wait_ends_when_it_is_woken_or_at_its_deadline() -> None:
    """A wake that came before the wait counts, once."""
    wakeup, now = Wakeup(), asyncio.get_running_loop().time
    assert not await wakeup.wait(now())
    wakeup.wake()
    assert await wakeup.wait(now() + 60)
    waiting = asyncio.create_task(wakeup.wait(now() + 60))
    await asyncio.sleep(0)
    wakeup.wake()
    assert await waiting


async def test_a_change_wakes_the_renewals_of_its_job_alone() -> None:
    """Two workers may wait for the same job, when one of them has lost it; a job without renewals is no error."""
    renewals, now = PendingRenewals(), asyncio.get_running_loop().time
    with renewals.waiting("job") as first, renewals.waiting("job") as second, renewals.waiting("other") as other:
        renewals.wake("job")
        assert await first.wait(now() + 60)
        assert await second.wait(now() + 60)
        assert not await other.wait(now())
    renewals.wake("job")
