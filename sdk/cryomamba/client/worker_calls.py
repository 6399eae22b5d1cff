"""The requests about workers: of each the form on the bus, the form over HTTP, and the record that answers it."""

from __future__ import annotations

from urllib.parse import quote

from pydantic import ValidationError

from cryomamba.client.calls import BusForm, Call, HttpForm
from cryomamba.errors import no_such_worker
from cryomamba.models.server import WorkerInfo
from cryomamba.wire import messages
from cryomamba.wire.worker_requests import RemovedWorker, WorkerList, WorkerRef


def list_workers() -> Call[WorkerList]:
    """Ask for the connected workers."""
    return Call(WorkerList, BusForm(messages.WORKER_LIST), HttpForm("GET", "/v1/workers"))


def drain_worker(worker: str) -> Call[WorkerInfo]:
    """Let a worker end its job and take no other."""
    ref = _ref(worker)
    return Call(WorkerInfo, BusForm(messages.WORKER_DRAIN, ref), HttpForm("POST", f"{_path(ref)}/drain"))


def resume_worker(worker: str) -> Call[WorkerInfo]:
    """Let a drained worker take jobs again."""
    ref = _ref(worker)
    return Call(WorkerInfo, BusForm(messages.WORKER_RESUME, ref), HttpForm("POST", f"{_path(ref)}/resume"))


def remove_worker(worker: str) -> Call[RemovedWorker]:
    """Refuse a worker from now on, and put its job back into the queue."""
    ref = _ref(worker)
    http = HttpForm("DELETE", _path(ref), repeatable=False)
    return Call(RemovedWorker, BusForm(messages.WORKER_REMOVE, ref), http)


def _ref(worker: str) -> WorkerRef:
    """Return the body that names a worker; NotFoundError if none can have this name."""
    try:
        return WorkerRef(worker=worker)
    except ValidationError:
        raise no_such_worker(worker) from None


def _path(ref: WorkerRef) -> str:
    return f"/v1/workers/{quote(ref.worker, safe='')}"
