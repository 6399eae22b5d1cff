"""The bodies of requests and responses; the OpenAPI document is generated from them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from cryomamba.engines.info import EngineName
from cryomamba.models.base import JSON_NUMBER, Record, Request
from cryomamba.models.jobs import (
    PARAMS_MAX_BYTES,
    RETHRESHOLD,
    Artifact,
    JobRecord,
    JobState,
    Label,
    Params,
    PreviewOptions,
    SubmitRequest,
    VolumeSource,
)
from cryomamba.models.masks import MaskSource
from cryomamba.models.server import ServerInfo
from cryomamba.models.webhooks import ALL_EVENTS, WebhookEvent, WebhookUrl
from cryomamba_gateway.deprecated import CancelStatus, FirstJobFields, FirstJobFilter
from cryomamba_gateway.download_names import download_name

DEMO_SHAPE: Final = (128, 128, 128)

Position = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False), JSON_NUMBER]
Score = Annotated[int, Field(ge=1, le=255), JSON_NUMBER]
ClientKey = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")]


class Health(Record):
    """The gateway is running."""

    status: Literal["OK"] = "OK"
    timestamp: datetime
    service: Literal["gateway"] = "gateway"
    version: str
    uptime_s: float = Field(ge=0)


class Readiness(Record):
    """A job would be accepted and run."""

    status: Literal["ready"] = "ready"
    timestamp: datetime
    workers: int = Field(ge=1)


class Gpu(Record):
    """A graphics card."""

    name: str
    memory_bytes: int = Field(ge=0)


class SystemInfo(Record):
    """The machine on which the gateway runs."""

    platform: str
    python: str
    architecture: str
    cpu_count: int = Field(ge=1)
    gpus: tuple[Gpu, ...] = ()


class Limits(Record):
    """Limits of the gateway."""

    body_max_bytes: int
    params_max_bytes: int = PARAMS_MAX_BYTES
    websocket_message_max_bytes: int
    websocket_jobs_max: int


class GatewayInfo(ServerInfo):
    """Versions, engines and their parameters, workers, limits and bus endpoints."""

    system: SystemInfo
    limits: Limits


class ArtifactOut(Artifact):
    """An output file, and where to download it."""

    url: str = Field(description="Path on this gateway; supports Range.")
    download_name: str = Field(description="The name under which browsers save it, as the command line does.")


class JobOut(JobRecord):
    """The current record of a job."""

    artifacts: tuple[ArtifactOut, ...] = ()


class CancelledJob(CancelStatus, JobOut):
    """A job that was just cancelled."""


class CreatedJob(JobOut):
    """A job that was just submitted."""

    status: Literal["created"]


def _fields(record: JobRecord) -> dict[str, Any]:
    artifacts = tuple(
        ArtifactOut.model_construct(
            **dict(artifact),
            url=f"/v1/jobs/{record.job_id}/artifacts/{artifact.name}",
            download_name=download_name(record, artifact.name),
        )
        for artifact in record.artifacts
    )
    return {**dict(record), "artifacts": artifacts}


def job_out(record: JobRecord) -> JobOut:
    """Return a record as clients receive it; the broker's records need no second validation."""
    return JobOut.model_construct(**_fields(record))


def created_job(record: JobRecord) -> CreatedJob:
    """Return the response to a submit."""
    return CreatedJob.model_construct(**_fields(record), status="created")


def cancelled_job(record: JobRecord) -> CancelledJob:
    """Return the response to a cancel."""
    status: Literal["cancelled", "cancelling"] = "cancelled" if record.state is JobState.CANCELLED else "cancelling"
    return CancelledJob.model_construct(**_fields(record), status=status)


class JobPageOut(Record):
    """One page of jobs, newest first; `cursor` continues the listing."""

    jobs: tuple[JobOut, ...]
    cursor: str | None = None


class JobQuery(FirstJobFilter):
    """Filters of a listing, and which page of it."""

    limit: int = Field(50, ge=1, le=500, description="Maximum number of jobs in the page.")
    cursor: str | None = Field(None, pattern=r"^[0-9]{1,18}$", description="The `cursor` of the previous page.")


