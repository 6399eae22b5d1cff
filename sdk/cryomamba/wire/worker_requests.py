"""The bodies of requests about workers, for administrators."""

from __future__ import annotations

from pydantic import Field

from cryomamba.models.base import Record, Request
from cryomamba.models.server import WorkerInfo


class WorkerRef(Request):
    """The worker that a request is about: ``worker.drain``, ``worker.resume`` and ``worker.remove``."""

    worker: str = Field(min_length=1, max_length=128)


class WorkerList(Record):
    """The reply to ``worker.list``: the connected workers, sorted by name, as many as fit into a message."""

    workers: tuple[WorkerInfo, ...]


class RemovedWorker(Record):
    """The reply to ``worker.remove``.

    Attributes
    ----------
    worker : str
    job_id : str or None
        The job that it held, which is in the queue again.
    key : str
        Name of its key, which is revoked; empty where the broker has no keys, or other workers use the same one.
    """

    worker: str
    job_id: str | None = None
    key: str = ""
