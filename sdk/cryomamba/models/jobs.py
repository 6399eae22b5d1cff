"""Jobs: the request of a client, and the records of state, progress, artifacts and errors."""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from cryomamba.engines.api import Estimate
from cryomamba.engines.artifacts import MASK, revision_number
from cryomamba.engines.info import EngineName
from cryomamba.errors import CryoMambaError, ErrorCode, error_from_payload
from cryomamba.geometry import Shape, Spacing
from cryomamba.models.base import JSON_NUMBER, Record, Request, is_none
from cryomamba.models.base import JobId as JobId
from cryomamba.models.masks import MaskSource, MaskSummary
from cryomamba.models.params import PARAMS_MAX_BYTES as PARAMS_MAX_BYTES
from cryomamba.models.params import Params as Params
from cryomamba.printable import PRINTABLE_PATTERN, printable
from cryomamba.volumes.metadata import VolumeWarning

DEMO_SIDE_MAX = 1024
NAME_MAX = 200
RETHRESHOLD = "rethreshold"


def _require_shown(text: str) -> str:
    shown = printable(text)
    if shown != text:
        raise ValueError(f"it has characters that cannot be shown, here escaped: {shown}")
    return text


Label = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=NAME_MAX),
    AfterValidator(_require_shown),
    # The validator says which characters are refused.
    Field(json_schema_extra={"pattern": PRINTABLE_PATTERN}),
]
Owner = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_.@-]{0,64}$")]
Voxel = Annotated[float, Field(gt=0, le=1e5, allow_inf_nan=False), JSON_NUMBER]
Side = Annotated[int, Field(ge=1, le=DEMO_SIDE_MAX), JSON_NUMBER]


class JobState(StrEnum):
    """Where a job stands; the last three are final."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing more will happen to the job, unless it is retried."""
        return self in _FINAL


_FINAL = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})


class Priority(IntEnum):
    """Names of the usual priorities of a job: among the jobs of its owner, a higher one goes first.

    Each step counts as much as a day in the queue: a job is overtaken only by those of the next higher priority that
    are submitted within a day after it. Only an administrator may give a job a priority beyond these three.
    """

    LOW = -1
    NORMAL = 0
    HIGH = 1


class VolumeSource(Request):
    """Which volume to segment: exactly one of `path`, `file_id`, `job_id` and `shape`.

    Attributes
    ----------
    path : str, optional
        A file that the server can read, in one of its allowed input directories.
    file_id : str, optional
        An uploaded file.
    job_id : str, optional
        A finished job whose score map (``scores.mrc``) is to be re-thresholded.
    shape : tuple of int, optional
        ZYX shape of a demo job, which needs no file.
    voxel_size_A : tuple of float, optional
        Voxel size (z, y, x) in ångström that replaces the header's.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"title": title, "required": [name], "properties": {name: {"not": {"type": "null"}}}}
                for name, title in {
                    "path": "VolumePath",
                    "file_id": "VolumeFile",
                    "job_id": "VolumeScores",
                    "shape": "VolumeDemo",
                }.items()
            ]
        }
    )

    path: Annotated[str, StringConstraints(min_length=1, max_length=4096)] | None = None
    file_id: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    job_id: JobId | None = None
    shape: tuple[Side, Side, Side] | None = None
    voxel_size_A: tuple[Voxel, Voxel, Voxel] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(value is not None for value in (self.path, self.file_id, self.job_id, self.shape)) != 1:
            raise ValueError("give exactly one of path, file_id, job_id and shape")
        return self


class PreviewOptions(Request):
    """How often and how finely previews are made."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    interval_s: Annotated[float, Field(ge=0.05, le=60), JSON_NUMBER] = Field(
        1.0, description="Minimum interval between two previews, in seconds."
    )
    max_voxels: Annotated[int, Field(ge=64, le=256**3), JSON_NUMBER] = Field(
        128**3, description="Maximum number of voxels of a preview."
    )


class SubmitRequest(Request):
    """A job as a client submits it.

    Attributes
    ----------
    volume : VolumeSource
    engine : str
        Name of an engine; the server's default if empty.
    params : dict
        The engine's parameters; those left out take their defaults.
    within : MaskSource, optional
        A mask; only the region where it is not 0 is segmented and measured.
    preview : PreviewOptions
    name : str
        Shown to people; several may have the same.
    priority : int
        Among the jobs of one owner a higher one goes first; see :class:`Priority`. −100 to 100, of which only an
        administrator may use more than −1 to 1: the job of somebody else gets the nearest of these.
    client_key : str, optional
        Repeating a submit with the same key gives the same job, among the jobs of the same owner.
    owner : str
        The owner of the job; set by the gateway from the token, or by the broker from the key, and not by the client.
    """

    volume: VolumeSource
    engine: EngineName | None = None
    params: Params = Field(default_factory=dict)
    # An older server refuses fields that it does not know.
    within: MaskSource | None = Field(None, exclude_if=is_none)
    preview: PreviewOptions = Field(default_factory=PreviewOptions)
    name: Label = ""
    priority: Annotated[int, Field(ge=-100, le=100), JSON_NUMBER] = 0
    client_key: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    owner: Owner = ""


class VolumeSummary(Record):
    """The volume of a job; `path` as the client gave it, `job_id` if it is the score map of another job.

    `version` stands for the state of the file when the job was submitted; the job fails if the file is another one when
    it is read.
    """

    name: str
    shape: Shape
    voxel_size_A: Spacing
    path: str | None = None
    file_id: str | None = None
    job_id: str | None = None
    dtype: str | None = None
    warnings: tuple[str, ...] = ()
    version: str | None = None


