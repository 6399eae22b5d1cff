"""Leases of jobs to workers: claim, renew, and the ways in which an attempt ends."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal

from cryomamba.access.visibility import Visibility
from cryomamba.engines.api import Estimate
from cryomamba.errors import ConflictError, ErrorCode
from cryomamba.models.jobs import Artifact, JobError, JobRecord, JobState, Progress
from cryomamba.volumes.metadata import VolumeWarning
from cryomamba_broker.fair_share import Abilities
from cryomamba_broker.state_machine import EVENT_OF, LeasePolicy, Trigger, next_state
from cryomamba_broker.store.attempts import (
    Attempt,
    Lease,
    LeaseStatus,
    Reported,
    focus_of,
    require_same_key,
    status_of,
    trace_of,
    worker_lost,
)
from cryomamba_broker.store.database import Database
from cryomamba_broker.store.events import EventLog
from cryomamba_broker.store.jobs import Change, JobTable
from cryomamba_broker.store.live_progress import LiveProgress
from cryomamba_broker.store.queue import JobQueue
from cryomamba_broker.store.results import NO_RESULT, StoredResult
from cryomamba_broker.store.rows import truncate_error

# Workers run jobs of all owners; the attempt that they hold is what entitles them.
_EVERYTHING: Final = Visibility.everything()

Outcome = Literal["finish", "fail", "release", "lost"]


class Leases:
    """Running jobs, as workers claim and end them. All methods belong to the store's thread.

    Those that take an attempt raise :class:`NotFoundError` if there is no such job, :class:`AccessError` if another key
    holds this attempt, and :class:`ConflictError` (``stale_attempt``) if the worker does not hold it.
    """

    def __init__(
        self,
        database: Database,
        events: EventLog,
        jobs: JobTable,
        progress: LiveProgress,
        policy: LeasePolicy,
        queue: JobQueue,
    ) -> None:
        self._database, self._events, self._jobs = database, events, jobs
        self._progress, self._policy, self._queue = progress, policy, queue

    def claim(
        self,
        worker: str,
        engines: Sequence[str],
        key: str = "",
        models: Sequence[str] = (),
        declined: Sequence[str] = (),
    ) -> Lease | None:
        """Lease the next job that a worker can run to it; the parameters are those of :class:`Abilities`.

        A worker that claims while it holds a job has not received the reply to its last claim: it gets that job again.

        Raises
        ------
        AccessError
            A worker of this name with another key holds a job.
        """
        until = self._lease_until()
        with self._database.write() as connection:
            row = connection.execute(
                "UPDATE jobs SET lease_until = ? WHERE state = 'running' AND worker = ? RETURNING *", (until, worker)
            ).fetchone()
            if row is not None:
                require_same_key(row, key)
                return Lease(self._jobs.record(row), focus_of(row), trace_of(row), strokes=row["strokes"])
            serial = self._queue.next(connection, Abilities(tuple(engines), tuple(models), tuple(declined)))
            if serial is None:
                return None
            row = self._start(connection, serial, worker, key)
            connection.execute(
                "INSERT INTO attempts (job, attempt, worker, worker_key, started_at) VALUES (?, ?, ?, ?, ?)",
                (row["serial"], row["attempt"], worker, key, self._database.clock.wall()),
            )
            event = self._events.append(connection, row, EVENT_OF[Trigger.CLAIM])
            return Lease(self._jobs.record(row), focus_of(row), trace_of(row), event, row["strokes"])

    def _start(self, connection: sqlite3.Connection, serial: int, worker: str, key: str) -> sqlite3.Row:
        row: sqlite3.Row = connection.execute(
            "UPDATE jobs SET state = 'running', attempt = attempt + 1, tries = tries + 1, worker = :worker, "
            "worker_key = :key, lease_until = :lease, progress = '{}', "
            "started_at = coalesce(started_at, :wall), updated_at = :wall WHERE serial = :serial RETURNING *",
            {
                "serial": serial,
                "worker": worker,
                "key": key,
                "lease": self._lease_until(),
                "wall": self._database.clock.wall(),
            },
        ).fetchone()
        return row

    def renew(self, attempt: Attempt) -> LeaseStatus:
        """Extend a lease and store the reported progress, unless the lease was written less than half a renewal ago."""
        row, until = self._require_held(attempt), self._lease_until()
        if until - row["lease_until"] >= self._policy.renewal_s / 2:
            with self._database.write() as connection:
                progress, updated_at = self._progress.of(self._require_held(attempt))
                connection.execute(
                    "UPDATE jobs SET lease_until = ?, progress = ?, updated_at = ? WHERE serial = ?",
                    (until, progress.model_dump_json(), updated_at, row["serial"]),
                )
        return status_of(row)

    def status(self, attempt: Attempt) -> LeaseStatus:
        """Return what the worker should know; nothing is written."""
        return status_of(self._require_held(attempt))

    def report(self, attempt: Attempt, progress: Progress) -> Reported:
        """Keep an attempt's progress in memory."""
        row = self._require_held(attempt)
        before, _ = self._progress.of(row)
        self._progress.put(row, progress, self._database.clock.wall())
        return Reported(row["owner"], row["engine"], max(0, progress.done_tiles - before.done_tiles))

    def finish(
        self,
        attempt: Attempt,
        artifacts: Sequence[Artifact],
        accept: Callable[[], None] = lambda: None,
        *,
        warnings: Sequence[VolumeWarning] = (),
        estimates: Mapping[str, Estimate] = MappingProxyType({}),
        strokes: int = 0,
    ) -> Change:
        """Complete a job; repeating it changes nothing. If its strokes have changed since, it is queued again.

        Parameters
        ----------
        accept : callable
            Checks the attempt's files and gives them their final names: before the job lists them, and only if the
            attempt is held.
        strokes : int
            How often the strokes had changed that the result is of.

        Raises
        ------
        InvalidRequestError
            The list of artifacts is too long, or `accept` refuses them.
        """
        result = StoredResult.of(artifacts, warnings, estimates)
        with self._database.write() as connection:
            if (row := self._repeated(attempt, "finish")) is not None:
                return Change(self._jobs.record(row))
            row = self._require_held(attempt)
            if row["strokes"] > strokes and not row["cancel_requested"]:
                self._close_attempt(connection, row, "release", None)
                reason = "Strokes were added while the files were published."
                return self._end_run(connection, row, Trigger.REQUEUE, tries=row["tries"] - 1, reason=reason)
            accept()
            self._close_attempt(connection, row, "finish", None)
            progress, _ = self._progress.of(row)
            done = progress.model_copy(
                update={"fraction": 1.0, "done_tiles": progress.total_tiles, "stage": "completed", "eta_s": 0.0}
            )
            return self._end_run(connection, row, Trigger.FINISH, result=result, progress=done)

    def fail(self, attempt: Attempt, error: JobError) -> Change:
        """End an attempt with an error: the job is requeued if another attempt may help, else failed or cancelled."""
        with self._database.write() as connection:
            if (row := self._repeated(attempt, "fail")) is not None:
                return Change(self._jobs.record(row))
            return self._end_with_error(connection, self._require_held(attempt), "fail", error)

    def release(self, attempt: Attempt, reason: str = "The worker returned the job.") -> Change:
        """Return a job to the queue; the attempt does not count, and its number is not used again."""
        with self._database.write() as connection:
            if (row := self._repeated(attempt, "release")) is not None:
                return Change(self._jobs.record(row))
            row = self._require_held(attempt)
            self._close_attempt(connection, row, "release", None)
            if row["cancel_requested"]:
                return self._end_run(connection, row, Trigger.CANCEL)
            return self._end_run(connection, row, Trigger.REQUEUE, tries=row["tries"] - 1, reason=reason)

    def held_by(self, worker: str) -> Attempt | None:
        """Return the attempt that a worker holds, None for none."""
        row = self._database.read.execute(
            "SELECT id, attempt, worker_key FROM jobs WHERE state = 'running' AND worker = ?", (worker,)
        ).fetchone()
        return None if row is None else Attempt(row["id"], worker, row["attempt"], row["worker_key"])

    def model_of(self, job_id: str) -> str:
        """Return the name of the trained model that a job needs; empty for none."""
        return str(self._jobs.row(job_id, _EVERYTHING)["model"])

    def expire(self) -> list[Change]:
        """End every attempt whose lease has expired."""
        now = self._database.clock.steady()
        overdue = "SELECT * FROM jobs WHERE state = 'running' AND lease_until < ? ORDER BY serial"
        if self._database.read.execute(overdue, (now,)).fetchone() is None:
            return []
        with self._database.write() as connection:
            rows = connection.execute(overdue, (now,)).fetchall()
            return [self._end_with_error(connection, row, "lost", worker_lost(row)) for row in rows]

    def count_running(self) -> int:
        """Return how many jobs are leased."""
        return int(self._database.read.execute("SELECT count(*) FROM jobs WHERE state = 'running'").fetchone()[0])

    def running(self) -> dict[tuple[str, int], str]:
        """Return the leased attempts, by job id and number, and the key that holds each."""
        rows = self._database.read.execute("SELECT id, attempt, worker_key FROM jobs WHERE state = 'running'")
        return {(row["id"], row["attempt"]): row["worker_key"] for row in rows}

    def extend_all(self) -> list[JobRecord]:
        """Extend all leases, end the pauses of pending jobs, and return the running ones: done when a broker starts."""
        with self._database.write() as connection:
            connection.execute("UPDATE jobs SET not_before = 0 WHERE state = 'pending' AND not_before > 0")
            rows = connection.execute(
                "UPDATE jobs SET lease_until = ? WHERE state = 'running' RETURNING *", (self._lease_until(),)
            ).fetchall()
            return [self._jobs.record(row) for row in rows]

    def _lease_until(self) -> float:
        return self._database.clock.steady() + self._policy.lease_s

    def _require_held(self, attempt: Attempt) -> sqlite3.Row:
        row = self._jobs.row(attempt.job_id, _EVERYTHING)
        holds = row["state"] == JobState.RUNNING and row["attempt"] == attempt.number
        if holds:
            require_same_key(row, attempt.key)
        if not holds or row["worker"] != attempt.worker:
            raise ConflictError(
                f"Attempt {attempt.number} of the job has ended; the job is {row['state']}.",
                code=ErrorCode.STALE_ATTEMPT,
                hint="The worker did not renew its lease in time. Whatever it sends for this attempt is ignored.",
                details={"state": row["state"], "attempt": row["attempt"]},
            )
        return row

    def _repeated(self, attempt: Attempt, outcome: Outcome) -> sqlite3.Row | None:
        row = self._jobs.row(attempt.job_id, _EVERYTHING)
        same = self._database.read.execute(
            "SELECT worker_key FROM attempts WHERE job = ? AND attempt = ? AND worker = ? AND outcome = ?",
            (row["serial"], attempt.number, attempt.worker, outcome),
        ).fetchone()
        if same is None:
            return None
        require_same_key(same, attempt.key)
        return row

    def _end_with_error(
        self, connection: sqlite3.Connection, row: sqlite3.Row, outcome: Outcome, error: JobError
    ) -> Change:
        cancelled = bool(row["cancel_requested"])
        trigger = self._policy.after_error(row["tries"], retryable=error.retryable, cancel_requested=cancelled)
        kept = None if cancelled and error.code is ErrorCode.CANCELLED else truncate_error(error, row["attempt"])
        self._close_attempt(connection, row, outcome, kept)
        return self._end_run(connection, row, trigger, reason="" if kept is None else kept.message)

    def _close_attempt(
        self, connection: sqlite3.Connection, row: sqlite3.Row, outcome: Outcome, error: JobError | None
    ) -> None:
        connection.execute(
            "UPDATE attempts SET ended_at = ?, outcome = ?, error = ? WHERE job = ? AND attempt = ?",
            (
                self._database.clock.wall(),
                outcome,
                None if error is None else error.model_dump_json(),
                row["serial"],
                row["attempt"],
            ),
        )

    def _end_run(
        self,
        connection: sqlite3.Connection,
        row: sqlite3.Row,
        trigger: Trigger,
        *,
        tries: int | None = None,
        result: StoredResult = NO_RESULT,
        progress: Progress | None = None,
        reason: str = "",
    ) -> Change:
        after = next_state(JobState(row["state"]), trigger)
        now, again = self._database.clock.wall(), trigger is Trigger.REQUEUE
        pause = self._policy.pause(row["tries"]) if again and tries is None else 0.0
        if progress is None:
            progress = Progress() if again else self._progress.of(row)[0]
        changed = connection.execute(
            "UPDATE jobs SET state = ?, worker = NULL, lease_until = NULL, tries = ?, not_before = ?, artifacts = ?, "
            "warnings = ?, estimates = ?, progress = ?, completed_at = ?, updated_at = ? WHERE serial = ? RETURNING *",
            (
                after,
                row["tries"] if tries is None else tries,
                self._database.clock.steady() + pause if pause else 0.0,
                result.artifacts,
                result.warnings,
                result.estimates,
                progress.model_dump_json(),
                now if after.final else None,
                now,
                row["serial"],
            ),
        ).fetchone()
        self._progress.forget(row)
        event = self._events.append(connection, changed, EVENT_OF[trigger], reason)
        return Change(self._jobs.record(changed), event)
