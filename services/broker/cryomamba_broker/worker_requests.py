"""Handlers of the requests of workers, and the expiry of their leases."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from cryomamba.access.visibility import Visibility
from cryomamba.errors import CryoMambaError
from cryomamba.wire import messages
from cryomamba.wire.requests import (
    Claim,
    Claimed,
    Fail,
    Finish,
    ProgressReport,
    Release,
    Renew,
    Renewed,
    WorkerHello,
    WorkerStatus,
)
from cryomamba.wire.trace_context import use_trace
from cryomamba_broker.claim_queue import PendingClaim
from cryomamba_broker.core import Core
from cryomamba_broker.counters import Throttle
from cryomamba_broker.dispatch import Answer, Handler, job_answer
from cryomamba_broker.store import Attempt, Change, Lease, Leases
from cryomamba_broker.store.rows import to_time

logger = logging.getLogger(__name__)


class WorkerRequests:
    """Handlers of the requests that claim, renew and end leases, and the task that ends expired ones."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._log = Throttle(logger, interval_s=60.0)

    def handlers(self) -> Mapping[str, Handler]:
        """Return the handlers by request type."""
        return {
            messages.WORKER_HELLO: self.hello,
            messages.WORKER_STATUS: self.status,
            messages.JOB_CLAIM: self.claim,
            messages.JOB_RENEW: self.renew,
            messages.PROGRESS: self.progress,
            messages.JOB_FINISH: self.finish,
            messages.JOB_FAIL: self.fail,
            messages.JOB_RELEASE: self.release,
        }

    async def hello(self, request: WorkerHello, _: Visibility) -> Answer:
        """Register a worker and its engines."""
        clock = self._core.clock
        engines = self._core.workers.hello(request, at=to_time(clock.wall()), steady=clock.steady())
        await self._core.store.call(lambda store: store.engines.save(engines))
        logger.info("Worker %s has connected with %d engines.", request.worker, len(request.engines))
        self._core.metrics.workers.connections.inc()
        return Answer({"lease_s": self._core.lease_s, "epoch": self._core.epoch})

    async def status(self, request: WorkerStatus, _: Visibility) -> Answer:
        """Enter what a registered worker reports of itself into the metrics."""
        if self._core.workers.is_connected(request.worker):
            self._core.metrics.workers.report(request)
        return Answer({})

    async def claim(self, request: Claim, _: Visibility) -> Answer:
        """Lease a job to a worker; if there is none, wait for one."""
        deadline = asyncio.get_running_loop().time() + request.wait_s
        with self._core.claims.pending(request.worker) as claim:
            while not claim.replaced:
                self._seen(request.worker, None)
                lease = await self._next_job(request)
                if lease is not None:
                    # From here on this is about the job, and belongs to the request that submitted it.
                    with use_trace(lease.trace):
                        return await self._claimed(request.worker, lease, claim)
                if self._core.claims.full or not await claim.wait(deadline):
                    break
        return Answer(Claimed().model_dump(mode="json"))

    async def _next_job(self, request: Claim) -> Lease | None:
        # During shutdown no further job is leased, but a worker learns which one it holds, so that it can release it.
        engines = () if self._core.claims.closed else request.engines
        return await self._core.store.call(lambda store: store.leases.claim(request.worker, engines))

    async def _claimed(self, worker: str, lease: Lease, claim: PendingClaim) -> Answer:
        record = lease.record
        self._core.fence.advance(record.job_id, record.attempt)
        await self._core.announce(Change(record, lease.event))
        self._seen(worker, record.job_id)
        claimed = Claimed(job=record, attempt=record.attempt, lease_s=self._core.lease_s, focus=lease.focus)

        async def undo() -> None:
            if self._core.claims.is_newest(worker, claim):
                await self._requeue(Attempt(record.job_id, worker, record.attempt))

        return Answer(
            claimed.model_dump(mode="json"), job=record.job_id, attempt=record.attempt, trace=lease.trace, undo=undo
        )

    async def _requeue(self, attempt: Attempt) -> None:
        try:
            await self._core.change(lambda store: store.leases.release(attempt))
        except CryoMambaError as error:
            # The lease has ended already, or will expire.
            logger.info("Job %s could not be requeued at once: %s", attempt.job_id, error.message)
            return
        self._core.claims.wake_all()

    async def renew(self, request: Renew, _: Visibility) -> Answer:
        """Extend a lease; reply when the job is cancelled or its focus moves, else after `wait_s`."""
        attempt = _attempt(request)
        deadline = asyncio.get_running_loop().time() + request.wait_s
        # The worker is alive even if the store cannot be written at the moment.
        self._seen(request.worker, request.job)
        with self._core.renewals.waiting(request.job) as changes:
            lease = await self._core.store.call(lambda store: store.leases.renew(attempt))
            while (lease.cancel, lease.focus) == (request.cancelling, request.focus) and await changes.wait(deadline):
                lease = await self._core.store.call(lambda store: store.leases.status(attempt))
        renewed = Renewed(cancel=lease.cancel, lease_s=self._core.lease_s, focus=lease.focus)
        return Answer(renewed.model_dump(mode="json"), job=request.job, attempt=request.attempt)

    async def progress(self, request: ProgressReport, _: Visibility) -> Answer:
        """Publish the progress of an attempt and keep it in memory; nothing is written to the disk."""
        attempt = _attempt(request)
        self._seen(request.worker, request.job)
        reported = await self._core.store.call(lambda store: store.leases.report(attempt, request.progress))
        self._core.metrics.tiles.labels(reported.engine).inc(reported.new_tiles)
        await self._core.publisher.publish_progress(request.job, reported.owner, request.attempt, request.progress)
        return Answer({}, job=request.job, attempt=request.attempt)

    async def finish(self, request: Finish, _: Visibility) -> Answer:
        """Complete a job."""
        return await self._end(request, lambda leases, attempt: leases.finish(attempt, request.artifacts))

    async def fail(self, request: Fail, _: Visibility) -> Answer:
        """End an attempt with an error."""
        return await self._end(request, lambda leases, attempt: leases.fail(attempt, request.error))

    async def release(self, request: Release, _: Visibility) -> Answer:
        """End a lease whose worker shuts down; the job is queued again."""
        answer = await self._end(request, Leases.release)
        self._core.claims.wake_all()
        return answer

    async def _end(self, request: Finish | Fail | Release, end: Callable[[Leases, Attempt], Change]) -> Answer:
        attempt = _attempt(request)
        self._seen(request.worker, None)
        return job_answer(await self._core.change(lambda store: end(store.leases, attempt)))

    async def expire_leases(self, interval_s: float) -> None:
        """End expired leases and drop silent workers, at an interval, forever."""
        while True:
            await asyncio.sleep(interval_s)
            try:
                await self._end_expired()
            except CryoMambaError as error:
                self._log.warning("Expired leases could not be ended: %s", error)
            for worker in self._core.claims.workers():
                self._seen(worker, None)
            for worker in self._core.workers.prune(self._core.clock.steady()):
                self._core.metrics.workers.remove(worker)
                logger.info("Worker %s has been silent for too long and is dropped.", worker)
            self._core.claims.wake_all()

    async def _end_expired(self) -> None:
        for change in await self._core.store.call(lambda store: store.leases.expire()):
            await self._core.announce(change)
            about = {"job_id": change.record.job_id, "attempt": change.record.attempt}
            logger.warning("A worker was lost; job %s is %s.", change.record.job_id, change.record.state, extra=about)

    def _seen(self, worker: str, job_id: str | None) -> None:
        clock = self._core.clock
        self._core.workers.seen(worker, at=to_time(clock.wall()), steady=clock.steady(), job_id=job_id)


def _attempt(request: Renew | ProgressReport | Finish | Fail | Release) -> Attempt:
    return Attempt(request.job, request.worker, request.attempt)
