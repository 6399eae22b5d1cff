"""The table of jobs: the server's, those that run in this process, and uploads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from cryomamba.models.jobs import JobRecord, JobState, Progress
from napari_cryomamba.models.job_details import took_s
from napari_cryomamba.models.notifications import Level, Notification

_STATE_WORDS = {
    JobState.PENDING: "Waiting",
    JobState.RUNNING: "Running",
    JobState.COMPLETED: "Completed",
    JobState.FAILED: "Failed",
    JobState.CANCELLED: "Cancelled",
}
_TILES_STAGE = "segmenting"
"""The stage in which an engine works tile by tile, unless it calls it differently."""


class JobKind(StrEnum):
    """Where a job runs. The value is the prefix of the ids of its jobs."""

    SERVER = ""
    LOCAL = "local-"
    UPLOAD = "upload-"


def kind_of(job_id: str) -> JobKind:
    """Return where the job with an id runs; an upload becomes a job on the server when it is complete."""
    return next((kind for kind in (JobKind.LOCAL, JobKind.UPLOAD) if job_id.startswith(kind)), JobKind.SERVER)


@dataclass(frozen=True, slots=True)
class Job:
    """A row of the table.

    Attributes
    ----------
    record : JobRecord
        The newest that is known.
    progress : Progress
        May be newer than the record's.
    mine : bool
        Whether this desktop submitted it.
    """

    record: JobRecord
    progress: Progress
    mine: bool = False

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self.record.job_id

    @property
    def kind(self) -> JobKind:
        """Where it runs."""
        return kind_of(self.job_id)

    @property
    def state_text(self) -> str:
        """The state in words, a pending cancel and further attempts included."""
        record = self.record
        if record.cancel_requested and not record.state.final:
            return "Cancelling"
        if record.state is JobState.RUNNING and self.progress.stage:
            attempt = f" (attempt {record.attempt})" if record.attempt > 1 else ""
            return f"{self._doing}{attempt}"
        if record.state is JobState.PENDING and record.attempt:
            return f"Waiting for attempt {record.attempt + 1}"
        return _STATE_WORDS[record.state]

    @property
    def _doing(self) -> str:
        progress = self.progress
        stage = f"{progress.stage[:1].upper()}{progress.stage[1:]}"
        if progress.stage == _TILES_STAGE and 0 <= progress.done_tiles < progress.total_tiles:
            return f"{stage}: {progress.done_tiles} of {progress.total_tiles} tiles done"
        return stage

    def time_text(self, now: datetime) -> str:
        """Return for how long the job has run, and the time left as far as it is known; at its end how long it took."""
        took = took_s(self.record, now)
        if self.record.state.final:
            return "" if took is None else f"took {duration(took)}"
        eta = self.progress.eta_s
        known = [] if took is None else [duration(took)]
        return ", ".join([*known, *([] if eta is None else [f"{duration(eta)} left"])])

    @property
    def can_cancel(self) -> bool:
        """Whether there is something to cancel."""
        return not self.record.state.final and not self.record.cancel_requested

    @property
    def can_retry(self) -> bool:
        """Whether it may be queued again."""
        return self.record.state in {JobState.FAILED, JobState.CANCELLED}

    @property
    def warning_text(self) -> str:
        """What should be checked, one sentence or two per line; empty if there is nothing."""
        return "\n".join(f"⚠ {text}" for text in self.record.warning_texts)

    @property
    def error_text(self) -> str:
        """The last error with its hint, empty if there is none."""
        errors = self.record.errors
        return f"{errors[-1].message} {errors[-1].hint}".strip() if errors else ""


def duration(seconds: float) -> str:
    """Return a duration for people: ``40 s``, ``3 min``, ``1 h 20 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s" if whole < 600 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


