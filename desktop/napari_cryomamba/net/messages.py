"""Messages from other threads to the GUI thread."""

from __future__ import annotations

from dataclasses import dataclass

from cryomamba.models.jobs import JobRecord, Progress
from napari_cryomamba.models.connection import ConnectionState
from napari_cryomamba.models.notifications import Notification


@dataclass(frozen=True, slots=True)
class ConnectionChanged:
    """The connection has another state."""

    state: ConnectionState


@dataclass(frozen=True, slots=True)
class NotificationPosted:
    """The user should read this."""

    notification: Notification


@dataclass(frozen=True, slots=True)
class JobChanged:
    """A job has a new record."""

    record: JobRecord


@dataclass(frozen=True, slots=True)
class JobProgressed:
    """A running job has made progress."""

    job_id: str
    attempt: int
    progress: Progress


@dataclass(frozen=True, slots=True)
class FrameReady:
    """A preview of a job can be drawn; posted once for all frames that arrive before it is taken."""

    job_id: str


Message = ConnectionChanged | NotificationPosted | JobChanged | JobProgressed | FrameReady
