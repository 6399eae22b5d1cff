"""Records of jobs as a server would send them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cryomamba.models.jobs import JobEvent, JobRecord, JobState, VolumeSummary

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def record(*states: str) -> JobRecord:
    """Return a job with a history of these states."""
    kinds: dict[str, Any] = {
        "pending": "job_created",
        "running": "job_started",
        "completed": "job_completed",
        "failed": "job_failed",
    }
    history = tuple(
        JobEvent(n=n, type=kinds[state], job_id="a-job", state=JobState(state), attempt=1, at=NOW)
        for n, state in enumerate(states, 10)
    )
    volume = VolumeSummary(name="demo", shape=(2, 2, 2), voxel_size_A=(1.0, 1.0, 1.0))
    return JobRecord(
        job_id="a-job",
        state=JobState(states[-1]),
        name="",
        engine="demo",
        params={},
        volume=volume,
        created_at=NOW,
        updated_at=NOW,
        history=history,
    )
