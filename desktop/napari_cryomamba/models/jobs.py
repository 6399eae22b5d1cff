"""The jobs that the table shows: the server's, those that ran here, and those of earlier sessions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from cryomamba.models.jobs import JobRecord, JobState, Progress
from napari_cryomamba.models.history import Level, Notice

LOCAL_PREFIX = "local-"
SENDING_PREFIX = "upload-"
_STATE_WORDS = {
    JobState.PENDING: "Waiting",
    JobState.RUNNING: "Running",
    JobState.COMPLETED: "Completed",
    JobState.FAILED: "Failed",
    JobState.CANCELLED: "Cancelled",
}


def is_here(job_id: str) -> bool:
    """Whether a job runs in this process, not on a server."""
    return job_id.startswith(LOCAL_PREFIX)


def is_sending(job_id: str) -> bool:
    """Whether a row is a tomogram on its way to the server, and no job yet."""
    return job_id.startswith(SENDING_PREFIX)


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
    def local(self) -> bool:
        """Whether only this desktop knows it: it runs here, or it is on its way."""
        return is_here(self.job_id) or is_sending(self.job_id)

    @property
    def state_text(self) -> str:
        """Return the state in words: a cancel that is under way and a second attempt are said."""
        record = self.record
        if record.cancel_requested and not record.state.final:
            return "Cancelling"
        if record.state is JobState.RUNNING and self.progress.stage:
            attempt = f" (attempt {record.attempt})" if record.attempt > 1 else ""
            return f"{self.progress.stage.capitalize()}{attempt}"
        if record.state is JobState.PENDING and record.attempt:
            return f"Waiting for attempt {record.attempt + 1}"
        return _STATE_WORDS[record.state]

    @property
    def eta_text(self) -> str:
        """Return the time to go, empty where nobody knows it."""
        eta = self.progress.eta_s
        return "" if self.record.state.final or eta is None else duration(eta)

    @property
    def can_cancel(self) -> bool:
        """Whether there is something to cancel."""
        return not self.record.state.final and not self.record.cancel_requested

    @property
    def can_retry(self) -> bool:
        """Whether it may be put back into the queue."""
        return self.record.state in {JobState.FAILED, JobState.CANCELLED}

    @property
    def error_text(self) -> str:
        """Return the last error with its hint, empty if there is none."""
        errors = self.record.errors
        return f"{errors[-1].message} {errors[-1].hint}".strip() if errors else ""


def duration(seconds: float) -> str:
    """Return a time to go as people say it: ``40 s``, ``3 min``, ``1 h 20 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s" if whole < 600 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


@dataclass(slots=True)
class JobTable:
    """All jobs by id. `mine` and `hidden` are what is remembered over a restart of the desktop."""

    mine: set[str] = field(default_factory=set)
    hidden: set[str] = field(default_factory=set)
    show_all: bool = False
    _jobs: dict[str, Job] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._jobs)

    def get(self, job_id: str) -> Job | None:
        """Return a job, None if it is unknown."""
        return self._jobs.get(job_id)

    @property
    def rows(self) -> list[Job]:
        """The jobs to show, newest first."""
        shown = [job for job in self._jobs.values() if self._shows(job)]
        return sorted(shown, key=lambda job: job.record.created_at, reverse=True)

    def _shows(self, job: Job) -> bool:
        return job.job_id not in self.hidden and (job.mine or self.show_all)

    def update(self, record: JobRecord) -> list[Notice]:
        """Take a job as it stands; an older record than the one known changes nothing.

        Returns
        -------
        list of Notice
            What the person should be told: failures, lost attempts.
        """
        known = self._jobs.get(record.job_id)
        if known is not None and _newest(record) < _newest(known.record):
            return []
        progress = record.progress
        same_attempt = known is not None and known.record.attempt == record.attempt and not record.state.final
        if known is not None and same_attempt and known.progress.fraction > progress.fraction:
            progress = known.progress
        job = Job(record, progress, record.job_id in self.mine)
        self._jobs[record.job_id] = replace(job, mine=job.mine or job.local)
        return self._news(known, self._jobs[record.job_id])

    def path_of(self, job_id: str) -> str | None:
        """Return the path that a job's tomogram was given by."""
        job = self._jobs.get(job_id)
        return None if job is None else job.record.volume.path

    def drop(self, job_id: str) -> None:
        """Forget a row."""
        self._jobs.pop(job_id, None)

    def progress(self, job_id: str, attempt: int, progress: Progress) -> bool:
        """Take news of how far a job is; False if it belongs to no running attempt that is known."""
        job = self._jobs.get(job_id)
        if job is None or job.record.state.final or attempt < job.record.attempt:
            return False
        self._jobs[job_id] = replace(job, progress=progress)
        return True

    def adopt(self, job_id: str) -> None:
        """Make a job this desktop's own."""
        self.mine.add(job_id)
        self.hidden.discard(job_id)
        if job_id in self._jobs:
            self._jobs[job_id] = replace(self._jobs[job_id], mine=True)

    def remove(self, job_id: str) -> None:
        """Take a job out of the table, for good; the job itself and its files stay on the server."""
        if is_here(job_id) or is_sending(job_id):
            self.drop(job_id)
            return
        self.hidden.add(job_id)
        self.mine.discard(job_id)

    def forget_server(self) -> None:
        """Drop what belongs to a server that is no longer talked to; local jobs stay."""
        self._jobs = {job_id: job for job_id, job in self._jobs.items() if job.local}

    def unfinished(self) -> Iterable[Job]:
        """Return the shown jobs that are not final."""
        return [job for job in self.rows if not job.record.state.final]

    @staticmethod
    def _news(known: Job | None, job: Job) -> list[Notice]:
        if known is None or not job.mine:
            return []
        record, context = job.record, f"Job '{job.record.name or job.record.engine}'"
        notices = []
        if is_sending(job.job_id):
            context = f"Sending '{record.volume.name}'"
        fresh = [event for event in record.history if event.n > _newest(known.record)[0]]
        for event in fresh:
            if event.type == "job_requeued":
                why = event.reason or "its worker was lost"
                notices.append(
                    Notice(
                        Level.WARNING, f"Attempt {event.attempt} ended: {why}", "It is tried again by itself.", context
                    )
                )
        if record.state is JobState.FAILED and known.record.state is not JobState.FAILED:
            error = record.errors[-1] if record.errors else None
            notices.append(
                Notice(Level.ERROR, error.message, error.hint, context, code=str(error.code))
                if error is not None
                else Notice(Level.ERROR, "The job failed.", context=context)
            )
        if record.state is JobState.COMPLETED and known.record.state is not JobState.COMPLETED:
            notices.append(Notice(Level.INFO, "The mask is complete.", context=context))
        return notices


def _newest(record: JobRecord) -> tuple[int, float]:
    last = record.history[-1].n if record.history else 0
    return last, record.updated_at.timestamp()
