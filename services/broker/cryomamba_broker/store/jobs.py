"""The table of jobs: read, list, cancel, retry, delete, focus, strokes."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any, Final

from cryomamba.access.visibility import Visibility
from cryomamba.engines.strokes import STROKES
from cryomamba.errors import ConflictError, ErrorCode, InvalidRequestError, no_such_job
from cryomamba.masks.strokes import Strokes
from cryomamba.models.jobs import JobEvent, JobPage, JobRecord, JobState
from cryomamba.models.params import require_json_serializable
from cryomamba.wire.requests import ListRequest, Zyx
from cryomamba_broker.placement import NOBODY, Placement
from cryomamba_broker.state_machine import EVENT_OF, IllegalTransitionError, Trigger, next_state
from cryomamba_broker.store.database import Database
from cryomamba_broker.store.events import EventLog
from cryomamba_broker.store.job_conditions import conditions_of
from cryomamba_broker.store.live_progress import LiveProgress
from cryomamba_broker.store.queue import JobQueue
from cryomamba_broker.store.rows import (
    ERRORS_SHOWN,
    REPLY_BUDGET,
    fitting,
    next_cursor,
    parse_cursor,
    record_of,
    to_json,
    wire_nbytes,
)

HISTORY_IN_ERRORS: Final = 10


@dataclass(frozen=True, slots=True)
class Change:
    """The result of a call: the job as it is now, and the event, if the job changed."""

    record: JobRecord
    event: JobEvent | None = None


class JobTable:
    """The jobs, as clients read and change them. All methods belong to the store's thread.

    Those that take the id of a job raise :class:`NotFoundError` if there is none that the caller may see.
    """

    def __init__(self, database: Database, events: EventLog, progress: LiveProgress, queue: JobQueue) -> None:
        self._database, self._progress, self._events, self._queue = database, progress, events, queue

    def get(self, job_id: str, visibility: Visibility, placement: Placement = NOBODY) -> JobRecord:
        """Return a job with its newest errors and events."""
        return self.placed(self.record(self.row(job_id, visibility)), placement)

    def placed(self, record: JobRecord, placement: Placement) -> JobRecord:
        """Return the record of a pending job with its place in the queue, or with the reason why it has none."""
        if record.state is not JobState.PENDING or placement is NOBODY:
            return record
        place, reason = self._queue.place(record.job_id, placement)
        return record.model_copy(update={"queue_position": place, "blocked_reason": reason})

    def owner(self, job_id: str, visibility: Visibility) -> str:
        """Return the owner of a job."""
        return str(self.row(job_id, visibility)["owner"])

    def page(self, query: ListRequest, visibility: Visibility, placement: Placement = NOBODY) -> JobPage:
        """Return jobs without their history, newest first, as many as fit into a reply.

        Raises
        ------
        InvalidRequestError
            The cursor did not come from a listing.
        """
        conditions, values = conditions_of(query, visibility)
        where = " AND ".join(("serial < ?", *conditions))
        rows = self._database.read.execute(
            f"SELECT * FROM jobs WHERE {where} ORDER BY serial DESC LIMIT ?",  # noqa: S608 (the conditions are constants)  # nosec B608
            (parse_cursor(query.cursor), *values, query.limit + 1),
        ).fetchall()
        jobs = fitting(
            self.placed(record_of(row, self._progress.of(row), self._errors(row["serial"])), placement)
            for row in rows[: query.limit]
        )
        return JobPage(jobs=jobs, cursor=next_cursor(rows, len(jobs)))

    def cancel(self, job_id: str, visibility: Visibility) -> Change:
        """Cancel a pending job, or request that a running one stops; a cancelled job is left as it is.

        Raises
        ------
        IllegalTransitionError
            The job is completed or failed.
        """
        with self._database.write() as connection:
            row = self.row(job_id, visibility)
            state = JobState(row["state"])
            requested = state is JobState.RUNNING and row["cancel_requested"]
            if state is JobState.CANCELLED or requested:
                return Change(self.record(row))
            after = self._next_state(row, Trigger.CANCEL)
            now = self._database.clock.wall()
            if state is JobState.RUNNING:
                statement = "UPDATE jobs SET cancel_requested = 1, updated_at = :now WHERE serial = :serial RETURNING *"
            else:
                statement = (
                    "UPDATE jobs SET state = :state, completed_at = :now, updated_at = :now "
                    "WHERE serial = :serial RETURNING *"
                )
            values = {"now": now, "state": after, "serial": row["serial"]}
            row = connection.execute(statement, values).fetchone()
            type_ = EVENT_OF[Trigger.CANCEL] if after == row["state"] else "job_cancel_requested"
            event = self._events.append(connection, row, type_)
            return Change(self.record(row), event)

    def retry(self, job_id: str, visibility: Visibility) -> Change:
        """Queue a failed or cancelled job again, with a new count of attempts.

        Raises
        ------
        IllegalTransitionError
            The job is running or completed.
        """
        with self._database.write() as connection:
            row = self.row(job_id, visibility)
            if row["state"] == JobState.PENDING:
                return Change(self.record(row))
            after = self._next_state(row, Trigger.RETRY)
            row = connection.execute(
                "UPDATE jobs SET state = ?, tries = 0, not_before = 0, cancel_requested = 0, progress = '{}', "
                "started_at = NULL, completed_at = NULL, updated_at = ? WHERE serial = ? RETURNING *",
                (after, self._database.clock.wall(), row["serial"]),
            ).fetchone()
            event = self._events.append(connection, row, EVENT_OF[Trigger.RETRY])
            return Change(self.record(row), event)

    def delete(self, job_id: str, visibility: Visibility) -> JobRecord:
        """Delete a job that has ended, with its attempts, events and ended deliveries, and return its last record.

        Raises
        ------
        ConflictError
            It has not ended.
        """
        with self._database.write() as connection:
            row = self.row(job_id, visibility)
            record = self.record(row)
            if not record.state.final:
                raise ConflictError(
                    f"The job is {record.state}, so it cannot be deleted.", hint="Cancel it, or wait until it ends."
                )
            connection.execute("DELETE FROM jobs WHERE serial = ?", (row["serial"],))
            connection.execute("DELETE FROM deliveries WHERE job = ? AND state <> 'pending'", (job_id,))
            return record

    def focus(self, job_id: str, position: Zyx, visibility: Visibility) -> JobRecord:
        """Store the focus of the viewer (z, y, x in voxels); it has no effect on a job that has ended."""
        with self._database.write() as connection:
            row = self.row(job_id, visibility)
            connection.execute("UPDATE jobs SET focus = ? WHERE serial = ?", (to_json(position), row["serial"]))
            return self.record(row)

    def set_strokes(self, job_id: str, strokes: Strokes, visibility: Visibility) -> JobRecord:
        """Replace the strokes of a job that has not ended.

        Raises
        ------
        ConflictError
            It has ended.
        InvalidRequestError
            It was submitted without strokes, or its tomogram has another shape.
        """
        with self._database.write() as connection:
            row = self.row(job_id, visibility)
            record = self.record(row)
            if record.state.final:
                raise ConflictError(
                    f"The job is {record.state}, so it takes no more strokes.",
                    hint="Submit another job with all strokes.",
                )
            if record.params.get(STROKES) is None:
                raise InvalidRequestError(
                    "The job was submitted without strokes.",
                    code=ErrorCode.INVALID_PARAMETERS,
                    hint="Submit one with the engine 'pixels' and strokes.",
                )
            if strokes.shape != record.volume.shape:
                raise InvalidRequestError(
                    "The strokes were painted on a tomogram of another shape.",
                    code=ErrorCode.INVALID_PARAMETERS,
                    hint="Paint on the tomogram of the job.",
                )
            params = {**record.params, STROKES: strokes.model_dump(mode="json")}
            if params != record.params:
                row = connection.execute(
                    "UPDATE jobs SET params = ?, strokes = strokes + 1, updated_at = ? WHERE serial = ? RETURNING *",
                    (to_json(require_json_serializable(params)), self._database.clock.wall(), row["serial"]),
                ).fetchone()
            return self.record(row)

    def row(self, job_id: str, visibility: Visibility) -> sqlite3.Row:
        """Return a job's row."""
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

    def _next_state(self, row: sqlite3.Row, trigger: Trigger) -> JobState:
        try:
            return next_state(JobState(row["state"]), trigger)
        except IllegalTransitionError as error:
            history = self._events.history(row["serial"])[-HISTORY_IN_ERRORS:]
            error.details = {**error.details, "history": [event.model_dump(mode="json") for event in history]}
            raise

    def _errors(self, serial: int) -> list[Any]:
        rows = self._database.read.execute(
            "SELECT error FROM attempts WHERE job = ? AND error IS NOT NULL ORDER BY attempt DESC LIMIT ?",
            (serial, ERRORS_SHOWN),
        ).fetchall()
        return [row["error"] for row in reversed(rows)]
