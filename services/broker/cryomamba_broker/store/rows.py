"""Conversion between rows and records; texts are truncated so that a record always fits into a message header."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgpack
from pydantic import BaseModel

from cryomamba.errors import InvalidRequestError
from cryomamba.models.jobs import JobError, JobEvent, JobRecord, Progress
from cryomamba.wire.constants import HEADER_MAX_BYTES

R = TypeVar("R", bound=BaseModel)

REPLY_BUDGET: Final = HEADER_MAX_BYTES - 2048
ERRORS_SHOWN: Final = 5
HISTORY_SHOWN: Final = 50
_MESSAGE_BYTES: Final = 1000
_HINT_BYTES: Final = 500
_REASON_BYTES: Final = 200


def to_time(seconds: float) -> datetime:
    """Return seconds since 1970 as a time in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def to_json(value: object) -> str:
    """Return compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def truncate(text: str, nbytes: int) -> str:
    """Truncate a text to at most `nbytes` bytes of UTF-8; an ellipsis marks the truncation."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= nbytes:
        return raw.decode("utf-8")
    return raw[: nbytes - 3].decode("utf-8", "ignore") + "…"


def truncate_error(error: JobError, attempt: int) -> JobError:
    """Return an error as it is stored: with its attempt, and truncated."""
    return error.model_copy(
        update={
            "attempt": attempt,
            "message": truncate(error.message, _MESSAGE_BYTES),
            "hint": truncate(error.hint, _HINT_BYTES),
        }
    )


def truncate_reason(reason: str) -> str:
    """Return the reason of an event as it is stored."""
    return truncate(reason, _REASON_BYTES)


def event_of(row: sqlite3.Row) -> JobEvent:
    """Make an event from a row of ``events`` joined with its job's id."""
    return JobEvent(
        n=row["n"],
        type=row["type"],
        job_id=row["id"],
        state=row["state"],
        attempt=row["attempt"],
        at=to_time(row["at"]),
        reason=row["reason"],
    )


def record_of(
    row: sqlite3.Row, live: tuple[Progress, float], errors: Iterable[str], history: Iterable[JobEvent] = ()
) -> JobRecord:
    """Make a record of a job.

    Parameters
    ----------
    row : sqlite3.Row
        Of the table ``jobs``.
    live : tuple of Progress and float
        The job's progress, and when it changed last (seconds since 1970).
    errors : iterable of str
        The newest errors, as JSON.
    history : iterable of JobEvent
        The newest events.
    """
    progress, updated_at = live
    fields: dict[str, Any] = {
        "job_id": row["id"],
        "state": row["state"],
        "name": row["name"],
        "engine": row["engine"],
        "params": json.loads(row["params"]),
        "volume": json.loads(row["volume"]),
        "model_sha256": row["model_sha256"],
        "within": None if row["within"] is None else json.loads(row["within"]),
        "preview": json.loads(row["preview"]),
        "priority": row["priority"],
        "progress": progress,
        "attempt": row["attempt"],
        "cancel_requested": bool(row["cancel_requested"]),
        "artifacts": json.loads(row["artifacts"]),
        "warnings": json.loads(row["warnings"]),
        "estimates": json.loads(row["estimates"]),
        "errors": [json.loads(error) for error in errors],
        "created_at": to_time(row["created_at"]),
        "updated_at": to_time(updated_at),
        "started_at": None if row["started_at"] is None else to_time(row["started_at"]),
        "completed_at": None if row["completed_at"] is None else to_time(row["completed_at"]),
        "history": tuple(history),
        "owner": row["owner"],
        "request_id": row["request_id"],
    }
    return JobRecord.model_validate(fields)


def wire_nbytes(value: object) -> int:
    """Return the size of a value in a message header, in bytes."""
    return len(msgpack.packb(value, use_bin_type=True))


def fitting(records: Iterable[R]) -> tuple[R, ...]:
    """Return the records from the first one on that fit into one reply together."""
    found: list[R] = []
    budget = REPLY_BUDGET
    for record in records:
        budget -= wire_nbytes(record.model_dump(mode="json"))
        if budget < 0:
            break
        found.append(record)
    return tuple(found)


def next_cursor(rows: Sequence[sqlite3.Row], shown: int) -> str | None:
    """Return the cursor of the page after one with the first `shown` of the rows; None at the end of the listing."""
    return str(rows[shown - 1]["serial"]) if 0 < shown < len(rows) else None


def parse_cursor(cursor: str | None) -> int:
    """Return the serial number before which a page of the listing begins.

    Raises
    ------
    InvalidRequestError
        The cursor did not come from a listing.
    """
    if cursor is None:
        return 2**62
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise InvalidRequestError(
            "The cursor did not come from a listing.", hint="Start the listing again without a cursor."
        )
    return int(cursor)
