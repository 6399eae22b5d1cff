"""An attempt at a job: how its worker names it, its lease, and whose it is."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from cryomamba.engines.strokes import STROKES
from cryomamba.errors import AccessError, ErrorCode
from cryomamba.models.jobs import JobError, JobEvent, JobRecord
from cryomamba.wire.requests import Zyx
from cryomamba.wire.trace_context import TraceContext


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt at a job, as the worker that holds it names it.

    Attributes
    ----------
    job_id, worker, number : str, str, int
        From the worker's message.
    key : str
        The public key with which the message came, empty on an open bus. An attempt belongs to the key that claimed it.
    """

    job_id: str
    worker: str
    number: int
    key: str = ""


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that was claimed.

    Attributes
    ----------
    record : JobRecord
    focus : tuple of float or None
        Where the viewer looks.
    trace : TraceContext
        Of the request that submitted the job.
    event : JobEvent or None
        Of a fresh claim.
    strokes : int
        How often the strokes have changed.
    """

    record: JobRecord
    focus: Zyx | None
    trace: TraceContext
    event: JobEvent | None = None
    strokes: int = 0


@dataclass(frozen=True, slots=True)
class Reported:
    """What the broker makes of a report of progress: whose job it is, its engine, and tiles since the last report."""

    owner: str
    engine: str
    new_tiles: int


@dataclass(frozen=True, slots=True)
class LeaseStatus:
    """What the worker of a leased job should know.

    Attributes
    ----------
    cancel : bool
        Whether to stop.
    focus : tuple of float or None
        Where the viewer looks.
    strokes : int
        How often the strokes have changed.
    painted : dict or None
        The strokes.
    """

    cancel: bool
    focus: Zyx | None
    strokes: int = 0
    painted: dict[str, Any] | None = None


def require_same_key(row: sqlite3.Row, key: str) -> None:
    """Refuse a key other than that which claimed a job; without keys, now or then, all workers look alike.

    Raises
    ------
    AccessError
        ``forbidden``.
    """
    if key and row["worker_key"] and row["worker_key"] != key:
        raise AccessError(
            "Another worker's key holds this job.", hint="A worker may report only on jobs that it has claimed."
        )


def status_of(row: sqlite3.Row) -> LeaseStatus:
    """Return what the worker of a job should know."""
    changed = row["strokes"]
    painted = json.loads(row["params"]).get(STROKES) if changed else None
    return LeaseStatus(bool(row["cancel_requested"]), focus_of(row), changed, painted)


def focus_of(row: sqlite3.Row) -> Zyx | None:
    """Return the focus of the viewer (z, y, x in voxels), None if there is none."""
    if row["focus"] is None:
        return None
    position: list[Any] = json.loads(row["focus"])
    return float(position[0]), float(position[1]), float(position[2])


def trace_of(row: sqlite3.Row) -> TraceContext:
    """Return the trace of the request that submitted a job."""
    return TraceContext(row["request_id"] or None, row["traceparent"] or None)


def worker_lost(row: sqlite3.Row) -> JobError:
    """Return the error of an attempt whose lease has expired."""
    return JobError(
        code=ErrorCode.WORKER_LOST,
        message="The worker that ran the job did not renew its lease in time.",
        hint="It crashed, was stopped or lost its connection; see its log. The job is retried automatically.",
        retryable=True,
        attempt=row["attempt"],
    )
