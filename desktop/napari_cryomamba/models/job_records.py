"""Records of jobs that no server knows, local runs and uploads, and their changes of state. Pure but for the clock."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryomamba.errors import CryoMambaError
from cryomamba.models.jobs import EventType, JobError, JobEvent, JobRecord, JobState, VolumeSummary
from cryomamba.models.masks import MaskSummary
from napari_cryomamba.models.submission import JobSubmission

_EVENTS: Mapping[JobState, EventType] = {
    JobState.PENDING: "job_created",
    JobState.RUNNING: "job_started",
    JobState.COMPLETED: "job_completed",
    JobState.FAILED: "job_failed",
    JobState.CANCELLED: "job_cancelled",
}


def new_record(job_id: str, submission: JobSubmission) -> JobRecord:
    """Return the record of a job that has not started."""
    now, meta = datetime.now(UTC), submission.source.meta
    return JobRecord(
        job_id=job_id,
        state=JobState.PENDING,
        name=submission.title,
        engine=submission.engine or "",
        params=submission.params,
        volume=VolumeSummary(
            name=meta.name, shape=meta.shape, voxel_size_A=meta.voxel_size_A, path=str(submission.source.path)
        ),
        within=None if submission.within is None else _mask_summary(submission.within),
        preview=submission.preview,
        created_at=now,
        updated_at=now,
    )


def _mask_summary(path: Path) -> MaskSummary:
    return MaskSummary(name=path.name, path=str(path))


def advance(record: JobRecord, state: JobState, **changes: Any) -> JobRecord:  # noqa: ANN401 (a record's fields)
    """Return the record in another state, with the event added to its history."""
    now = datetime.now(UTC)
    event = JobEvent(
        n=len(record.history) + 1,
        type=_EVENTS[state],
        job_id=record.job_id,
        state=state,
        attempt=changes.get("attempt", record.attempt),
        at=now,
    )
    changes |= {"state": state, "updated_at": now, "history": (*record.history, event)}
    if state is JobState.RUNNING:
        changes["started_at"] = now
    if state.final:
        changes["completed_at"] = now
    return record.model_copy(update=changes)


def fail(record: JobRecord, error: CryoMambaError) -> JobRecord:
    """Return the record as failed with an error."""
    failure = JobError(
        code=error.code, message=error.message[:2000], hint=error.hint[:1000], attempt=max(record.attempt, 1)
    )
    return advance(record, JobState.FAILED, errors=(failure,))
