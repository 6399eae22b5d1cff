"""Revisions: masks that people have corrected become output files of their job."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Body
from starlette.responses import Response

from cryomamba.client import calls
from cryomamba.errors import ErrorCode
from cryomamba.models.jobs import JobId
from cryomamba.wire.requests import ReviseRequest
from cryomamba_gateway.context import Caller, Context
from cryomamba_gateway.examples import BUS, CHANGE, REVISION, errors, ok
from cryomamba_gateway.media_types import JSON_BODY
from cryomamba_gateway.models import JobOut, RevisionBody, job_out

router = APIRouter(tags=["artifacts"])

_ERRORS: Final = (
    ErrorCode.BAD_REQUEST,
    ErrorCode.NOT_FOUND,
    ErrorCode.CONFLICT,
    ErrorCode.PATH_FORBIDDEN,
    ErrorCode.VOLUME_NOT_FOUND,
    ErrorCode.VOLUME_UNREADABLE,
    ErrorCode.VOLUME_UNSUPPORTED,
    ErrorCode.INSUFFICIENT_STORAGE,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE,
    *CHANGE,
    *BUS,
)


@router.put(
    "/jobs/{job_id}/revisions",
    operation_id="reviseJob",
    dependencies=JSON_BODY,
    response_model=JobOut,
    responses={200: ok("The job with its new file"), **errors(*_ERRORS)},
)
async def revise_job(
    gateway: Context, caller: Caller, job_id: JobId, body: Annotated[RevisionBody, Body(openapi_examples=REVISION)]
) -> Response:
    """Add a corrected mask to its job as a new version: `mask_r1.mrc` and so on. The original mask is kept.

    The request may be repeated: the same content is added only once.
    """
    request = ReviseRequest(job=job_id, **body.model_dump())
    record = await gateway.bus.call(caller.visibility, calls.revise_job(request))
    return Response(job_out(record).model_dump_json(), media_type="application/json")
