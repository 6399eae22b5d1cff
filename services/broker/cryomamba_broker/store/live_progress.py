"""Progress of running jobs, in memory: it is stored only when the lease is, every few seconds."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from cryomamba.models.jobs import JobState, Progress


@dataclass(frozen=True, slots=True)
class _Report:
    attempt: int
    progress: Progress
    at: float


class LiveProgress:
    """The last report of each running attempt; belongs to the store's thread."""

    def __init__(self) -> None:
        self._reports: dict[int, _Report] = {}

    def put(self, row: sqlite3.Row, progress: Progress, at: float) -> None:
        """Keep what the worker of a job reported at a time (seconds since 1970)."""
        self._reports[row["serial"]] = _Report(row["attempt"], progress, at)

    def forget(self, row: sqlite3.Row) -> None:
        """Drop the report of a job that does not run any more."""
        self._reports.pop(row["serial"], None)

    def of(self, row: sqlite3.Row) -> tuple[Progress, float]:
        """Return the newest progress of a job, and when the job changed last (seconds since 1970)."""
        report = self._reports.get(row["serial"])
        if report is None or row["state"] != JobState.RUNNING or report.attempt != row["attempt"]:
            return Progress.model_validate_json(row["progress"]), row["updated_at"]
        return report.progress, max(report.at, row["updated_at"])
