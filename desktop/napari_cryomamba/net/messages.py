"""What the network's thread tells the GUI."""

from __future__ import annotations

from dataclasses import dataclass

from cryomamba.models.jobs import JobRecord, Progress
from napari_cryomamba.models.connection import ConnectionState
from napari_cryomamba.models.history import Notice


@dataclass(frozen=True, slots=True)
class ConnectionChanged:
    """The connection stands otherwise."""

    link: ConnectionState


@dataclass(frozen=True, slots=True)
class NotificationPosted:
    """The person should read this."""

    notice: Notice


@dataclass(frozen=True, slots=True)
class JobChanged:
    """A job is now so."""

    record: JobRecord


@dataclass(frozen=True, slots=True)
class JobProgressed:
    """A running job is this far."""

    job_id: str
    attempt: int
    progress: Progress


@dataclass(frozen=True, slots=True)
class FrameWaits:
    """A preview lies ready for a job; sent once for however many come before it is taken."""

    job_id: str


Message = ConnectionChanged | NotificationPosted | JobChanged | JobProgressed | FrameWaits
