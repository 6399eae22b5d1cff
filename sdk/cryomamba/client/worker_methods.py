"""What administrators can ask about workers."""

from __future__ import annotations

from cryomamba.client import worker_calls
from cryomamba.client.transport import Transport
from cryomamba.models.server import WorkerInfo
from cryomamba.wire.worker_requests import RemovedWorker


class WorkerMethods:
    """The requests about workers, for one event loop. They raise AccessError for everybody but administrators."""

    transport: Transport

    async def workers(self) -> list[WorkerInfo]:
        """Return the connected workers, sorted by name."""
        return list((await self.transport.call(worker_calls.list_workers())).workers)

    async def drain_worker(self, worker: str) -> WorkerInfo:
        """Let a worker end its job and take no other, until it is resumed or started again.

        Raises
        ------
        NotFoundError
            No such worker is connected.
        """
        return await self.transport.call(worker_calls.drain_worker(worker))

    async def resume_worker(self, worker: str) -> WorkerInfo:
        """Let a drained worker take jobs again; raises as :meth:`drain_worker` does."""
        return await self.transport.call(worker_calls.resume_worker(worker))

    async def remove_worker(self, worker: str) -> RemovedWorker:
        """Refuse a worker from now on; its job is in the queue again at once.

        Its key is revoked, unless it is one that came with the data directory or other workers use it too.

        Raises
        ------
        NotFoundError
            No such worker is connected.
        """
        return await self.transport.call(worker_calls.remove_worker(worker))
