"""The newest preview of a job, as a frame or an image."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from cryomamba.client.bus_watch import decode_message
from cryomamba.errors import ErrorCode
from cryomamba.models.jobs import JobId
from cryomamba.wire.webframe import MEDIA_TYPE, encode_web_frame
from cryomamba_gateway.conditional import not_modified
from cryomamba_gateway.context import Caller, Context
from cryomamba_gateway.examples import errors, ok
from cryomamba_gateway.models import PreviewQuery
from cryomamba_gateway.png import slice_png
from cryomamba_gateway.routers.jobs import JOB

router = APIRouter(tags=["previews"])

_ETAG: Final[dict[str, Any]] = {"ETag": {"description": "Changes with the preview.", "schema": {"type": "string"}}}


@router.get(
    "/jobs/{job_id}/preview",
    operation_id="getPreview",
    response_class=Response,
    responses={
        200: ok(
            "The newest frame, in the WebSocket's binary layout, or a slice of it as an image",
            content={
                MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}},
                "image/png": {"schema": {"type": "string", "format": "binary"}},
            },
            headers=_ETAG,
        ),
        304: ok("There is no newer one than that in If-None-Match", headers=_ETAG),
        **errors(ErrorCode.BAD_REQUEST, ErrorCode.INVALID_PARAMETERS, ErrorCode.PRECONDITION_FAILED, *JOB),
    },
)
async def get_preview(
    gateway: Context, caller: Caller, request: Request, job_id: JobId, query: Annotated[PreviewQuery, Query()]
) -> Response:
    """Return the newest preview of a job, running or finished."""
    found = await gateway.bus.ask(caller.visibility, lambda bus: bus.last_frame(job_id))
    made = f"{found.envelope.attempt} {found.envelope.seq} {found.envelope.ts} {query!r}"
    headers = {"ETag": f'"{hashlib.blake2b(made.encode(), digest_size=12).hexdigest()}"'}
    unchanged = not_modified(request, headers)
    if unchanged is not None:
        return unchanged
    if query.format == "png":
        image = await asyncio.to_thread(lambda: slice_png(decode_message(found), query.axis, query.index))
        return Response(image, headers=headers, media_type="image/png")
    return Response(encode_web_frame(found.envelope, found.payload), headers=headers, media_type=MEDIA_TYPE)
