"""The requests of a client: of each the form on the bus, the form over HTTP, and the record that answers it."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from pydantic import ValidationError

from cryomamba.errors import no_such_job
from cryomamba.masks.strokes import Strokes
from cryomamba.models.base import Record, Request
from cryomamba.models.files import FileList
from cryomamba.models.job_filter import JobFilter
from cryomamba.models.jobs import JobPage, JobRecord, SubmitRequest
from cryomamba.models.server import Activity, ServerInfo
from cryomamba.wire import messages
from cryomamba.wire.requests import Empty, FocusRequest, JobRef, ListRequest, ReviseRequest, StrokesRequest

R_co = TypeVar("R_co", bound=Record, covariant=True)

REVISE_S: Final = 120.0
KEY_MAX: Final = 200
EMPTY: Final = Empty()
ANY_JOB: Final = JobFilter()


class Acknowledged(Record):
    """The reply to a request that returns nothing."""


@dataclass(frozen=True, slots=True)
class BusForm:
    """A request on the bus.

    Attributes
    ----------
    message : str
        Its name, one of :mod:`cryomamba.wire.messages`.
    body : Request
    """

    message: str
    body: Request = EMPTY


@dataclass(frozen=True, slots=True)
class HttpForm:
    """A request to a gateway.

    Attributes
    ----------
    method, path : str
    query : mapping of str to str, number or list of str
    json : mapping or None
        The body.
    headers : mapping of str to str
    repeatable : bool
        Whether it may be sent again when the connection breaks before the reply.
    """

    method: str
    path: str
    query: Mapping[str, str | int | list[str]] = field(default_factory=dict)
    json: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True


@dataclass(frozen=True, slots=True)
class Call(Generic[R_co]):
    """A request that any transport can make.

    Attributes
    ----------
    result : type
        The record that answers it.
    bus, http : BusForm or None, HttpForm or None
        None where the request cannot be made that way.
    timeout_s : float
        Seconds after which a bus gives up; HTTP waits at least half a minute.
    """

    result: type[R_co]
    bus: BusForm | None
    http: HttpForm | None
    timeout_s: float = 10.0


def ping() -> Call[Acknowledged]:
    """Ask whether the server is there."""
    return Call(Acknowledged, BusForm(messages.PING), HttpForm("GET", "/v1/healthz"), timeout_s=5.0)


def server_info() -> Call[ServerInfo]:
    """Ask for version, engines and workers."""
    return Call(ServerInfo, BusForm(messages.SERVER_INFO), HttpForm("GET", "/v1/server/info"), timeout_s=5.0)


def server_activity() -> Call[Activity]:
    """Ask how busy the server is."""
    return Call(Activity, BusForm(messages.SERVER_ACTIVITY), None, timeout_s=5.0)


def submit_job(request: SubmitRequest) -> Call[JobRecord]:
    """Submit a job; the request should carry a client key, so that it can be repeated."""
    body = request.model_dump(mode="json", exclude={"client_key", "owner"})
    headers = {"Idempotency-Key": header_key(request.client_key or uuid.uuid4().hex)}
    http = HttpForm("POST", "/v1/jobs", json=body, headers=headers)
    return Call(JobRecord, BusForm(messages.JOB_SUBMIT, request), http)


def get_job(job_id: str) -> Call[JobRecord]:
    """Ask for a job."""
    return _job_call(messages.JOB_GET, job_id, "GET")


def list_jobs(wanted: JobFilter = ANY_JOB, *, limit: int = 50, cursor: str | None = None) -> Call[JobPage]:
    """Ask for one page of the jobs, newest first."""
    body = ListRequest(**dict(wanted), limit=limit, cursor=cursor)
    query = body.model_dump(mode="json", exclude_none=True)
    return Call(JobPage, BusForm(messages.JOB_LIST, body), HttpForm("GET", "/v1/jobs", query))


def cancel_job(job_id: str) -> Call[JobRecord]:
    """Cancel a job that is not final."""
    return _job_call(messages.JOB_CANCEL, job_id, "DELETE")


def retry_job(job_id: str) -> Call[JobRecord]:
    """Put a failed or cancelled job back into the queue."""
    return _job_call(messages.JOB_RETRY, job_id, "POST", "/retry", repeatable=False)


def delete_job(job_id: str) -> Call[JobRecord]:
    """Delete the record and the files of a job that has ended."""
    return _job_call(messages.JOB_DELETE, job_id, "POST", "/delete", repeatable=False)


def focus_job(job_id: str, position: tuple[float, float, float]) -> Call[Acknowledged]:
    """Have tiles around a tomogram voxel (z, y, x) computed first."""
    body = FocusRequest(job=job_ref(job_id).job, position=position)
    http = HttpForm("PUT", f"{job_path(job_id)}/focus", json={"position": list(position)})
    return Call(Acknowledged, BusForm(messages.JOB_FOCUS, body), http)


def set_strokes(job_id: str, strokes: Strokes) -> Call[JobRecord]:
    """Have a job that was submitted with strokes trained on these."""
    body = StrokesRequest(job=job_ref(job_id).job, strokes=strokes)
    http = HttpForm("PUT", f"{job_path(job_id)}/strokes", json=strokes.model_dump(mode="json"))
    return Call(JobRecord, BusForm(messages.JOB_STROKES, body), http)


def revise_job(request: ReviseRequest) -> Call[JobRecord]:
    """Store a corrected mask with its job."""
    body = request.model_dump(mode="json", exclude={"job"}, exclude_none=True)
    http = HttpForm("PUT", f"{job_path(request.job)}/revisions", json=body)
    return Call(JobRecord, BusForm(messages.JOB_REVISE, request), http, timeout_s=REVISE_S)


def list_files() -> Call[FileList]:
    """Ask for the uploaded files, newest first."""
    return Call(FileList, None, HttpForm("GET", "/v1/files"))


def delete_file(file_id: str) -> Call[Acknowledged]:
    """Delete an uploaded file."""
    return Call(Acknowledged, None, HttpForm("DELETE", f"/v1/files/{file_id}"))


def _job_call(message: str, job_id: str, method: str, action: str = "", *, repeatable: bool = True) -> Call[JobRecord]:
    http = HttpForm(method, job_path(job_id) + action, repeatable=repeatable)
    return Call(JobRecord, BusForm(message, job_ref(job_id)), http)


def job_ref(job_id: str) -> JobRef:
    """Return the body that names a job.

    Raises
    ------
    NotFoundError
        No job can have this id.
    """
    try:
        return JobRef(job=job_id)
    except ValidationError:
        raise no_such_job(job_id) from None


def job_path(job_id: str) -> str:
    """Return the path of a job on a gateway; raises as :func:`job_ref` does."""
    return f"/v1/jobs/{job_ref(job_id).job}"


def header_key(key: str) -> str:
    """Return a client key in a form that an HTTP header can carry: as it is, or its hash."""
    plain = len(key) <= KEY_MAX and key.isascii() and key.isprintable() and " " not in key
    return key if plain else hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
