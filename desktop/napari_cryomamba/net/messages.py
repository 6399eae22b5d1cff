"""What the network's thread tells the GUI."""

from __future__ import annotations

from dataclasses import dataclass

from cryomamba.records import JobRecord, Progress
from napari_cryomamba.models.history import Notice
from napari_cryomamba.models.link import Link


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """The connection stands otherwise."""

    link: Link


@dataclass(frozen=True, slots=True)
class Told:
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


Message = LinkChanged | Told | JobChanged | JobProgressed | FrameWaits
