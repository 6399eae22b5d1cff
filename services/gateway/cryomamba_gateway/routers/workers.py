"""The workers of the server, for administrators: list, drain, resume, remove."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path

from cryomamba.client import worker_calls
from cryomamba.errors import ErrorCode
from cryomamba.models.server import WorkerInfo
from cryomamba.wire.worker_requests import RemovedWorker, WorkerList
from cryomamba_gateway.context import Caller, Context
from cryomamba_gateway.examples import BUS, CHANGE, WORKER_LINKS, errors, ok

router = APIRouter(prefix="/v1/workers", tags=["workers"])

WorkerName = Annotated[str, Path(min_length=1, max_length=128, pattern=r"^[^/]+$", description="Name of the worker.")]
_WORKER: Final = (ErrorCode.NOT_FOUND, *CHANGE, *BUS)


@router.get(
    "", operation_id="listWorkers", responses={200: ok("The connected workers"), **errors(ErrorCode.FORBIDDEN, *BUS)}
)
async def list_workers(gateway: Context, caller: Caller) -> WorkerList:
    """List the connected workers with their engines, memory, graphics processors and folders."""
    return await gateway.bus.call(caller.visibility, worker_calls.list_workers())


@router.post(
    "/{worker}/drain",
    operation_id="drainWorker",
    responses={200: ok("The worker takes no further jobs", links=WORKER_LINKS), **errors(*_WORKER)},
)
async def drain_worker(gateway: Context, caller: Caller, worker: WorkerName) -> WorkerInfo:
    """Let a worker end its job and take no other, until it is resumed or started again."""
    return await gateway.bus.call(caller.visibility, worker_calls.drain_worker(worker))


@router.post(
    "/{worker}/resume",
    operation_id="resumeWorker",
    responses={200: ok("The worker takes jobs again", links=WORKER_LINKS), **errors(*_WORKER)},
)
async def resume_worker(gateway: Context, caller: Caller, worker: WorkerName) -> WorkerInfo:
    """Let a drained worker take jobs again."""
    return await gateway.bus.call(caller.visibility, worker_calls.resume_worker(worker))


@router.delete(
    "/{worker}",
    operation_id="removeWorker",
    responses={200: ok("The worker is refused, and its job is in the queue again"), **errors(*_WORKER)},
)
async def remove_worker(gateway: Context, caller: Caller, worker: WorkerName) -> RemovedWorker:
    """Refuse a worker from now on, put its job back into the queue, and revoke its key if no other worker uses it."""
    return await gateway.bus.call(caller.visibility, worker_calls.remove_worker(worker))
