"""Handlers of the requests of workers, and the expiry of their leases."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from cryomamba.access.visibility import Visibility
from cryomamba.errors import CryoMambaError
from cryomamba.masks.strokes import Strokes
from cryomamba.wire import messages
from cryomamba.wire.model_requests import WorkerModels
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
from cryomamba_broker.admission import VolumeRoots
from cryomamba_broker.artifacts import accept_files
from cryomamba_broker.claim_queue import PendingClaim
from cryomamba_broker.core import Core
from cryomamba_broker.dispatch import Answer, Caller, Handler, job_answer
from cryomamba_broker.handed_back import NOT_SEEN, are_files_visible, concerns_worker, has_larger, not_seen_reason
from cryomamba_broker.store import Attempt, Change, Lease, Leases
from cryomamba_broker.store.rows import to_time
from cryomamba_server.attempt_files import attempt_folder, attempt_folders, remove_attempt_folder
from cryomamba_server.throttle import Throttle

_LEFTOVERS_S: Final = 3600.0

logger = logging.getLogger(__name__)


class WorkerRequests:
    """Handlers of the requests that claim, renew and end leases, and the task that ends expired ones.

    Parameters
    ----------
    roots : VolumeRoots
        The folders of inputs and of finished files.
    files : ThreadPoolExecutor
        For work with files, which blocks.
    """

    def __init__(self, core: Core, *, roots: VolumeRoots, files: ThreadPoolExecutor) -> None:
        self._core, self._roots, self._artifacts, self._files = core, roots, roots.artifacts, files
        self._log = Throttle(logger, interval_s=60.0)

    def handlers(self) -> Mapping[str, Handler]:
        """Return the handlers by request type."""
        return {
            messages.WORKER_HELLO: self.hello,
            messages.WORKER_STATUS: self.status,
            messages.WORKER_MODELS: self.models,
            messages.JOB_CLAIM: self.claim,
            messages.JOB_RENEW: self.renew,
            messages.PROGRESS: self.progress,
            messages.JOB_FINISH: self.finish,
            messages.JOB_FAIL: self.fail,
            messages.JOB_RELEASE: self.release,
        }

    async def hello(self, request: WorkerHello, caller: Caller) -> Answer:
        """Register a worker and its engines."""
        clock = self._core.clock
        engines = self._core.workers.hello(request, at=to_time(clock.wall()), steady=clock.steady(), key=caller.key)
        await self._core.store.call(lambda store: store.engines.save(engines))
        logger.info("Worker %s has connected with %d engines.", request.worker, len(request.engines))
        self._core.metrics.workers.connections.inc()
        return Answer({"lease_s": self._core.lease_s, "epoch": self._core.epoch})

    async def models(self, request: WorkerModels, caller: Caller) -> Answer:
        """Note the trained models that a worker has."""
        self._core.workers.require_own_name(request.worker, caller.key)
        self._core.workers.announce(request.worker, request.models, first=request.first)
        self._core.claims.wake_all()
        return Answer({})

    async def status(self, request: WorkerStatus, caller: Caller) -> Answer:
        """Enter what a registered worker reports of itself into the metrics."""
        self._core.workers.require_own_name(request.worker, caller.key)
        if self._core.workers.is_connected(request.worker):
            self._core.metrics.workers.report(request)
        return Answer({})

    async def claim(self, request: Claim, caller: Caller) -> Answer:
        """Lease a job to a worker; if there is none, wait for one."""
        self._core.workers.require_own_name(request.worker, caller.key)
        deadline = asyncio.get_running_loop().time() + request.wait_s
        with self._core.claims.pending(request.worker) as claim:
            while not claim.replaced:
                self._core.workers.states.require_not_removed(request.worker)
                self._seen(request.worker, None)
                lease = await self._next_job(request, caller.key)
                if lease is not None:
                    # From here on this is about the job, and belongs to the request that submitted it.
                    with use_trace(lease.trace):
                        return await self._claimed(request.worker, caller.key, lease, claim)
                if self._core.claims.full or not await claim.wait(deadline):
                    break
        return Answer(Claimed().model_dump(mode="json"))

    async def _next_job(self, request: Claim, key: str) -> Lease | None:
        # During shutdown no further job is leased, but a worker learns which one it holds, so that it can release it.
        # The same holds for a worker that is drained.
        workers = self._core.workers
        engines = () if self._core.claims.closed or workers.states.is_drained(request.worker) else request.engines
        models, declined = workers.models_of(request.worker), tuple(sorted(workers.states.declined(request.worker)))
        return await self._core.store.call(
            lambda store: store.leases.claim(request.worker, engines, key, models, declined)
        )

    async def _claimed(self, worker: str, key: str, lease: Lease, claim: PendingClaim) -> Answer:
        record = lease.record
        self._core.fence.advance(record.job_id, record.attempt, key)
        await self._core.announce(Change(record, lease.event))
        self._seen(worker, record.job_id)
        claimed = Claimed(
            job=record, attempt=record.attempt, lease_s=self._core.lease_s, focus=lease.focus, strokes=lease.strokes
        )

        async def undo() -> None:
            if self._core.claims.is_newest(worker, claim):
                await self.requeue(Attempt(record.job_id, worker, record.attempt, key))

        return Answer(
            claimed.model_dump(mode="json"), job=record.job_id, attempt=record.attempt, trace=lease.trace, undo=undo
        )

    async def requeue(self, attempt: Attempt, reason: str = "The worker could not be given the job.") -> None:
        """Put the job of an attempt back into the queue; the attempt does not count."""
        try:
            await self._core.change(lambda store: store.leases.release(attempt, reason))
        except CryoMambaError as error:
            # The lease has ended already, or will expire.
            logger.info("Job %s could not be requeued at once: %s", attempt.job_id, error.message)
            return
        self._remove_files(attempt.job_id, attempt.number)
        self._core.claims.wake_all()

    async def renew(self, request: Renew, caller: Caller) -> Answer:
        """Extend a lease; reply when the job is cancelled, refocused or repainted, else after `wait_s`."""
        attempt = _attempt(request, caller)
        deadline = asyncio.get_running_loop().time() + request.wait_s
        self._core.workers.require_own_name(request.worker, caller.key)
        # The worker is alive even if the store cannot be written at the moment.
        self._seen(request.worker, request.job)
        with self._core.renewals.waiting(request.job) as changes:
            lease = await self._core.store.call(lambda store: store.leases.renew(attempt))
            known = request.cancelling, request.focus, request.strokes
            while (lease.cancel, lease.focus, lease.strokes) == known and await changes.wait(deadline):
                lease = await self._core.store.call(lambda store: store.leases.status(attempt))
        renewed = Renewed(
            cancel=lease.cancel,
            lease_s=self._core.lease_s,
            focus=lease.focus,
            strokes=lease.strokes,
            painted=Strokes.model_validate(lease.painted) if lease.strokes > request.strokes else None,
        )
        return Answer(renewed.model_dump(mode="json"), job=request.job, attempt=request.attempt)

    async def progress(self, request: ProgressReport, caller: Caller) -> Answer:
        """Publish the progress of an attempt and keep it in memory; nothing is written to the disk."""
        attempt = _attempt(request, caller)
        self._core.workers.require_own_name(request.worker, caller.key)
        self._seen(request.worker, request.job)
        reported = await self._core.store.call(lambda store: store.leases.report(attempt, request.progress))
        self._core.metrics.tiles.labels(reported.engine).inc(reported.new_tiles)
        self._core.publisher.publish_progress(request.job, reported.owner, request.attempt, request.progress)
        return Answer({}, job=request.job, attempt=request.attempt)

    async def finish(self, request: Finish, caller: Caller) -> Answer:
        """Complete a job, after a check of the files that the attempt has published."""

        def accept() -> None:
            accept_files(self._artifacts, request.job, request.attempt, request.artifacts)

        def finish(leases: Leases, held: Attempt) -> Change:
            return leases.finish(
                held,
                request.artifacts,
                accept,
                warnings=request.warnings,
                estimates=request.estimates,
                strokes=request.strokes,
            )

        answer = await self._end(request, caller, finish)
        # Of a job that was queued again the files have not been accepted.
        self._remove_files(request.job, request.attempt)
        self._core.claims.wake_all()
        return answer

    async def fail(self, request: Fail, caller: Caller) -> Answer:
        """End an attempt with an error; a job that only this worker cannot run is offered to the others."""
        reason = await self._handed_back(request)
        if reason:
            answer = await self._end(request, caller, lambda leases, attempt: leases.release(attempt, reason))
            self._core.claims.wake_all()
        else:
            answer = await self._end(request, caller, lambda leases, attempt: leases.fail(attempt, request.error))
        self._remove_files(request.job, request.attempt)
        return answer

    async def _handed_back(self, request: Fail) -> str:
        """Return why the worker, and not the job, is the reason of an error; empty if it is the job.

        The job is then not offered to the worker again. One whose files no worker sees waits for one that does.
        """
        error, workers, worker = request.error, self._core.workers, request.worker
        if not workers.is_connected(worker):
            return ""
        record = await self._core.store.call(lambda store: store.jobs.get(request.job, Visibility.everything()))
        loop = asyncio.get_running_loop()
        if error.code in NOT_SEEN:
            if not await loop.run_in_executor(self._files, are_files_visible, record, self._roots):
                return ""
            workers.states.decline(worker, request.job, not_seen_reason(record), self._core.clock.steady())
            return f"The worker {worker} cannot access {record.volume.name}."
        model = await self._core.store.call(lambda store: store.leases.model_of(request.job))
        job, others, memory = (request.job, record.engine, model), workers.others(worker), workers.memory_of(worker)
        if has_larger(error, others, job, memory) or (concerns_worker(error, record.params) and others.can_run(*job)):
            workers.states.decline(worker, request.job, error.message, self._core.clock.steady())
            return f"The worker {worker} cannot run it: {error.message}"
        return ""

    async def release(self, request: Release, caller: Caller) -> Answer:
        """End a lease whose worker shuts down; the job is queued again."""
        answer = await self._end(request, caller, Leases.release)
        self._remove_files(request.job, request.attempt)
        self._core.claims.wake_all()
        return answer

    async def _end(
        self, request: Finish | Fail | Release, caller: Caller, end: Callable[[Leases, Attempt], Change]
    ) -> Answer:
        attempt = _attempt(request, caller)
        self._core.workers.require_own_name(request.worker, caller.key)
        self._seen(request.worker, None)
        return job_answer(await self._core.change(lambda store: end(store.leases, attempt)))

    def _remove_files(self, job_id: str, attempt: int) -> None:
        """Remove what an attempt that did not finish has published, in a thread."""
        self._files.submit(remove_attempt_folder, attempt_folder(self._artifacts, job_id, attempt))

    async def remove_leftovers(self) -> None:
        """Remove files of attempts that have ended, at the start and then every hour, forever.

        A worker that was stopped while it published, and that never continued, may have left them.
        """
        while True:
            try:
                removed = await self._remove_leftovers()
            except (CryoMambaError, OSError) as error:
                logger.warning("Files of attempts that have ended could not be removed: %s", error)
            else:
                if removed:
                    logger.info("The files of %d attempts that did not finish were removed.", removed)
            await asyncio.sleep(_LEFTOVERS_S)

    async def _remove_leftovers(self) -> int:
        loop = asyncio.get_running_loop()
        # Folders first: one that is there now belongs to an attempt that runs, or to one that has ended.
        found = await loop.run_in_executor(self._files, attempt_folders, self._artifacts)
        running = await self._core.store.call(lambda store: store.leases.running())
        kept = {attempt_folder(self._artifacts, job_id, attempt) for job_id, attempt in running}
        ended = [folder for folder in found if folder not in kept]
        for folder in ended:
            await loop.run_in_executor(self._files, remove_attempt_folder, folder)
        return len(ended)

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
            self._remove_files(change.record.job_id, change.record.attempt)
            about = {"job_id": change.record.job_id, "attempt": change.record.attempt}
            logger.warning("A worker was lost; job %s is %s.", change.record.job_id, change.record.state, extra=about)

    def _seen(self, worker: str, job_id: str | None) -> None:
        clock = self._core.clock
        self._core.workers.seen(worker, at=to_time(clock.wall()), steady=clock.steady(), job_id=job_id)


def _attempt(request: Renew | ProgressReport | Finish | Fail | Release, caller: Caller) -> Attempt:
    return Attempt(request.job, request.worker, request.attempt, caller.key)
