"""The bodies of requests and answers, typed; OpenAPI is made from these."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints, model_validator

from cryomamba.engines.info import EngineName
from cryomamba.models.base import JSON_NUMBER, Request
from cryomamba.models.jobs import (
    PARAMS_MAX_BYTES,
    RETHRESHOLD,
    Artifact,
    JobRecord,
    JobState,
    Label,
    Params,
    PreviewOptions,
    Side,
    SubmitRequest,
    VolumeSource,
)
from cryomamba.models.server import ServerInfo

DEMO_SHAPE: Final = (128, 128, 128)

Position = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False), JSON_NUMBER]
Score = Annotated[int, Field(ge=1, le=255), JSON_NUMBER]
ClientKey = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")]


class Health(BaseModel):
    """The gateway lives."""

    status: Literal["OK"] = "OK"
    timestamp: datetime
    service: Literal["gateway"] = "gateway"
    version: str
    uptime_s: float = Field(ge=0)


class Readiness(BaseModel):
    """Everything that a job needs is there."""

    status: Literal["ready"] = "ready"
    timestamp: datetime
    workers: int = Field(ge=1)


class Gpu(BaseModel):
    """A graphics card."""

    name: str
    memory_bytes: int = Field(ge=0)


class SystemInfo(BaseModel):
    """The machine on which the gateway runs."""

    platform: str
    python: str
    architecture: str
    cpu_count: int = Field(ge=1)
    gpus: tuple[Gpu, ...] = ()


class Limits(BaseModel):
    """What the gateway takes."""

    body_max_bytes: int
    params_max_bytes: int = PARAMS_MAX_BYTES
    websocket_message_max_bytes: int
    websocket_jobs_max: int


class GatewayInfo(ServerInfo):
    """What a client learns in one call: versions, engines and their parameters, workers, limits, bus endpoints."""

    system: SystemInfo
    limits: Limits


class ArtifactOut(Artifact):
    """A finished file, and where to fetch it."""

    url: str = Field(description="Path on this gateway; takes Range.")


class JobOut(JobRecord):
    """A job as it stands."""

    artifacts: tuple[ArtifactOut, ...] = ()


def artifact_url(job_id: str, name: str) -> str:
    """Return the path of a finished file."""
    return f"/v1/jobs/{job_id}/artifacts/{name}"


class CreatedJob(JobOut):
    """A job that has just been handed in."""

    status: Literal["created"]


def _fields(record: JobRecord) -> dict[str, Any]:
    artifacts = tuple(
        ArtifactOut.model_construct(**dict(artifact), url=artifact_url(record.job_id, artifact.name))
        for artifact in record.artifacts
    )
    return {**dict(record), "artifacts": artifacts}


def job_out(record: JobRecord) -> JobOut:
    """Return a record from the broker, which has been checked already, as it goes to clients."""
    return JobOut.model_construct(**_fields(record))


def created_job(record: JobRecord) -> CreatedJob:
    """Return the answer to a job that was handed in."""
    return CreatedJob.model_construct(**_fields(record), status="created")


class JobPageOut(BaseModel):
    """One page of the jobs, newest first; `cursor` continues it."""

    jobs: tuple[JobOut, ...]
    cursor: str | None = None


class JobQuery(Request):
    """What a listing may be asked for."""

    state: JobState | None = Field(None, description="Only jobs in this state.")
    limit: int = Field(50, ge=1, le=500, description="Most jobs in the page.")
    cursor: str | None = Field(None, pattern=r"^[0-9]{1,18}$", description="The `cursor` of the page before.")


class JobRequest(Request):
    """A job as it is handed in; every field may be left out, and an empty body makes a demo job."""

    volume: VolumeSource | None = Field(None, description="What to segment; a demo volume if left out.")
    engine: EngineName | None = Field(None, description="Name of an engine; the server's default if left out.")
    params: Params = Field(
        default_factory=dict, description="The engine's parameters; /v1/server/info has their JSON schema."
    )
    preview: PreviewOptions = Field(default_factory=PreviewOptions)
    name: Label = Field("", description="A label for people.")
    priority: Annotated[int, Field(ge=-100, le=100), JSON_NUMBER] = Field(0, description="Higher goes first.")
    volume_shape: tuple[Side, Side, Side] | None = Field(
        None,
        deprecated=True,
        description="ZYX shape of a demo job, if there is no `volume`; write `volume: {shape: …}`.",
    )
    volume_dtype: Annotated[str, StringConstraints(max_length=32)] | None = Field(
        None, deprecated=True, description="Not used: the volume's own header tells."
    )
    has_volume: StrictBool | None = Field(None, deprecated=True, description="Not used: see `volume`.")

    def submit(self, client_key: str | None) -> SubmitRequest:
        """Return the request to the broker."""
        shape = self.__dict__["volume_shape"]
        volume = self.volume or VolumeSource(shape=shape or DEMO_SHAPE)
        return SubmitRequest(
            volume=volume,
            engine=self.engine,
            params=self.params,
            preview=self.preview,
            name=self.name,
            priority=self.priority,
            client_key=client_key,
        )


class ThresholdBody(Request):
    """Where a finished job's scores are cut anew."""

    high: Score = Field(description="Score that each component must reach in at least one voxel.")
    low: Score | None = Field(None, description="Score that each voxel must reach; the same as `high` if left out.")
    min_volume_nm3: Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False), JSON_NUMBER] = Field(
        0.0, description="Smaller components are removed."
    )
    preview: PreviewOptions = Field(default_factory=PreviewOptions)
    name: Label = Field("", description="A label for people.")

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
    """Where the person looks, in tomogram voxels (z, y, x): tiles there come first."""

    position: tuple[Position, Position, Position]


class RevisionBody(Request):
    """A corrected mask: an uploaded file, or one that the server can read."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in ("file_id", "path")
            ]
        }
    )

    file_id: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = Field(
        None, description="An uploaded file."
    )
    path: Annotated[str, StringConstraints(min_length=1, max_length=4096)] | None = Field(
        None, description="A file below one of the server's folders."
    )
    note: Label = Field("", description="What was changed, for people.")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.file_id is None) == (self.path is None):
            msg = "give exactly one of file_id and path"
            raise ValueError(msg)
        return self


class PreviewQuery(Request):
    """In which form a preview is wanted."""

    format: Literal["binary", "png"] = Field("binary", description="A frame as on the WebSocket, or a picture.")
    axis: Literal["z", "y", "x"] = Field("z", description="Axis that the picture is cut across.")
    index: int | None = Field(
        None, ge=0, le=2**31, description="Slice of the tomogram, counted from 0; the middle one if left out."
    )
