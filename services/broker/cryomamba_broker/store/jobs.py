"""The client's side of the job store: submit, look, list, cancel, retry, focus."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import uuid
from dataclasses import dataclass
from typing import Any, Final, Protocol

from cryomamba.access.visibility import Visibility
from cryomamba.engines.artifacts import revision_name, revision_number
from cryomamba.errors import ConflictError, InvalidRequestError, no_such_job
from cryomamba.models.jobs import Artifact, JobEvent, JobPage, JobRecord, JobState, SubmitRequest, VolumeSummary
from cryomamba.wire.requests import ListRequest, Zyx
from cryomamba_broker.disk_space import DiskSpace
from cryomamba_broker.states import EVENT_OF, Trigger, next_state
from cryomamba_broker.store.database import Database
from cryomamba_broker.store.events import EventLog
from cryomamba_broker.store.live_progress import LiveProgress
from cryomamba_broker.store.rows import ERRORS_SHOWN, REPLY_BUDGET, record_of, to_json, wire_nbytes

REVISIONS_MAX: Final = 20


class Staged(Protocol):
    """A revised mask that was checked and lies ready."""

    sha256: str
    size_bytes: int

    def place(self, name: str) -> None:
        """Give it its final name."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a call did: the job as it stands now, and the event, if there was one."""

    record: JobRecord
    event: JobEvent | None = None


@dataclass(frozen=True, slots=True)
class NewJob:
    """A submit that was found good: the request, the engine it will run with, what its volume is, and its bytes."""

    request: SubmitRequest
    engine: str
    volume: VolumeSummary
    nbytes: int = 0


def fingerprint(request: SubmitRequest) -> str:
    """Return a digest of everything in a request but its key: equal requests have equal ones."""
    fields = request.model_dump(mode="json", exclude={"client_key", "owner"})
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def stored_key(request: SubmitRequest) -> str | None:
    """Return the key under which a request is kept: two owners may use the same word without meeting."""
    if request.client_key is None or not request.owner:
        return request.client_key
    return f"{request.owner}\n{request.client_key}"


