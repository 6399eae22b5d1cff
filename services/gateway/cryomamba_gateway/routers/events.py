"""Server-sent events: one job, or all that the caller may see."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header
from starlette.requests import Request
from starlette.responses import Response

from cryomamba.client import calls
from cryomamba.errors import ErrorCode, UnavailableError
from cryomamba.models.jobs import JobId
from cryomamba_gateway.access.auth import identify, presented_token
from cryomamba_gateway.access.principal import Principal
from cryomamba_gateway.context import Caller, Context, Gateway
from cryomamba_gateway.examples import BUS, errors, ok
from cryomamba_gateway.live.event_stream import MEDIA_TYPE, EventStream, last_event_id
from cryomamba_gateway.live.job_relay import AllRelay, JobRelay
from cryomamba_gateway.live.send_queue import SendQueue
from cryomamba_gateway.routers.jobs import JOB
from cryomamba_gateway.routers.websocket import RECHECK_S

router = APIRouter(tags=["events"])

_STREAM: Final[dict[str, Any]] = {MEDIA_TYPE: {"schema": {"type": "string"}}}
LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID", max_length=64, description="Id of the last event that the client has; later ones follow."
    ),
]


@router.get(
    "/jobs/{job_id}/events",
    operation_id="followJob",
    response_class=Response,
    responses={
        200: ok("The events", content=_STREAM),
        204: ok("The job has ended, and the client has its last event"),
        **errors(ErrorCode.RATE_LIMITED, *JOB),
    },
)
async def follow_job(
    gateway: Context, caller: Caller, request: Request, job_id: JobId, known: LastEventId = None
) -> Response:
    """Follow a job to its end as server-sent events: the messages of its WebSocket without previews."""
    since = last_event_id(known)
    record = await gateway.bus.call(caller.visibility, calls.get_job(job_id))
    if since is not None and record.state.final and record.history and since == record.history[-1].n:
        # A browser's EventSource would otherwise ask again and again.
        return Response(status_code=204)
    queue = SendQueue(acknowledged=False)
    relay = JobRelay(
        gateway.bus, gateway.encoder, queue, job_id, visibility=caller.visibility, previews=False, since=since
    )
    return _stream(gateway, caller, request, queue, relay.run)


@router.get(
    "/events",
    operation_id="followJobs",
    response_class=Response,
    responses={200: ok("The events", content=_STREAM), **errors(ErrorCode.RATE_LIMITED, *BUS)},
)
async def follow_all(gateway: Context, caller: Caller, request: Request, known: LastEventId = None) -> Response:
    """Follow all jobs that the caller may see as server-sent events, without end: those of a WebSocket for `*`."""
    await gateway.server_info()
    queue = SendQueue(acknowledged=False)
    relay = AllRelay(gateway.bus, queue, last_event_id(known), visibility=caller.visibility)
    return _stream(gateway, caller, request, queue, relay.run)


def _stream(
    gateway: Gateway, caller: Principal, request: Request, queue: SendQueue, relay: Callable[[], Awaitable[object]]
) -> Response:
    token = presented_token(request.headers)

    async def until_token_ends() -> None:
        while True:
            await asyncio.sleep(RECHECK_S)
            try:
                await asyncio.to_thread(identify, gateway.tokens, token)
            except UnavailableError:
                # Too many open files: the token is read again next time.
                continue

    limit = gateway.sockets.acquire(caller.token_id) if caller.token_id else contextlib.nullcontext()
    return EventStream(queue, relay, limit=limit, metrics=gateway.metrics, token_valid=until_token_ends)
