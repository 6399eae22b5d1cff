"""The bodies of requests and answers, typed; OpenAPI is made from these."""

from __future__ import annotations

import json
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Final, Literal, Self

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, StringConstraints, model_validator

from cryomamba.engines.info import EngineName
from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.models.base import Request
from cryomamba.models.jobs import (
    PARAMS_MAX_BYTES,
    RETHRESHOLD,
    Artifact,
    JobRecord,
    JobState,
    Label,
    PreviewOptions,
    Side,
    SubmitRequest,
    VolumeSource,
)
from cryomamba.models.server import ServerInfo

DEMO_SHAPE: Final = (128, 128, 128)
_PROBLEM_MAX: Final = 200
_WHOLE_MIN, _WHOLE_MAX = -(2**63), 2**63 - 1

Position = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
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


class Body(Request):
    """The base of all JSON bodies: what the published schema refuses is refused.

    Pydantic alone would take ``true`` for 1 and ``"8"`` for 8.
    """

    @model_validator(mode="wrap")
    @classmethod
    def _as_published(cls, given: object, validate: ModelWrapValidatorHandler[Self]) -> Self:
        made = validate(given)
        problem = best_match(_published(cls).iter_errors(given))
        if problem is not None:
            where = ".".join(str(part) for part in problem.absolute_path)
            raise ValueError(f"{where}: {problem.message[:_PROBLEM_MAX]}")
        return made


@cache
def _published(model: type[BaseModel]) -> Draft202012Validator:
    return Draft202012Validator(model.model_json_schema())


class JobRequest(Body):
    """A job as it is handed in; every field may be left out, and an empty body makes a demo job."""

    volume: VolumeSource | None = Field(None, description="What to segment; a demo volume if left out.")
    engine: EngineName | None = Field(None, description="Name of an engine; the server's default if left out.")
    params: dict[str, Any] = Field(
        default_factory=dict, description="The engine's parameters; /v1/server/info has their JSON schema."
    )
    preview: PreviewOptions = Field(default_factory=PreviewOptions)
    name: Label = Field("", description="A label for people.")
    priority: int = Field(0, ge=-100, le=100, description="Higher goes first.")
    volume_shape: tuple[Side, Side, Side] | None = Field(
        None,
        deprecated=True,
        description="ZYX shape of a demo job, if there is no `volume`; write `volume: {shape: …}`.",
    )
    volume_dtype: Annotated[str, StringConstraints(max_length=32)] | None = Field(
        None, deprecated=True, description="Not used: the volume's own header tells."
    )
    has_volume: bool | None = Field(None, deprecated=True, description="Not used: see `volume`.")

    def submit(self, client_key: str | None) -> SubmitRequest:
        """Return the request that goes to the broker.

        Raises
        ------
        InvalidRequestError
            The parameters hold something that cannot be sent.
        """
        require_json_serializable(self.params)
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


def require_json_serializable(params: dict[str, Any]) -> None:
    """Refuse parameters that the bus cannot carry.

    Raises
    ------
    InvalidRequestError
        Text that is not Unicode, whole numbers beyond 64 bits, NaN, or more than 16 KiB.
    """
    try:
        nbytes = len(json.dumps(params, allow_nan=False, ensure_ascii=False).encode())
        fits = _whole_numbers_fit(params)
    except (ValueError, RecursionError):
        fits, nbytes = False, 0
    if not fits:
        raise InvalidRequestError(
            "The parameters hold something other than plain text and numbers.",
            code=ErrorCode.INVALID_PARAMETERS,
            hint="Text must be Unicode, numbers finite, and whole numbers of at most 64 bits.",
        )
    if nbytes > PARAMS_MAX_BYTES:
        raise InvalidRequestError(
            f"The parameters take {nbytes} bytes; {PARAMS_MAX_BYTES} are allowed.",
            code=ErrorCode.TOO_LARGE,
            hint="Leave out what the engine does not need.",
        )


def _whole_numbers_fit(value: object) -> bool:
    if isinstance(value, dict):
        return all(_whole_numbers_fit(item) for item in value.values())
    if isinstance(value, list):
        return all(_whole_numbers_fit(item) for item in value)
    return not isinstance(value, int) or _WHOLE_MIN <= value <= _WHOLE_MAX


class ThresholdBody(Body):
    """Where a finished job's scores are cut anew."""

    high: int = Field(ge=1, le=255, description="Score that a connected piece must reach somewhere.")
    low: int | None = Field(
        None, ge=1, le=255, description="Score that every voxel of a piece must reach; the same as `high` if left out."
    )
    min_volume_nm3: float = Field(0.0, ge=0, le=1e12, allow_inf_nan=False, description="Smaller pieces are removed.")
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


class FocusBody(Body):
    """Where the person looks, in tomogram voxels (z, y, x): tiles there come first."""

    position: tuple[Position, Position, Position]


class RevisionBody(Body):
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


class PreviewQuery(Request):
    """In which form a preview is wanted."""

    format: Literal["binary", "png"] = Field("binary", description="A frame as on the WebSocket, or a picture.")
    axis: Literal["z", "y", "x"] = Field("z", description="Axis that the picture is cut across.")
    index: int | None = Field(
        None, ge=0, le=2**31, description="Slice of the tomogram, counted from 0; the middle one if left out."
    )