class Jobs:
    """Jobs as clients see and change them. All methods belong to the store's thread."""

    def __init__(self, database: Database, events: EventLog, progress: LiveProgress) -> None:
        self._database = database
        self._progress = progress
        self._events = events

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
                "This key was already used for another job.",
                hint="Use a new key for a new job, or repeat the first request as it was.",
                details={"job_id": row["id"]},
            )
        return self.record(row)

    def submit(self, new: NewJob, visibility: Visibility, space: DiskSpace | None = None) -> Change:
        """Queue a job, once per client key, if there is room for it beside all that have not ended.

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
                "fingerprint, created_at, updated_at, owner, room) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
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
                ),
            ).fetchone()
            event = self._events.append(connection, row, "job_created")
            return Change(self.record(row), event)

    def reserved(self) -> int:
        """Return how many bytes all jobs that have not ended may write, whoever owns them."""
        question = "SELECT coalesce(sum(room), 0) FROM jobs WHERE state IN (?, ?)"
        (nbytes,) = self._database.read.execute(question, (JobState.PENDING, JobState.RUNNING)).fetchone()
        return int(nbytes)

    def get(self, job_id: str, visibility: Visibility) -> JobRecord:
        """Return a job with its newest errors and events.

        Raises
        ------
        NotFoundError
            There is no such job.
        """
        return self.record(self.row(job_id, visibility))

    def owner(self, job_id: str, visibility: Visibility) -> str:
        """Return the owner of a job.

        Raises
        ------
        NotFoundError
            There is no such job.
        """
        return str(self.row(job_id, visibility)["owner"])

    def page(self, query: ListRequest, visibility: Visibility) -> JobPage:
        """Return jobs without their history, newest first, as many as fit into a reply.

        Raises
        ------
        InvalidRequestError
            The cursor is not one that a page gave.
        """
        # Only what is asked for stands in the statement: with "… OR :state IS NULL" no index would be used.
        wanted = {"state": query.state, "owner": visibility.owner}
        conditions = "".join(f" AND {name} = :{name}" for name, value in wanted.items() if value is not None)
        rows = self._database.read.execute(
            f"SELECT * FROM jobs WHERE serial < :serial{conditions} ORDER BY serial DESC LIMIT :limit",  # noqa: S608 (the names are ours)  # nosec B608
            {**wanted, "serial": _serial(query.cursor), "limit": query.limit + 1},
        ).fetchall()
        jobs: list[JobRecord] = []
        room = REPLY_BUDGET
        for row in rows[: query.limit]:
            record = record_of(row, self._progress.of(row), self._errors(row["serial"]))
            room -= wire_nbytes(record.model_dump(mode="json"))
            if room < 0:
                break
            jobs.append(record)
        cursor = str(rows[len(jobs) - 1]["serial"]) if jobs and len(jobs) < len(rows) else None
        return JobPage(jobs=tuple(jobs), cursor=cursor)

    def cancel(self, job_id: str, visibility: Visibility) -> Change:
        """Cancel a waiting job, or ask a running one to stop; a job that is cancelled already stays so.

        Raises
        ------
        NotFoundError
            There is no such job.
        IllegalTransitionError
            The job has ended otherwise.
        """
        with self._database.write() as connection:
            row = self.row(job_id, visibility)
            state = JobState(row["state"])
            asked_already = state is JobState.RUNNING and row["cancel_requested"]
            if state is JobState.CANCELLED or asked_already:
                return Change(self.record(row))
            after = next_state(state, Trigger.CANCEL)
            now = self._database.clock.wall()
            if state is JobState.RUNNING:
                statement = "UPDATE jobs SET cancel_requested = 1, updated_at = ?1 WHERE serial = ?3 RETURNING *"
            else:
                statement = (
                    "UPDATE jobs SET state = ?2, completed_at = ?1, updated_at = ?1 WHERE serial = ?3 RETURNING *"
                )
            row = connection.execute(statement, (now, after, row["serial"])).fetchone()
            type_ = EVENT_OF[Trigger.CANCEL] if after == row["state"] else "job_cancel_requested"
            event = self._events.append(connection, row, type_)
            return Change(self.record(row), event)

    def retry(self, job_id: str, visibility: Visibility) -> Change:
        """Put a failed or cancelled job back into the queue with its attempts given anew.

        Raises
        ------
        NotFoundError
            There is no such job.
        IllegalTransitionError
            The job is running or completed.
        """
        with self._database.write() as connection:
            row = self.row(job_id, visibility)
            if row["state"] == JobState.PENDING:
                return Change(self.record(row))
            after = next_state(JobState(row["state"]), Trigger.RETRY)
            row = connection.execute(
                "UPDATE jobs SET state = ?, tries = 0, not_before = 0, cancel_requested = 0, progress = '{}', "
                "started_at = NULL, completed_at = NULL, updated_at = ? WHERE serial = ? RETURNING *",
                (after, self._database.clock.wall(), row["serial"]),
            ).fetchone()
            event = self._events.append(connection, row, EVENT_OF[Trigger.RETRY])
            return Change(self.record(row), event)

    def delete(self, job_id: str, visibility: Visibility) -> JobRecord:
        """Forget a job that has ended, with its attempts and events, and return it as it was.

        Raises
        ------
        NotFoundError
            There is no such job.
        ConflictError
            It has not ended.
        """
        with self._database.write() as connection:
            row = self.row(job_id, visibility)
            record = self.record(row)
            if not record.state.final:
                raise ConflictError(
                    f"The job is {record.state}, so it cannot be removed.", hint="Cancel it first, or let it end."
                )
            connection.execute("DELETE FROM jobs WHERE serial = ?", (row["serial"],))
            return record

    def require_revisable(self, job_id: str, visibility: Visibility) -> JobRecord:
        """Return a job that may be given a revised mask.

        Raises
        ------
        NotFoundError
            There is no such job.
        ConflictError
            It has no mask, or more revisions than fit.
        """
        record = self.get(job_id, visibility)
        if record.state is not JobState.COMPLETED or record.mask is None:
            raise ConflictError(
                f"The job is {record.state}, so there is no mask of it to revise.", hint="Let it complete first."
            )
        if len(record.revisions) >= REVISIONS_MAX:
            raise ConflictError(
                f"The job has {REVISIONS_MAX} revisions, which is the most.",
                hint="Keep further ones as files of your own.",
            )
        return record

    def revise(self, job_id: str, revision: Staged, note: str, visibility: Visibility) -> Change:
        """Add a revised mask to a job's files under the next free name; the same content again changes nothing.

        Raises
        ------
        NotFoundError, ConflictError
            See :meth:`require_revisable`.
        """
        with self._database.write() as connection:
            known = self.get(job_id, visibility)
            if any(artifact.sha256 == revision.sha256 for artifact in known.revisions):
                return Change(known)
            record = self.require_revisable(job_id, visibility)
            number = max((revision_number(artifact.name) or 0 for artifact in record.revisions), default=0) + 1
            artifact = Artifact(name=revision_name(number), size_bytes=revision.size_bytes, sha256=revision.sha256)
            # The file first: a job that lists it has it, whenever the broker dies.
            revision.place(artifact.name)
            artifacts = [one.model_dump(mode="json") for one in (*record.artifacts, artifact)]
            row = connection.execute(
                "UPDATE jobs SET artifacts = ?, updated_at = ? WHERE id = ? RETURNING *",
                (to_json(artifacts), self._database.clock.wall(), job_id),
            ).fetchone()
            event = self._events.append(connection, row, "job_revised", note)
            return Change(self.record(row), event)

    def focus(self, job_id: str, position: Zyx, visibility: Visibility) -> JobRecord:
        """Keep where the viewer looks; a job that has ended takes no notice.

        Raises
        ------
        NotFoundError
            There is no such job.
        """
        with self._database.write() as connection:
            row = self.row(job_id, visibility)
            connection.execute("UPDATE jobs SET focus = ? WHERE serial = ?", (to_json(position), row["serial"]))
            return self.record(row)

    def row(self, job_id: str, visibility: Visibility) -> sqlite3.Row:
        """Return a job's row.

        Parameters
        ----------
        job_id : str
        visibility : Visibility
            The caller's; a job outside it does not exist for the caller.

        Raises
        ------
        NotFoundError
            There is no such job.
        """
        row: sqlite3.Row | None = self._database.read.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is None or not visibility.includes(row["owner"]):
            raise no_such_job(job_id)
        return row

    def record(self, row: sqlite3.Row) -> JobRecord:
        """Return the record of a row with as much of its history as fits into a header."""
        record = record_of(
            row, self._progress.of(row), self._errors(row["serial"]), self._events.history(row["serial"])
        )
        while record.history and wire_nbytes(record.model_dump(mode="json")) > REPLY_BUDGET:
            record = record.model_copy(update={"history": record.history[len(record.history) // 2 + 1 :]})
        return record

    def _errors(self, serial: int) -> list[Any]:
        rows = self._database.read.execute(
            "SELECT error FROM attempts WHERE job = ? AND error IS NOT NULL ORDER BY attempt DESC LIMIT ?",
            (serial, ERRORS_SHOWN),
        ).fetchall()
        return [row["error"] for row in reversed(rows)]


def _serial(cursor: str | None) -> int:
    if cursor is None:
        return 2**62
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise InvalidRequestError(
            "The cursor is not one that a listing gave.", hint="Begin the listing anew, without a cursor."
        )
    return int(cursor)