class JobRequest(FirstJobFields):
    """A job to submit. Every field is optional; an empty body makes a demo job."""

    volume: VolumeSource | None = Field(None, description="The volume to segment; a demo volume by default.")
    engine: EngineName | None = Field(None, description="Name of an engine; the server's default engine by default.")
    params: Params = Field(
        default_factory=dict, description="Parameters of the engine; /v1/server/info has their JSON schema."
    )
    within: MaskSource | None = Field(
        None, description="A mask on the volume's grid; only where it is not 0 is the volume segmented and measured."
    )
    preview: PreviewOptions = Field(default_factory=PreviewOptions)
    name: Label = Field("", description="Shown to people; several may have the same.")
    priority: Annotated[int, Field(ge=-100, le=100), JSON_NUMBER] = Field(
        0,
        description="Among the jobs of one owner a higher one goes first; a step counts as much as a day in the queue. "
        "-1 is low, 1 is high; only the jobs of administrators get more or less than these.",
    )

    def submit(self, client_key: str | None) -> SubmitRequest:
        """Return the request to the broker."""
        return SubmitRequest(
            volume=self.volume or self.first_volume() or VolumeSource(shape=DEMO_SHAPE),
            engine=self.engine or self.first_engine(),
            params=self.params,
            within=self.within,
            preview=self.preview,
            name=self.name,
            priority=self.priority,
            client_key=client_key,
        )


class ThresholdBody(Request):
    """A new hysteresis threshold for the score map of a finished job."""

    high: Score = Field(description="Score that each component must reach in at least one voxel.")
    low: Score | None = Field(None, description="Score that each voxel must reach; the same as `high` if left out.")
    min_volume_nm3: Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False), JSON_NUMBER] = Field(
        0.0, description="Smaller components are removed."
    )
    preview: PreviewOptions = Field(default_factory=PreviewOptions)
    name: Label = Field("", description="Shown to people; several may have the same.")

    def submit(self, job_id: str, client_key: str | None) -> SubmitRequest:
        """Return the request that goes to the broker."""
        return SubmitRequest(
            volume=VolumeSource(job_id=job_id),
            engine=RETHRESHOLD,
            params=self.model_dump(include={"high", "low", "min_volume_nm3"}, exclude_none=True),
            preview=self.preview,
            name=self.name,
            client_key=client_key,
        )


class FocusBody(Request):
    """The position that the user views, in tomogram voxels (z, y, x); tiles near it are computed first."""

    position: tuple[Position, Position, Position]


class RevisionBody(Request):
    """A corrected mask: an uploaded file, or a path that the server can read."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"title": title, "required": [name], "properties": {name: {"not": {"type": "null"}}}}
                for name, title in {"file_id": "RevisionFile", "path": "RevisionPath"}.items()
            ]
        }
    )

    file_id: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = Field(
        None, description="An uploaded file."
    )
    path: Annotated[str, StringConstraints(min_length=1, max_length=4096)] | None = Field(
        None, description="A file in an allowed input directory."
    )
    note: Label = Field("", description="A comment on what was changed.")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.file_id is None) == (self.path is None):
            raise ValueError("give exactly one of file_id and path")
        return self


class WebhookBody(Request):
    """A URL to which a signed message is sent when a job ends."""

    url: WebhookUrl = Field(description="Where the messages are sent, with POST: https at a public address.")
    events: Annotated[tuple[WebhookEvent, ...], Field(min_length=1, max_length=len(ALL_EVENTS))] = Field(
        ALL_EVENTS, description="Outcomes of jobs for which messages are sent."
    )
    name: Label = Field("", description="Shown to people; several may have the same.")


class WebhookQuery(Request):
    """Which page of a listing."""

    limit: int = Field(50, ge=1, le=200, description="Maximum number of webhooks in the page.")
    cursor: str | None = Field(None, pattern=r"^[0-9]{1,18}$", description="The `cursor` of the previous page.")


class ModelQuery(Request):
    """Which page of a listing."""

    limit: int = Field(100, ge=1, le=500, description="Maximum number of models in the page.")
    cursor: str | None = Field(None, pattern=r"^[0-9]{1,18}$", description="The `cursor` of the previous page.")


class PreviewQuery(Request):
    """The form of a preview."""

    format: Literal["binary", "png"] = Field("binary", description="A binary frame as on the WebSocket, or an image.")
    axis: Literal["z", "y", "x"] = Field("z", description="Axis perpendicular to the slice.")
    index: int | None = Field(
        None, ge=0, le=2**31, description="Slice of the tomogram, counted from 0; the middle one by default."
    )
