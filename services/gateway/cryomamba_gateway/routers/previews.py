"""The newest preview of a job, as a frame or an image."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from cryomamba.client.bus_watch import decode_message
from cryomamba.errors import ErrorCode
from cryomamba.models.jobs import JobId
from cryomamba.wire.webframe import MEDIA_TYPE, encode_web_frame
from cryomamba_gateway.context import Caller, Context
from cryomamba_gateway.examples import errors, ok
from cryomamba_gateway.models import PreviewQuery
from cryomamba_gateway.png import slice_png
from cryomamba_gateway.routers.jobs import JOB

router = APIRouter(tags=["previews"])


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
        ),
        **errors(ErrorCode.BAD_REQUEST, ErrorCode.INVALID_PARAMETERS, *JOB),
    },
)
async def get_preview(
    gateway: Context, caller: Caller, job_id: JobId, query: Annotated[PreviewQuery, Query()]
) -> Response:
    """Return the newest preview of a job, running or finished."""
    found = await gateway.bus.ask(caller.visibility, lambda bus: bus.last_frame(job_id))
    if query.format == "png":
        image = await asyncio.to_thread(lambda: slice_png(decode_message(found), query.axis, query.index))
        return Response(image, media_type="image/png")
    return Response(encode_web_frame(found.envelope, found.payload), media_type=MEDIA_TYPE)
