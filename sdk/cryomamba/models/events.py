"""The events of a watched job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import JobEvent, JobRecord, Progress


@dataclass(frozen=True, slots=True)
class StateEvent:
    """A job changed its state; `record` is the job as it stands now. None of these is ever dropped."""

    event: JobEvent
    record: JobRecord

    @property
    def job_id(self) -> str:
        """The job concerned."""
        return self.event.job_id


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """The progress of a running job; an older event that was not fetched is replaced by a newer one."""

    job_id: str
    attempt: int
    progress: Progress


@dataclass(frozen=True, slots=True)
class PreviewEvent:
    """The newest preview; older ones that were not fetched have been dropped.

    Attributes
    ----------
    skipped : int
        How many frames were dropped since the last one seen.
    """

    frame: PreviewFrame
    skipped: int = 0

    @property
    def job_id(self) -> str:
        """The job concerned."""
        return self.frame.job_id


@dataclass(frozen=True, slots=True)
class ConnectionEvent:
    """The connection changed; the client reconnects and continues to watch.

    Attributes
    ----------
    status : {'connected', 'lost', 'restarted'}
        ``restarted`` when the other side came back as a new process.
    message : str
        A sentence for display.
    retry_s : float
        Seconds until the next try, when lost.
    """

    status: Literal["connected", "lost", "restarted"]
    message: str
    retry_s: float = 0.0


Event = StateEvent | ProgressEvent | PreviewEvent | ConnectionEvent
