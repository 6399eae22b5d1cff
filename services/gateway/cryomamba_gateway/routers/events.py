"""Server-sent events: one job, or all that the caller may see."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header
from starlette.requests import Request
from starlette.responses import Response

from cryomamba.client import calls
from cryomamba.errors import ErrorCode
from cryomamba.models.jobs import JobId
from cryomamba_gateway.access.auth import presented_token, require_valid
from cryomamba_gateway.access.principal import Principal
from cryomamba_gateway.context import Caller, Context, Gateway
from cryomamba_gateway.examples import BUS, errors, ok
from cryomamba_gateway.live import messages
from cryomamba_gateway.live.event_stream import MEDIA_TYPE, EventId, EventQueue, EventStream
from cryomamba_gateway.live.job_relay import AllRelay, JobRelay, other_epoch
from cryomamba_gateway.routers.jobs import JOB

router = APIRouter(tags=["events"])

# Before version 3.2, OpenAPI has no word for a sequence; the schema of a stream is taken for that of each event.
_EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "description": "One of the events of the stream.",
    "required": ["event", "data"],
    "properties": {
        "id": {"type": "string", "pattern": r"^\d+:\d+$", "description": "Epoch and number, for `Last-Event-ID`."},
        "event": {"type": "string", "description": "The type of the message."},
        "data": {"type": "string", "contentMediaType": "application/json", "description": "/asyncapi.json has them."},
    },
}
_STREAM: Final[dict[str, Any]] = {MEDIA_TYPE: {"schema": _EVENT}}
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
    record = await gateway.bus.call(caller.visibility, calls.get_job(job_id))
    last = EventId.parse(known)
    # In another epoch the number may be another event's: the job's record says all that has happened.
    since = last.seq if last is not None and last.epoch == gateway.bus.epoch else None
    if since is not None and record.state.final and record.history and since == record.history[-1].n:
        # A browser's EventSource would otherwise ask again and again.
        return Response(status_code=204)
    queue = EventQueue(lambda: gateway.bus.epoch)
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
    queue = EventQueue(lambda: gateway.bus.epoch)
    last = EventId.parse(known)
    if known and last is None:
        queue.put(messages.error(other_epoch(), "*"))
    since, epoch = (None, None) if last is None else (last.seq, last.epoch)
    relay = AllRelay(gateway.bus, queue, since, epoch=epoch, visibility=caller.visibility)
    return _stream(gateway, caller, request, queue, relay.run)


def _stream(
    gateway: Gateway, caller: Principal, request: Request, queue: EventQueue, relay: Callable[[], Awaitable[object]]
) -> Response:
    token_valid = partial(require_valid, gateway.tokens, presented_token(request.headers))
    limit = gateway.sockets.acquire(caller.token_id) if caller.token_id else contextlib.nullcontext()
    return EventStream(queue, relay, limit=limit, metrics=gateway.metrics, token_valid=token_valid)
