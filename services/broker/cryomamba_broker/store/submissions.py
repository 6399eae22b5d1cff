"""New jobs: each submit makes one job, however often it is repeated with the same key."""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass

from cryomamba.access.visibility import Visibility
from cryomamba.errors import ConflictError
from cryomamba.models.jobs import JobRecord, JobState, SubmitRequest, VolumeSummary
from cryomamba.models.masks import MaskSummary
from cryomamba.wire.trace_context import NO_TRACE, TraceContext
from cryomamba_broker.disk_space import DiskSpace
from cryomamba_broker.store.database import Database
from cryomamba_broker.store.events import EventLog
from cryomamba_broker.store.jobs import Change, JobTable
from cryomamba_broker.store.rows import to_json


@dataclass(frozen=True, slots=True)
class NewJob:
    """A submit that was checked; `nbytes` is the disk space in bytes to reserve for its results.

    `model` is the name of the trained model that it needs, and `model_sha256` its checksum; empty for none.

    The job keeps the `trace` of the request, so that an attempt at any later time is known to belong to it.
    """

    request: SubmitRequest
    engine: str
    volume: VolumeSummary
    within: MaskSummary | None = None
    nbytes: int = 0
    model: str = ""
    model_sha256: str = ""
    trace: TraceContext = NO_TRACE


def fingerprint(request: SubmitRequest) -> str:
    """Return a digest of a request without its key and owner: equal requests have equal digests."""
    fields = request.model_dump(mode="json", exclude={"client_key", "owner"})
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def stored_key(request: SubmitRequest) -> str | None:
    """Return the idempotency key as it is stored: prefixed with the owner, so that two owners may use the same key."""
    if request.client_key is None or not request.owner:
        return request.client_key
    return f"{request.owner}\n{request.client_key}"


class Submissions:
    """Submitted jobs and the disk space that is reserved for them. All methods belong to the store's thread."""

    def __init__(self, database: Database, events: EventLog, jobs: JobTable) -> None:
        self._database, self._events, self._jobs = database, events, jobs

    def find(self, request: SubmitRequest, visibility: Visibility) -> JobRecord | None:
        """Return the job that an earlier submit with the same key made.

        Raises
        ------
        ConflictError
            The key belongs to another request.
        """
        if request.client_key is None:
            return None
        found = self._database.read.execute("SELECT * FROM jobs WHERE client_key = ?", (stored_key(request),))
        row = found.fetchone()
        if row is None or not visibility.includes(row["owner"]):
            return None
        if row["fingerprint"] != fingerprint(request):
            raise ConflictError(
                "This key was already used for a different job.",
                hint="Use a new key for a new job, or send the first request again unchanged.",
                details={"job_id": row["id"]},
            )
        return self._jobs.record(row)

    def submit(self, new: NewJob, visibility: Visibility, space: DiskSpace | None = None) -> Change:
        """Queue a job, once per client key, if the disk has space for it and for all jobs that have not ended.

        Raises
        ------
        ConflictError
            The key belongs to another request.
        UnavailableError
            ``insufficient_storage``.
        """
        request = new.request
        with self._database.write() as connection:
            if (known := self.find(request, visibility)) is not None:
                return Change(known)
            if space is not None:
                space.require(new.nbytes, self.reserved())
            now = self._database.clock.wall()
            row = connection.execute(
                "INSERT INTO jobs (id, state, name, engine, params, volume, preview, priority, client_key, "
                "fingerprint, created_at, updated_at, owner, reserved, within, request_id, traceparent, model, "
                "model_sha256) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
                (
                    str(uuid.uuid4()),
                    JobState.PENDING,
                    request.name,
                    new.engine,
                    to_json(request.params),
                    new.volume.model_dump_json(),
                    request.preview.model_dump_json(),
                    request.priority,
                    stored_key(request),
                    fingerprint(request),
                    now,
                    now,
                    request.owner,
                    new.nbytes,
                    None if new.within is None else new.within.model_dump_json(),
                    new.trace.request_id or "",
                    new.trace.traceparent or "",
                    new.model,
                    new.model_sha256,
                ),
            ).fetchone()
            event = self._events.append(connection, row, "job_created")
            return Change(self._jobs.record(row), event)

    def reserved(self) -> int:
        """Return the disk space that is reserved for all jobs that have not ended, of all owners, in bytes."""
        query = "SELECT coalesce(sum(reserved), 0) FROM jobs WHERE state IN (?, ?)"
        (nbytes,) = self._database.read.execute(query, (JobState.PENDING, JobState.RUNNING)).fetchone()
        return int(nbytes)
