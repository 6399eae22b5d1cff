"""The bodies of requests and replies on the jobs socket; :data:`REQUESTS` names them all.

The envelope of every request names the owner on whose behalf it is made; see :mod:`cryomamba.access.visibility`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Self

from pydantic import Field, StringConstraints, ValidationError, model_validator

from cryomamba.engines.api import Estimate
from cryomamba.engines.info import EngineInfo
from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.field_problems import field_problem
from cryomamba.masks.strokes import Strokes
from cryomamba.models.base import Record, Request
from cryomamba.models.job_filter import JobFilter
from cryomamba.models.jobs import Artifact, JobError, JobEvent, JobId, JobRecord, Label, Progress, SubmitRequest
from cryomamba.models.webhooks import WebhookRequest
from cryomamba.volumes.metadata import VolumeWarning
from cryomamba.wire import messages
from cryomamba.wire.model_requests import ModelListRequest, ModelRef, WorkerModels
from cryomamba.wire.webhook_requests import DeliveryClaim, DeliveryResult, WebhookListRequest, WebhookRef
from cryomamba.wire.worker_requests import WorkerRef

Zyx = tuple[float, float, float]


class Empty(Request):
    """A request without fields, such as ``ping``, ``server.info`` and ``worker.list``."""


class JobRef(Request):
    """The job that a request is about."""

    job: JobId


class ListRequest(JobFilter):
    """``job.list``: newest first, those of the request's owner; a page ends early when the reply is full."""

    limit: int = Field(50, ge=1, le=500)
    cursor: str | None = Field(None, max_length=200)


class FocusRequest(JobRef):
    """``job.focus``: the tomogram voxel (z, y, x) around which tiles should come first."""

    position: Zyx


class StrokesRequest(JobRef):
    """``job.strokes``: all that is painted now; a job that was submitted with strokes is trained on these instead."""

    strokes: Strokes


class ReviseRequest(JobRef):
    """``job.revise``: a mask that a person has changed becomes a file of its job.

    Attributes
    ----------
    file_id : str, optional
        An uploaded file; exactly one of this and `path`.
    path : str, optional
        A file that the server can read, in one of its allowed input directories.
    note : str
        What was changed, for people.
    """

    file_id: str | None = Field(None, min_length=1, max_length=64)
    path: str | None = Field(None, min_length=1, max_length=4096)
    note: Label = ""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.file_id is None) == (self.path is None):
            raise ValueError("give exactly one of file_id and path")
        return self


class EventsSince(Request):
    """``events.since``: what happened after event `n`, of one job or of all."""

    n: int = Field(ge=0)
    job: JobId | None = None
    limit: int = Field(200, ge=1, le=1000)


class EventPage(Record):
    """The reply to ``events.since``; `last` is the newest event that the broker has."""

    events: tuple[JobEvent, ...]
    last: int


class ArtifactRead(JobRef):
    """``artifact.read``: a chunk of a finished file; the bytes come as payload."""

    name: str = Field(min_length=1, max_length=128)
    offset: int = Field(ge=0)
    length: int = Field(ge=1, le=4 * 1024 * 1024)


class PreviewRead(JobRef):
    """``preview.get``: the newest frame of a job; header fields in the body, labels as payload."""


class WorkerHello(Request):
    """``worker.hello``: a worker introduces itself, at its start and after every broker restart.

    Attributes
    ----------
    memory_bytes : int
        Memory that a job may use on it; 0 if that is not known.
    gpus : tuple of str
        Names of its graphics processors.
    folders : tuple of str
        The allowed input directories that it can read.
    """

    worker: str = Field(min_length=1, max_length=128)
    host: str = Field(max_length=256)
    pid: int
    version: str = Field(max_length=64)
    engines: tuple[EngineInfo, ...]
    memory_bytes: int = Field(0, ge=0, le=2**63)
    gpus: tuple[Annotated[str, StringConstraints(max_length=100)], ...] = Field((), max_length=16)
    folders: tuple[Annotated[str, StringConstraints(max_length=1024)], ...] = Field((), max_length=32)


class WorkerStatus(Request):
    """``worker.status``: what a worker measures of itself, for the metrics; every few seconds.

    Attributes
    ----------
    memory_bytes, cpu_seconds : int, float
        Resident memory and processor time of the inference service with its compute processes; each slot of a service
        reports the same.
    compute_starts, jobs_run : int
        Compute processes and attempts that it has started.
    loop_lag_seconds : float
        The longest lag of its event loop since the last report.
    """

    worker: str = Field(min_length=1, max_length=128)
    memory_bytes: int = Field(ge=0, le=2**63)
    cpu_seconds: float = Field(ge=0, allow_inf_nan=False)
    compute_starts: int = Field(ge=0, le=2**63)
    jobs_run: int = Field(ge=0, le=2**63)
    loop_lag_seconds: float = Field(ge=0, allow_inf_nan=False)


class Claim(Request):
    """``job.claim``: a free worker asks for work and waits up to `wait_s`; repeating it is safe."""

    worker: str = Field(min_length=1, max_length=128)
    engines: tuple[str, ...]
    wait_s: float = Field(10.0, ge=0, le=60)


class Claimed(Record):
    """The reply to ``job.claim``: a job under a lease, or nothing yet; `strokes` counts how often they have changed."""

    job: JobRecord | None = None
    attempt: int = 0
    lease_s: float = 0.0
    focus: Zyx | None = None
    strokes: int = 0


