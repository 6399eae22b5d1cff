"""WebSockets: one job, or many on one connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect

from cryomamba.errors import AccessError, InvalidRequestError, UnavailableError
from cryomamba.wire.webframe import SUBPROTOCOL
from cryomamba_gateway.access.auth import PRINCIPAL, identify, presented_token, require_valid
from cryomamba_gateway.access.connections import CONNECTION, Connection
from cryomamba_gateway.access_log import LOG_FIELDS
from cryomamba_gateway.context import Gateway
from cryomamba_gateway.live import messages
from cryomamba_gateway.live.websocket_session import NOT_ALLOWED, WebSocketSession
from cryomamba_gateway.middleware import foreign_origin
from cryomamba_gateway.origins import is_encrypted, origin_allowed
from cryomamba_server import log_context

AUTH_S: Final = 10.0
TRY_LATER: Final = 1013

router = APIRouter()


async def _serve(websocket: WebSocket, run: Callable[[WebSocketSession], Awaitable[None]]) -> None:
    """Complete the handshake, check access and serve; a refusal is a close code."""
    gateway: Gateway = websocket.app.state.gateway
    binary = SUBPROTOCOL in websocket.scope["subprotocols"]
    await websocket.accept(SUBPROTOCOL if binary else None)
    try:
        tls = is_encrypted(websocket.scope["scheme"], websocket.headers)
        if not origin_allowed(websocket.headers, gateway.settings.gateway_origins, tls=tls):
            raise foreign_origin()
        token = presented_token(websocket.headers) or await _first_message_token(websocket, gateway)
        websocket.scope[PRINCIPAL] = caller = await asyncio.to_thread(identify, gateway.tokens, token)
        log_context.add(**caller.log_fields)
        websocket.scope[LOG_FIELDS] = log_context.bound()
        with gateway.sockets.acquire(caller.token_id) if caller.token_id else contextlib.nullcontext():
            session = WebSocketSession(
                websocket,
                bus=gateway.bus,
                encoder=gateway.encoder,
                scheduler=gateway.scheduler,
                metrics=gateway.metrics,
                binary=binary,
                visibility=caller.visibility,
            )
            checking = asyncio.create_task(_end_with_token(session, gateway, token), name="ws-token")
            try:
                await run(session)
            finally:
                checking.cancel()
                await asyncio.gather(checking, return_exceptions=True)
    except (AccessError, UnavailableError) as error:
        code = TRY_LATER if error.retryable else NOT_ALLOWED
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await websocket.close(code, error.message[:100])
    except WebSocketDisconnect:
        return


async def _first_message_token(websocket: WebSocket, gateway: Gateway) -> str | None:
    """Wait for the token in the first message, where one is required; any other message brings none."""
    if not gateway.tokens.enabled:
        return None
    connection: Connection | None = websocket.scope.get(CONNECTION)
    try:
        async with asyncio.timeout(AUTH_S):
            with connection.counted() if connection is not None else contextlib.nullcontext():
                message = messages.parse_inbound(await websocket.receive_text())
    except (TimeoutError, InvalidRequestError, KeyError):
        return None
    return message.token if isinstance(message, messages.Auth) else None


async def _end_with_token(session: WebSocketSession, gateway: Gateway, token: str | None) -> None:
    try:
        await require_valid(gateway.tokens, token)
    except AccessError as error:
        session.end(NOT_ALLOWED, error.message)


@router.websocket("/ws/jobs/{job_id}")
@router.websocket("/v1/ws/jobs/{job_id}")
async def follow_job(websocket: WebSocket, job_id: str) -> None:
    """Follow one job to its end; ``?previews=false`` leaves the previews out.

    With ``?first_types=true``, ``completed`` or ``error`` follow ``job_completed`` or ``job_failed``.
    """
    previews = websocket.query_params.get("previews") != "false"
    first_types = websocket.query_params.get("first_types") == "true"
    with websocket.app.state.gateway.metrics.clients.track_inprogress():
        await _serve(websocket, lambda session: session.run_job(job_id, previews=previews, first_types=first_types))


@router.websocket("/v1/ws")
async def follow_many(websocket: WebSocket) -> None:
    """Follow the jobs that the client subscribes to."""
    with websocket.app.state.gateway.metrics.clients.track_inprogress():
        await _serve(websocket, WebSocketSession.run)
