"""A server, its workers and its load."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from cryomamba.engines.info import EngineInfo
from cryomamba.models.base import Record


class WorkerInfo(Record):
    """An inference service, or a slot of one, that is connected to the broker.

    Attributes
    ----------
    engines : tuple of str
        Those that can run on it.
    job_id : str or None
        The job that it runs; administrators alone learn it.
    drained : bool
        Whether it takes no further jobs.
    memory_bytes : int
        Memory that a job may use on it; 0 if that is not known.
    gpus : tuple of str
        Names of its graphics processors.
    folders : tuple of str
        The allowed input directories that it can read; administrators alone learn them.
    """

    worker: str
    host: str
    pid: int
    version: str
    engines: tuple[str, ...]
    job_id: str | None = None
    seen_at: datetime
    drained: bool = False
    memory_bytes: int = 0
    gpus: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()


class ServerInfo(Record):
    """Version, status, engines and workers of a server."""

    service: str = "cryomamba"
    version: str
    protocol: int
    status: Literal["ok", "degraded"]
    epoch: int
    timestamp: datetime
    started_at: datetime
    default_engine: str | None = None
    engines: tuple[EngineInfo, ...] = ()
    workers: tuple[WorkerInfo, ...] = ()
    endpoints: dict[str, str] = Field(default_factory=dict)


class Activity(Record):
    """How busy a server is, for monitoring.

    Attributes
    ----------
    workers : int
        Inference services that are connected.
    pending, running : int
        Jobs in these states.
    oldest_pending_s : float
        How long the oldest pending job has waited, in seconds; 0 if there is none.
    ended : dict
        Jobs that ended since the broker started, by final state.
    """

    workers: int
    pending: int
    running: int
    oldest_pending_s: float
    ended: dict[str, int]
