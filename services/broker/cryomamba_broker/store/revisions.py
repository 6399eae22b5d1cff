"""Revised masks of jobs, in the job store."""

from __future__ import annotations

from typing import Final, Protocol

from cryomamba.access.visibility import Visibility
from cryomamba.engines.artifacts import revision_name, revision_number
from cryomamba.errors import ConflictError
from cryomamba.models.jobs import Artifact, JobRecord, JobState
from cryomamba_broker.store.database import Database
from cryomamba_broker.store.events import EventLog
from cryomamba_broker.store.jobs import Change, JobTable
from cryomamba_broker.store.rows import to_json

REVISIONS_MAX: Final = 20


class Staged(Protocol):
    """A revised mask that was checked and is ready to be renamed."""

    sha256: str
    size_bytes: int

    def rename(self, name: str) -> None:
        """Give the file its final name."""


class Revisions:
    """The masks that people have corrected, as files of their jobs. All methods belong to the store's thread."""

    def __init__(self, database: Database, events: EventLog, jobs: JobTable) -> None:
        self._database, self._events, self._jobs = database, events, jobs

    def require_allowed(self, job_id: str, visibility: Visibility) -> JobRecord:
        """Return a job to which a revised mask may be added.

        Raises
        ------
        NotFoundError
            There is no such job.
        ConflictError
            It has no mask, or the most revisions that are allowed.
        """
        record = self._jobs.get(job_id, visibility)
        if record.state is not JobState.COMPLETED or record.mask is None:
            raise ConflictError(
                f"The job is {record.state}, so it has no mask to revise.", hint="Wait until it is completed."
            )
        if len(record.revisions) >= REVISIONS_MAX:
            raise ConflictError(
                f"The job already has {REVISIONS_MAX} revisions, the maximum.",
                hint="Save further versions as files of your own.",
            )
        return record

    def add(self, job_id: str, revision: Staged, note: str, visibility: Visibility) -> Change:
        """Add a revised mask to a job's files under the next free name; the same content again changes nothing.

        Raises
        ------
        NotFoundError, ConflictError
            See :meth:`require_allowed`.
        """
        with self._database.write() as connection:
            known = self._jobs.get(job_id, visibility)
            if any(artifact.sha256 == revision.sha256 for artifact in known.revisions):
                return Change(known)
            record = self.require_allowed(job_id, visibility)
            number = max((revision_number(artifact.name) or 0 for artifact in record.revisions), default=0) + 1
            artifact = Artifact(name=revision_name(number), size_bytes=revision.size_bytes, sha256=revision.sha256)
            # The file first: a job that lists it has it, whenever the broker dies.
            revision.rename(artifact.name)
            artifacts = [one.model_dump(mode="json") for one in (*record.artifacts, artifact)]
            row = connection.execute(
                "UPDATE jobs SET artifacts = ?, updated_at = ? WHERE id = ? RETURNING *",
                (to_json(artifacts), self._database.clock.wall(), job_id),
            ).fetchone()
            event = self._events.append(connection, row, "job_revised", note)
            return Change(self._jobs.record(row), event)