@dataclass(slots=True)
class JobTable:
    """All jobs by id. `mine` and `hidden` are remembered over a restart of the desktop."""

    mine: set[str] = field(default_factory=set)
    hidden: set[str] = field(default_factory=set)
    show_all: bool = False
    _jobs: dict[str, Job] = field(default_factory=dict)

    def get(self, job_id: str) -> Job | None:
        """Return a job, None if it is unknown."""
        return self._jobs.get(job_id)

    def all_jobs(self) -> list[Job]:
        """Return all jobs that are known, in no order."""
        return list(self._jobs.values())

    @property
    def rows(self) -> list[Job]:
        """The jobs to show, newest first."""
        listed = (job for job in self._jobs.values() if job.job_id not in self.hidden)
        shown = [job for job in listed if job.mine or self.show_all]
        return sorted(shown, key=lambda job: job.record.created_at, reverse=True)

    def update(self, record: JobRecord) -> list[Notification]:
        """Store a record of a job unless it is older than the one known; return the notifications that are new."""
        known = self._jobs.get(record.job_id)
        if known is not None and _version(record) < _version(known.record):
            return []
        progress = record.progress
        same_attempt = known is not None and known.record.attempt == record.attempt and not record.state.final
        if known is not None and same_attempt and known.progress.fraction > progress.fraction:
            progress = known.progress
        mine = record.job_id in self.mine or kind_of(record.job_id) is not JobKind.SERVER
        self._jobs[record.job_id] = Job(record, progress, mine)
        return _notifications(known, self._jobs[record.job_id])

    def drop(self, job_id: str) -> None:
        """Remove a row."""
        self._jobs.pop(job_id, None)

    def progress(self, job_id: str, attempt: int, progress: Progress) -> bool:
        """Store the progress of a running attempt; False if that attempt is unknown."""
        job = self._jobs.get(job_id)
        if job is None or job.record.state.final or attempt < job.record.attempt:
            return False
        self._jobs[job_id] = replace(job, progress=progress)
        return True

    def adopt(self, job_id: str) -> None:
        """Mark a job as submitted by this desktop."""
        self.mine.add(job_id)
        self.hidden.discard(job_id)
        if job_id in self._jobs:
            self._jobs[job_id] = replace(self._jobs[job_id], mine=True)

    def remove(self, job_id: str) -> None:
        """Take a job out of the table for good; a server's job and its files stay on the server."""
        if kind_of(job_id) is not JobKind.SERVER:
            self.drop(job_id)
            return
        self.hidden.add(job_id)
        self.mine.discard(job_id)

    def drop_server_jobs(self) -> None:
        """Drop the jobs of the server, which is about to change."""
        self._jobs = {job_id: job for job_id, job in self._jobs.items() if job.kind is not JobKind.SERVER}

    def unfinished(self) -> Iterable[Job]:
        """Return the shown jobs that are not final."""
        return [job for job in self.rows if not job.record.state.final]


def _notifications(known: Job | None, job: Job) -> list[Notification]:
    if known is None or not job.mine:
        return []
    record = job.record
    upload = job.kind is JobKind.UPLOAD
    context = f"Uploading '{record.volume.name}'" if upload else f"Job '{record.name or record.engine}'"
    seen = _version(known.record)[0]
    found = [
        Notification(
            Level.WARNING,
            f"Attempt {event.attempt} ended: {event.reason or 'its worker was lost'}",
            "The job is retried automatically.",
            context,
        )
        for event in record.history
        if event.n > seen and event.type == "job_requeued"
    ]
    if record.state is known.record.state:
        return found
    if record.state is JobState.FAILED:
        error = record.errors[-1] if record.errors else None
        found.append(
            Notification(Level.ERROR, error.message, error.hint, context, code=str(error.code))
            if error is not None
            else Notification(Level.ERROR, "The job failed.", context=context)
        )
    elif record.state is JobState.COMPLETED:
        found.append(Notification(Level.INFO, "The mask is complete.", context=context))
        found += [Notification(Level.WARNING, said.message, said.hint, context) for said in record.warnings]
    return found


def _version(record: JobRecord) -> tuple[int, float]:
    last = record.history[-1].n if record.history else 0
    return last, record.updated_at.timestamp()
