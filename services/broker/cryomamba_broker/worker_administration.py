"""Handlers of the requests of administrators about workers: list, drain, resume, remove."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from cryomamba.errors import AccessError
from cryomamba.wire import messages
from cryomamba.wire.requests import Empty
from cryomamba.wire.worker_requests import RemovedWorker, WorkerList, WorkerRef
from cryomamba_broker.authenticator import BusAuthenticator
from cryomamba_broker.core import Core
from cryomamba_broker.dispatch import Answer, Caller, Handler
from cryomamba_broker.store import Attempt
from cryomamba_broker.store.rows import fitting
from cryomamba_broker.store.worker_states import WorkerState

logger = logging.getLogger(__name__)


class WorkerAdministration:
    """Handlers that decide which workers are given jobs.

    Parameters
    ----------
    requeue : callable
        Puts the job of an attempt back into the queue, with a reason for people.
    """

    def __init__(
        self, core: Core, authenticator: BusAuthenticator, requeue: Callable[[Attempt, str], Awaitable[None]]
    ) -> None:
        self._core, self._authenticator, self._requeue = core, authenticator, requeue

    def handlers(self) -> Mapping[str, Handler]:
        """Return the handlers by request type."""
        return {
            messages.WORKER_LIST: self.list,
            messages.WORKER_DRAIN: self.drain,
            messages.WORKER_RESUME: self.resume,
            messages.WORKER_REMOVE: self.remove,
        }

    async def list(self, _: Empty, caller: Caller) -> Answer:
        """Return the connected workers."""
        _require_administrator(caller)
        return Answer(WorkerList(workers=fitting(self._core.workers.infos())).model_dump(mode="json"))

    async def drain(self, request: WorkerRef, caller: Caller) -> Answer:
        """Let a worker end its job and take no other."""
        return await self._set(request.worker, "drained", caller)

    async def resume(self, request: WorkerRef, caller: Caller) -> Answer:
        """Let a drained worker take jobs again."""
        return await self._set(request.worker, None, caller)

    async def _set(self, worker: str, state: WorkerState | None, caller: Caller) -> Answer:
        _require_administrator(caller)
        self._core.workers.info(worker)
        await self._store_state(worker, state)
        logger.info("Worker %s %s.", worker, "takes jobs again" if state is None else "is drained")
        self._core.claims.wake_all()
        return Answer(self._core.workers.info(worker).model_dump(mode="json"))

    async def remove(self, request: WorkerRef, caller: Caller) -> Answer:
        """Refuse a worker from now on, revoke its key if it is its own, and requeue its job at once."""
        _require_administrator(caller)
        worker = request.worker
        key = self._core.workers.key_of(worker)
        await self._store_state(worker, "removed")
        name = await asyncio.to_thread(self._authenticator.revoke, key) if key else ""
        self._core.workers.drop(worker)
        self._core.metrics.workers.remove(worker)
        held = await self._core.store.call(lambda store: store.leases.held_by(worker))
        if held is not None:
            await self._requeue(held, "Its worker was removed by an administrator.")
        self._core.claims.wake_all()
        logger.warning("Worker %s is removed%s.", worker, f", and its key '{name}' is revoked" if name else "")
        removed = RemovedWorker(worker=worker, job_id=None if held is None else held.job_id, key=name)
        return Answer(removed.model_dump(mode="json"))

    async def _store_state(self, worker: str, state: WorkerState | None) -> None:
        await self._core.store.call(lambda store: store.worker_states.set(worker, state))
        self._core.workers.states.set(worker, state)


def _require_administrator(caller: Caller) -> None:
    if not caller.visibility.is_everything:
        raise AccessError(
            "The workers are for administrators.",
            hint="Ask with the key of an administrator, on behalf of all owners ('*').",
        )
