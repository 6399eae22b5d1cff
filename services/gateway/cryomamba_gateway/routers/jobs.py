"""Jobs: submit, list, get, cancel, retry, re-threshold, focus, strokes."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Header, Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from cryomamba.client import calls
from cryomamba.errors import ErrorCode
from cryomamba.masks.strokes import StrokesFields, read_strokes
from cryomamba.models.jobs import JobId, SubmitRequest
from cryomamba_gateway.access.principal import Principal
from cryomamba_gateway.conditional import not_modified
from cryomamba_gateway.context import Caller, Context, Gateway
from cryomamba_gateway.examples import BUS, CHANGE, FOCUS, JOB_LINKS, STROKES, SUBMIT, THRESHOLD, errors, ok
from cryomamba_gateway.media_types import JSON_BODY
from cryomamba_gateway.models import (
    CancelledJob,
    ClientKey,
    CreatedJob,
    FocusBody,
    JobOut,
    JobPageOut,
    JobQuery,
    JobRequest,
    ThresholdBody,
    cancelled_job,
    created_job,
    job_out,
)
from cryomamba_server import log_context

router = APIRouter(tags=["jobs"])

JOB: Final = (ErrorCode.NOT_FOUND, *BUS)
_SUBMIT_ERRORS: Final = (
    ErrorCode.BAD_REQUEST,
    ErrorCode.INVALID_PARAMETERS,
    ErrorCode.UNKNOWN_ENGINE,
    ErrorCode.ENGINE_UNAVAILABLE,
    ErrorCode.UNKNOWN_MODEL,
    ErrorCode.LICENCE_NOT_ACCEPTED,
    ErrorCode.PATH_FORBIDDEN,
    ErrorCode.VOLUME_NOT_FOUND,
    ErrorCode.VOLUME_UNREADABLE,
    ErrorCode.VOLUME_UNSUPPORTED,
    ErrorCode.VOLUME_NOT_FINITE,
    ErrorCode.VOLUME_CHANGED,
    ErrorCode.CONFLICT,
    ErrorCode.NOT_FOUND,
    ErrorCode.NO_WORKER,
    ErrorCode.INSUFFICIENT_STORAGE,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE,
    *CHANGE,
    *BUS,
)
_ETAG: Final[dict[str, Any]] = {"ETag": {"description": "Changes with the record.", "schema": {"type": "string"}}}
_LOCATION: Final[dict[str, Any]] = {"Location": {"description": "Path of the job.", "schema": {"type": "string"}}}


def _json(body: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(body.model_dump_json(), status, headers, media_type="application/json")


@router.post(
    "/jobs",
    operation_id="createJob",
    status_code=201,
    dependencies=JSON_BODY,
    response_model=CreatedJob,
    responses={201: ok("The job is queued", headers=_LOCATION, links=JOB_LINKS), **errors(*_SUBMIT_ERRORS)},
)
async def create_job(
    gateway: Context,
    caller: Caller,
    body: Annotated[JobRequest | None, Body(openapi_examples=SUBMIT)] = None,
    idempotency_key: Annotated[
        ClientKey | None, Header(description="Requests with the same key make only one job.", examples=["f3b1c2"])
    ] = None,
) -> Response:
    """Submit a job. An empty body, or one without a volume, makes a demo job."""
    return await _submit(gateway, caller, (body or JobRequest()).submit(idempotency_key))


async def _submit(gateway: Gateway, caller: Principal, request: SubmitRequest) -> Response:
    owned = request.model_copy(update={"owner": caller.owner})
    record = await gateway.bus.call(caller.visibility, calls.submit_job(owned))
    log_context.add(job_id=record.job_id)
    return _json(created_job(record), 201, {"Location": f"/v1/jobs/{record.job_id}"})


@router.get(
    "/jobs",
    operation_id="listJobs",
    response_model=JobPageOut,
    responses={200: ok("A page of jobs"), **errors(ErrorCode.BAD_REQUEST, *BUS)},
)
async def list_jobs(gateway: Context, caller: Caller, query: Annotated[JobQuery, Query()]) -> Response:
    """List jobs, newest first, those that meet every condition; pass `cursor` to get the next page.

    A page may end before `limit`, when its jobs are long; there are more as long as `cursor` is not null.
    """
    call = calls.list_jobs(query.wanted(), limit=query.limit, cursor=query.cursor)
    page = await gateway.bus.call(caller.visibility, call)
    jobs = tuple(job_out(record) for record in page.jobs)
    return _json(JobPageOut.model_construct(jobs=jobs, cursor=page.cursor))


@router.get(
    "/jobs/{job_id}",
    operation_id="getJob",
    response_model=JobOut,
    responses={
        200: ok("The current record of the job", headers=_ETAG, links=JOB_LINKS),
        304: ok("The record has not changed since the one in If-None-Match", headers=_ETAG),
        **errors(ErrorCode.PRECONDITION_FAILED, *JOB),
    },
)
async def get_job(
    gateway: Context,
    caller: Caller,
    request: Request,
    job_id: JobId,
    if_none_match: Annotated[str | None, Header(description="ETags of known records.")] = None,
) -> Response:
    """Return the current record of a job."""
    del if_none_match
    # It is declared for the description; all conditions are looked at together.
    body = job_out(await gateway.bus.call(caller.visibility, calls.get_job(job_id))).model_dump_json().encode()
    etag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    headers = {"ETag": etag}
    return not_modified(request, headers) or Response(body, headers=headers, media_type="application/json")


@router.delete(
    "/jobs/{job_id}",
    operation_id="cancelJob",
    response_model=CancelledJob,
    responses={
        200: ok("The job is cancelled, or will be after the current tile"),
        **errors(ErrorCode.JOB_FINAL, *CHANGE, *JOB),
    },
)
async def cancel_job(gateway: Context, caller: Caller, job_id: JobId) -> Response:
    """Cancel a pending or running job."""
    return _json(cancelled_job(await gateway.bus.call(caller.visibility, calls.cancel_job(job_id))))


@router.post(
    "/jobs/{job_id}/retry",
    operation_id="retryJob",
    response_model=JobOut,
    responses={
        200: ok("The job is queued again"),
        **errors(
            ErrorCode.CONFLICT,
            ErrorCode.INVALID_PARAMETERS,
            ErrorCode.UNKNOWN_MODEL,
            ErrorCode.LICENCE_NOT_ACCEPTED,
            ErrorCode.NO_WORKER,
            *CHANGE,
            *JOB,
        ),
    },
)
async def retry_job(gateway: Context, caller: Caller, job_id: JobId) -> Response:
    """Queue a failed or cancelled job again."""
    return _json(job_out(await gateway.bus.call(caller.visibility, calls.retry_job(job_id))))


@router.post(
    "/jobs/{job_id}/delete",
    operation_id="deleteJob",
    response_model=JobOut,
    responses={200: ok("The job, unchanged"), **errors(ErrorCode.CONFLICT, *CHANGE, *JOB)},
)
async def delete_job(gateway: Context, caller: Caller, job_id: JobId) -> Response:
    """Delete a job that has ended, with its files."""
    return _json(job_out(await gateway.bus.call(caller.visibility, calls.delete_job(job_id))))


@router.post(
    "/jobs/{job_id}/threshold",
    operation_id="thresholdJob",
    status_code=201,
    dependencies=JSON_BODY,
    response_model=CreatedJob,
    responses={201: ok("The job is queued", headers=_LOCATION), **errors(*_SUBMIT_ERRORS, ErrorCode.NOT_FOUND)},
)
async def threshold_job(
    gateway: Context,
    caller: Caller,
    job_id: JobId,
    body: Annotated[ThresholdBody, Body(openapi_examples=THRESHOLD)],
    idempotency_key: Annotated[
        ClientKey | None, Header(description="Requests with the same key make only one job.", examples=["f3b1c2"])
    ] = None,
) -> Response:
    """Re-threshold the score map of a finished job in a new job; the segmentation does not run again."""
    return await _submit(gateway, caller, body.submit(job_id, idempotency_key))


@router.put(
    "/jobs/{job_id}/focus",
    operation_id="focusJob",
    status_code=204,
    dependencies=JSON_BODY,
    response_class=Response,
    responses={
        204: ok("The focus is set"),
        **errors(ErrorCode.BAD_REQUEST, ErrorCode.CONFLICT, ErrorCode.UNSUPPORTED_MEDIA_TYPE, *CHANGE, *JOB),
    },
)
async def focus_job(
    gateway: Context, caller: Caller, job_id: JobId, body: Annotated[FocusBody, Body(openapi_examples=FOCUS)]
) -> Response:
    """Set the position that the user views: tiles near it are computed first."""
    await gateway.bus.call(caller.visibility, calls.focus_job(job_id, body.position))
    return Response(status_code=204)


@router.put(
    "/jobs/{job_id}/strokes",
    operation_id="setStrokes",
    dependencies=JSON_BODY,
    response_model=JobOut,
    responses={
        200: ok("The job, which trains on these strokes"),
        **errors(
            ErrorCode.BAD_REQUEST,
            ErrorCode.CONFLICT,
            ErrorCode.INVALID_PARAMETERS,
            ErrorCode.UNSUPPORTED_MEDIA_TYPE,
            *CHANGE,
            *JOB,
        ),
    },
)
async def set_strokes(
    gateway: Context, caller: Caller, job_id: JobId, body: Annotated[StrokesFields, Body(openapi_examples=STROKES)]
) -> Response:
    """Replace the strokes of a job that was submitted with some: it trains again, the section in view first."""
    strokes = read_strokes(body.model_dump())
    return _json(job_out(await gateway.bus.call(caller.visibility, calls.set_strokes(job_id, strokes))))
