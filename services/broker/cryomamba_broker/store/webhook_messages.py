"""The bodies of messages to webhooks, as JSON."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from cryomamba.models.jobs import EventType, JobEvent
from cryomamba.models.webhooks import (
    TEST_EVENT,
    JobEndedMessage,
    WebhookArtifact,
    WebhookEvent,
    WebhookJob,
    WebhookTested,
    WebhookTestMessage,
)
from cryomamba_broker.store.rows import to_time

ENDS: Final[Mapping[EventType, WebhookEvent]] = {
    "job_completed": "job.completed",
    "job_failed": "job.failed",
    "job_cancelled": "job.cancelled",
}


def job_ended(job: sqlite3.Row, event: JobEvent) -> str:
    """Return the message about the end of a job; `job` is its row after the change."""
    path = f"/v1/jobs/{job['id']}"
    data = WebhookJob(
        job_id=job["id"],
        name=job["name"],
        engine=job["engine"],
        owner=job["owner"],
        state=job["state"],
        reason=event.reason,
        created_at=to_time(job["created_at"]),
        completed_at=to_time(job["completed_at"]),
        url=path,
        artifacts=tuple(
            WebhookArtifact(name=one["name"], size_bytes=one["size_bytes"], url=f"{path}/artifacts/{one['name']}")
            for one in json.loads(job["artifacts"])
        ),
    )
    return JobEndedMessage(type=ENDS[event.type], timestamp=event.at, data=data).model_dump_json()


def webhook_tested(webhook_id: str, at: datetime) -> str:
    """Return the message that tests a webhook."""
    return WebhookTestMessage(
        type=TEST_EVENT, timestamp=at, data=WebhookTested(webhook_id=webhook_id)
    ).model_dump_json()