class AttemptRef(JobRef):
    """The attempt that a worker's request is about; on a locked bus, of the key that claimed it."""

    worker: str = Field(min_length=1, max_length=128)
    attempt: int = Field(ge=1)


class Renew(AttemptRef):
    """``job.renew``: the worker extends its lease, and waits for something new up to `wait_s`.

    Attributes
    ----------
    cancelling : bool
    focus : tuple of float, optional
    strokes : int
        What the worker knows: the reply comes at once where the job's cancel or focus differs, or its strokes have
        changed more often.
    """

    wait_s: float = Field(0.0, ge=0, le=60)
    cancelling: bool = False
    focus: Zyx | None = None
    strokes: int = Field(0, ge=0)


class Renewed(Record):
    """The reply to ``job.renew``: whether to stop, and where the viewer looks.

    Attributes
    ----------
    strokes : int
        How often the strokes have changed.
    painted : Strokes or None
        The strokes, if they have changed more often than the worker knew.
    """

    cancel: bool = False
    lease_s: float
    focus: Zyx | None = None
    strokes: int = 0
    painted: Strokes | None = None


class ProgressReport(AttemptRef):
    """``job.progress``: how far the attempt is; published at once, stored with the next lease."""

    progress: Progress


class Finish(AttemptRef):
    """``job.finish``: the attempt has published its artifacts; the broker checks them and gives them their names.

    Attributes
    ----------
    warnings, estimates : tuple, dict
        As in the job's record.
    strokes : int
        How often the strokes had changed that the result is of; a job whose strokes have changed since is queued again.
    """

    artifacts: tuple[Artifact, ...]
    warnings: tuple[VolumeWarning, ...] = ()
    estimates: dict[str, Estimate] = Field(default_factory=dict)
    strokes: int = Field(0, ge=0)


class Fail(AttemptRef):
    """``job.fail``: the attempt ended with an error; a ``cancelled`` code answers a cancel."""

    error: JobError


class Release(AttemptRef):
    """``job.release``: the worker shuts down and gives the lease back; the attempt does not count."""


REQUESTS: Final[Mapping[str, type[Request]]] = {
    messages.PING: Empty,
    messages.SERVER_INFO: Empty,
    messages.SERVER_ACTIVITY: Empty,
    messages.SERVER_METRICS: Empty,
    messages.JOB_SUBMIT: SubmitRequest,
    messages.JOB_GET: JobRef,
    messages.JOB_LIST: ListRequest,
    messages.JOB_CANCEL: JobRef,
    messages.JOB_RETRY: JobRef,
    messages.JOB_DELETE: JobRef,
    messages.JOB_FOCUS: FocusRequest,
    messages.JOB_STROKES: StrokesRequest,
    messages.JOB_REVISE: ReviseRequest,
    messages.EVENTS_SINCE: EventsSince,
    messages.ARTIFACT_READ: ArtifactRead,
    messages.PREVIEW_GET: PreviewRead,
    messages.WEBHOOK_CREATE: WebhookRequest,
    messages.WEBHOOK_GET: WebhookRef,
    messages.WEBHOOK_LIST: WebhookListRequest,
    messages.WEBHOOK_DELETE: WebhookRef,
    messages.WEBHOOK_TEST: WebhookRef,
    messages.WEBHOOK_DELIVERIES: WebhookRef,
    messages.DELIVERY_CLAIM: DeliveryClaim,
    messages.DELIVERY_REPORT: DeliveryResult,
    messages.MODEL_GET: ModelRef,
    messages.MODEL_LIST: ModelListRequest,
    messages.WORKER_LIST: Empty,
    messages.WORKER_DRAIN: WorkerRef,
    messages.WORKER_RESUME: WorkerRef,
    messages.WORKER_REMOVE: WorkerRef,
    messages.WORKER_HELLO: WorkerHello,
    messages.WORKER_STATUS: WorkerStatus,
    messages.WORKER_MODELS: WorkerModels,
    messages.JOB_CLAIM: Claim,
    messages.JOB_RENEW: Renew,
    messages.PROGRESS: ProgressReport,
    messages.JOB_FINISH: Finish,
    messages.JOB_FAIL: Fail,
    messages.JOB_RELEASE: Release,
}


def parse_request(type_: str, body: Mapping[str, Any]) -> Request:
    """Check a request's body.

    Raises
    ------
    InvalidRequestError
        There is no such request, or a field does not fit; the message names the field.
    """
    model = REQUESTS.get(type_)
    if model is None:
        raise InvalidRequestError(
            f"There is no request '{type_[:64]}'.", hint="The broker may be older than this client."
        )
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise invalid_fields(error) from None


def invalid_fields(
    error: ValidationError,
    *,
    code: ErrorCode = ErrorCode.BAD_REQUEST,
    hint: str = "Correct the fields named in the details.",
) -> InvalidRequestError:
    """Return a validation error as one sentence, with every field in the details."""
    problems = [
        {"field": ".".join(str(part) for part in item["loc"]) or "body", "problem": field_problem(item)}
        for item in error.errors(include_url=False, include_input=False, include_context=False)[:20]
    ]
    first = problems[0]
    return InvalidRequestError(
        f"'{first['field']}' is invalid: {first['problem']}.", code=code, hint=hint, details={"fields": problems}
    )
