"""What workers ask of the broker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from cryomamba.access.visibility import Visibility
from cryomamba.errors import CryoMambaError
from cryomamba.wire.requests import Claim, Claimed, Fail, Finish, ProgressReport, Release, Renew, Renewed, WorkerHello
from cryomamba_broker.claim_queue import PendingClaim
from cryomamba_broker.core import Core
from cryomamba_broker.counters import Throttle
from cryomamba_broker.dispatch import Answer, Handler, job_answer
from cryomamba_broker.store import Attempt, Change, Lease
from cryomamba_broker.store.rows import to_time

logger = logging.getLogger(__name__)


class WorkerRequests:
    """Handlers of the requests that take, hold and give back leases, and the care for those that run out.

    Parameters
    ----------
    core : Core
        What all handlers share.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._log = Throttle(logger, interval_s=60.0)

    def handlers(self) -> Mapping[str, Handler]:
        """Return the handlers by request type."""
        return {
            "worker.hello": self.hello,
            "job.claim": self.claim,
            "job.renew": self.renew,
            "job.progress": self.progress,
            "job.finish": self.finish,
            "job.fail": self.fail,
            "job.release": self.release,
        }

    async def hello(self, request: WorkerHello, _: Visibility) -> Answer:
        """Take in a worker and its engines."""
        clock = self._core.clock
        engines = self._core.workers.hello(request, at=to_time(clock.wall()), steady=clock.steady())
        await self._core.store.call(lambda store: store.engines.save(engines))
        logger.info("Worker %s is there with %d engines.", request.worker, len(request.engines))
        return Answer({"lease_s": self._core.lease_s, "epoch": self._core.epoch})

    async def claim(self, request: Claim, _: Visibility) -> Answer:
        """Give a worker a job, or let it wait for one."""
        deadline = asyncio.get_running_loop().time() + request.wait_s
        with self._core.waiting.place(request.worker) as place:
            while not place.replaced:
                self._seen(request.worker, None)
                held = await self._next_job(request)
                if held is not None:
                    return await self._hand_out(request.worker, held, place)
                if self._core.waiting.full or not await place.wait(deadline):
                    break
        return Answer(Claimed().model_dump(mode="json"))

    async def _next_job(self, request: Claim) -> Lease | None:
        # At the end nothing new is handed out, but a worker may learn what it holds, to give it back.
        engines = () if self._core.waiting.closed else request.engines
        return await self._core.store.call(lambda store: store.leases.claim(request.worker, engines))

    async def _hand_out(self, worker: str, held: Lease, place: PendingClaim) -> Answer:
        record = held.record
        self._core.fence.raise_to(record.job_id, record.attempt)
        await self._core.announce(Change(record, held.event))
        self._seen(worker, record.job_id)
        claimed = Claimed(job=record, attempt=record.attempt, lease_s=self._core.lease_s, focus=held.focus)

        async def undo() -> None:
            if self._core.waiting.is_newest(worker, place):
                await self._take_back(Attempt(record.job_id, worker, record.attempt))

        return Answer(claimed.model_dump(mode="json"), job=record.job_id, attempt=record.attempt, undo=undo)

    async def _take_back(self, attempt: Attempt) -> None:
        try:
            await self._core.change(lambda store: store.leases.release(attempt))
        except CryoMambaError as error:
            # Its lease is over already, or will run out.
            logger.info("Job %s could not be taken back at once: %s", attempt.job_id, error.message)
            return
        self._core.waiting.wake_all()

    async def renew(self, request: Renew, _: Visibility) -> Answer:
        """Extend a lease; the answer comes when the worker must stop or look elsewhere, else after `wait_s`."""
        attempt = _attempt(request)
        deadline = asyncio.get_running_loop().time() + request.wait_s
        # The worker is alive even if the store cannot be written to just now.
        self._seen(request.worker, request.job)
        with self._core.renewals.waiting(request.job) as changes:
            lease = await self._core.store.call(lambda store: store.leases.renew(attempt))
            while (lease.cancel, lease.focus) == (request.cancelling, request.focus) and await changes.wait(deadline):
                lease = await self._core.store.call(lambda store: store.leases.status(attempt))
        renewed = Renewed(cancel=lease.cancel, lease_s=self._core.lease_s, focus=lease.focus)
        return Answer(renewed.model_dump(mode="json"), job=request.job, attempt=request.attempt)

    async def progress(self, request: ProgressReport, _: Visibility) -> Answer:
        """Keep and publish how far an attempt is; nothing is written to the disk."""
        attempt = _attempt(request)
        self._seen(request.worker, request.job)
        owner = await self._core.store.call(lambda store: store.leases.report(attempt, request.progress))
        await self._core.publisher.publish_progress(request.job, owner, request.attempt, request.progress)
        return Answer({}, job=request.job, attempt=request.attempt)

    async def finish(self, request: Finish, _: Visibility) -> Answer:
        """Complete a job."""
        attempt = _attempt(request)
        self._seen(request.worker, None)
        record = await self._core.change(lambda store: store.leases.finish(attempt, request.artifacts))
        return job_answer(record)

    async def fail(self, request: Fail, _: Visibility) -> Answer:
        """End an attempt with an error."""
        attempt = _attempt(request)
        self._seen(request.worker, None)
        record = await self._core.change(lambda store: store.leases.fail(attempt, request.error))
        return job_answer(record)

    async def release(self, request: Release, _: Visibility) -> Answer:
        """Take a lease back."""
        attempt = _attempt(request)
        self._seen(request.worker, None)
        record = await self._core.change(lambda store: store.leases.release(attempt))
        self._core.waiting.wake_all()
        return job_answer(record)

    async def look_after(self, interval_s: float) -> None:
        """End leases that have run out, and forget workers that are silent, for ever."""
        while True:
            await asyncio.sleep(interval_s)
            try:
                await self._end_overdue()
            except CryoMambaError as error:
                self._log.warning("Leases could not be looked after: %s", error)
            for worker in self._core.waiting.workers():
                self._seen(worker, None)
            for worker in self._core.workers.prune(self._core.clock.steady()):
                logger.info("Worker %s has been silent and is not counted any more.", worker)
            self._core.waiting.wake_all()

    async def _end_overdue(self) -> None:
        for change in await self._core.store.call(lambda store: store.leases.expire()):
            await self._core.announce(change)
            logger.warning("A worker was lost; job %s is %s.", change.record.job_id, change.record.state)

    def _seen(self, worker: str, job_id: str | None) -> None:
        clock = self._core.clock
        self._core.workers.seen(worker, at=to_time(clock.wall()), steady=clock.steady(), job_id=job_id)


def _attempt(request: Renew | ProgressReport | Finish | Fail | Release) -> Attempt:
    return Attempt(request.job, request.worker, request.attempt)