class Progress(Record):
    """How far a running job is.

    Attributes
    ----------
    fraction : float
        0 to 1 over the whole job. Between two reports of the engine it is estimated, at most one step ahead.
    done_tiles, total_tiles : int
        Counted, never estimated.
    stage : str
        The current step, in a word or two.
    eta_s : float or None
        Estimated seconds left; None at the beginning, and while the engine has not reported for long.
    dashboard_url : str or None
        Address of the dashboard of the Dask scheduler that distributes the tiles; None without one.
    """

    fraction: float = Field(0.0, ge=0, le=1)
    done_tiles: int = Field(0, ge=0)
    total_tiles: int = Field(0, ge=0)
    stage: Annotated[str, StringConstraints(max_length=64)] = ""
    eta_s: float | None = Field(None, ge=0)
    dashboard_url: Annotated[str, StringConstraints(max_length=500, pattern=r"^https?://[^\s]+$")] | None = None


class Artifact(Record):
    """A finished file of a job."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[0-9A-Za-z_][0-9A-Za-z_.-]*$")]
    size_bytes: int = Field(ge=0)
    media_type: str = "application/octet-stream"
    sha256: str = ""


class JobError(Record):
    """The error of one attempt, with the codes of :mod:`cryomamba.errors`."""

    code: ErrorCode
    message: Annotated[str, StringConstraints(max_length=2000)]
    hint: Annotated[str, StringConstraints(max_length=1000)] = ""
    retryable: bool = False
    attempt: int = Field(0, ge=0)

    def error(self) -> CryoMambaError:
        """Return the error as an exception."""
        return error_from_payload(self.model_dump(mode="json"))


EventType = Literal[
    "job_created",
    "job_started",
    "job_requeued",
    "job_cancel_requested",
    "job_retried",
    "job_completed",
    "job_failed",
    "job_cancelled",
    "job_revised",
]
"""What has happened to a job."""


class JobEvent(Record):
    """One line of a job's history; `n` counts all events of the broker and never repeats."""

    n: int
    type: EventType
    job_id: str
    state: JobState
    attempt: int
    at: datetime
    reason: str = ""


class JobRecord(Record):
    """The present state of a job.

    Attributes
    ----------
    model_sha256 : str
        Checksum of the trained model that the parameters name, as it was when the job was submitted; the job fails if
        the model is another one when it begins. Empty for none.
    warnings : tuple of VolumeWarning
        What was seen in the volume or its mask that should be checked; of a completed job.
    estimates : dict of str to float or str
        What the engine has determined by itself, such as the contrast; of a completed job.
    request_id : str
        Of the request that submitted it; the logs name it by that.
    queue_position : int or None
        Of a pending job that was asked for: its place in the queue, 1 for the next. It counts the jobs of all owners
        that a worker would be given before; None where it is not known, and for a job that no worker can run.
    blocked_reason : str
        Of a pending job that was asked for: why no connected worker can run it; empty if one can.
    """

    job_id: str
    state: JobState
    name: str
    engine: str
    params: dict[str, Any]
    volume: VolumeSummary
    model_sha256: str = ""
    within: MaskSummary | None = None
    preview: PreviewOptions = Field(default_factory=PreviewOptions)
    priority: int = 0
    progress: Progress = Field(default_factory=Progress)
    attempt: int = 0
    cancel_requested: bool = False
    artifacts: tuple[Artifact, ...] = ()
    warnings: tuple[VolumeWarning, ...] = ()
    estimates: dict[str, Estimate] = Field(default_factory=dict)
    errors: tuple[JobError, ...] = ()
    created_at: datetime
    started_at: datetime | None = None
    updated_at: datetime
    completed_at: datetime | None = None
    history: tuple[JobEvent, ...] = ()
    owner: str = ""
    request_id: str = ""
    queue_position: int | None = Field(None, ge=1)
    blocked_reason: str = ""

    @property
    def warning_texts(self) -> tuple[str, ...]:
        """What should be checked, about the header and about the result: sentences for people."""
        said = [f"{warning.message} {warning.hint}".rstrip() for warning in self.warnings]
        messages = {warning.message for warning in self.warnings}
        return (*(text for text in self.volume.warnings if text not in messages), *said)

    @property
    def mask(self) -> str | None:
        """Name of the finished mask, if there is one."""
        return MASK.name if self.has(MASK.name) else None

    @property
    def revisions(self) -> tuple[Artifact, ...]:
        """The corrected masks, oldest first."""
        found = [(number, a) for a in self.artifacts if (number := revision_number(a.name))]
        return tuple(artifact for _, artifact in sorted(found, key=lambda pair: pair[0]))

    @property
    def newest_mask(self) -> str | None:
        """Name of the newest revision, or else of the original mask; None if there is no mask."""
        return self.revisions[-1].name if self.revisions else self.mask

    def has(self, name: str) -> bool:
        """Whether a finished file of this name is there."""
        return any(artifact.name == name for artifact in self.artifacts)

    def raise_for_state(self) -> None:
        """Raise the last error of a job that failed or was cancelled.

        Raises
        ------
        CryoMambaError
            The job failed or was cancelled.
        """
        if self.state is JobState.FAILED and self.errors:
            raise self.errors[-1].error()
        if self.state in {JobState.FAILED, JobState.CANCELLED}:
            code = ErrorCode.CANCELLED if self.state is JobState.CANCELLED else ErrorCode.ENGINE_FAILED
            message = f"The job was {self.state}." if code is ErrorCode.CANCELLED else "The job failed."
            hint = f"Run it again with 'cryomamba retry {self.job_id}'."
            raise error_from_payload({"code": code, "message": message, "hint": hint})


class JobPage(Record):
    """One page of a listing, newest first; `cursor` continues it."""

    jobs: tuple[JobRecord, ...]
    cursor: str | None = None
