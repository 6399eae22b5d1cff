"""The log of events: one row per change of state, written in the same transaction as the change."""

from __future__ import annotations

import sqlite3

from cryomamba.access.visibility import Visibility
from cryomamba.errors import no_such_job
from cryomamba.models.jobs import EventType, JobEvent, JobState
from cryomamba.wire.requests import EventPage
from cryomamba_broker.store.database import Database
from cryomamba_broker.store.deliveries import Deliveries
from cryomamba_broker.store.rows import HISTORY_SHOWN, event_of, fitting, truncate_reason


class EventLog:
    """Reads events, and appends one with each change, together with the messages about it to webhooks."""

    def __init__(self, database: Database, deliveries: Deliveries) -> None:
        self._database, self._deliveries = database, deliveries

    def append(self, connection: sqlite3.Connection, job: sqlite3.Row, type_: EventType, reason: str = "") -> JobEvent:
        """Add an event within the current transaction; `job` is the row after the change."""
        now = self._database.clock.wall()
        cursor = connection.execute(
            "INSERT INTO events (job, type, state, attempt, at, reason) VALUES (?, ?, ?, ?, ?, ?) RETURNING *, ? AS id",
            (job["serial"], type_, job["state"], job["attempt"], now, truncate_reason(reason), job["id"]),
        )
        event = event_of(cursor.fetchone())
        self._deliveries.queue_end(connection, job, event)
        return event

    def history(self, serial: int) -> tuple[JobEvent, ...]:
        """Return the newest events of a job, oldest of them first."""
        rows = self._database.read.execute(
            "SELECT events.*, jobs.id FROM events JOIN jobs ON jobs.serial = events.job "
            "WHERE job = ? ORDER BY n DESC LIMIT ?",
            (serial, HISTORY_SHOWN),
        ).fetchall()
        return tuple(event_of(row) for row in reversed(rows))

    def last(self) -> int:
        """Return the number of the newest event, 0 if there is none."""
        row = self._database.read.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
        return int(row["seq"]) if row else 0

    def since(self, n: int, visibility: Visibility, *, job_id: str | None = None, limit: int = 200) -> EventPage:
        """Return the events after number `n`, oldest first, as many as fit into a reply.

        Parameters
        ----------
        job_id : str, optional
            The one job; all that are visible if not given.

        Raises
        ------
        NotFoundError
            There is no such job.
        """
        read = self._database.read
        serial = None
        if job_id is not None:
            found = read.execute("SELECT serial, owner FROM jobs WHERE id = ?", (job_id,)).fetchone()
            if found is None or not visibility.includes(found["owner"]):
                raise no_such_job(job_id)
            serial = found["serial"]
        rows = read.execute(
            "SELECT events.*, jobs.id FROM events JOIN jobs ON jobs.serial = events.job "
            "WHERE n > :after AND (:job IS NULL OR job = :job) AND (:owner IS NULL OR owner = :owner) "
            "ORDER BY n LIMIT :most",
            {"after": n, "job": serial, "owner": visibility.owner, "most": limit},
        )
        return EventPage(events=fitting(map(event_of, rows)), last=self.last())

    def waiting(self, now: float, visibility: Visibility) -> tuple[int, int, float]:
        """Return how many jobs are pending and running, and for how many seconds the oldest pending one has been."""
        query = "SELECT count(*), min(updated_at) FROM jobs WHERE state = :state AND (:owner IS NULL OR owner = :owner)"
        (pending, since), (running, _) = (
            self._database.read.execute(query, {"state": state, "owner": visibility.owner}).fetchone()
            for state in (JobState.PENDING, JobState.RUNNING)
        )
        return int(pending), int(running), 0.0 if since is None else max(0.0, now - float(since))

    def active(self, visibility: Visibility) -> int:
        """Return how many jobs are not final."""
        found = self._database.read.execute(
            "SELECT count(*) FROM jobs WHERE state IN (:pending, :running) AND (:owner IS NULL OR owner = :owner)",
            {"pending": JobState.PENDING, "running": JobState.RUNNING, "owner": visibility.owner},
        )
        return int(found.fetchone()[0])
