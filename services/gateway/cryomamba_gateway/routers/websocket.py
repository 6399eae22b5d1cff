"""WebSockets: one job, or many on one connection."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.websockets import WebSocket

from cryomamba.wire.webframe import SUBPROTOCOL
from cryomamba_gateway.context import Gateway
from cryomamba_gateway.live.session import NOT_ALLOWED, Session
from cryomamba_gateway.middleware import foreign_origin
from cryomamba_gateway.origins import origin_allowed

router = APIRouter()


async def _accept(websocket: WebSocket) -> Session | None:
    """Complete the handshake; a page that is not allowed is told so by its close code and nothing else."""
    gateway: Gateway = websocket.app.state.gateway
    binary = SUBPROTOCOL in websocket.scope["subprotocols"]
    await websocket.accept(SUBPROTOCOL if binary else None)
    if not origin_allowed(websocket.headers, gateway.settings.gateway_origins):
        await websocket.close(NOT_ALLOWED, foreign_origin().message)
        return None
    return Session(websocket, gateway, binary=binary)


@router.websocket("/ws/jobs/{job_id}")
@router.websocket("/v1/ws/jobs/{job_id}")
async def follow_job(websocket: WebSocket, job_id: str) -> None:
    """Follow one job to its end; ``?previews=false`` leaves the pictures out."""
    with websocket.app.state.gateway.metrics.clients.track_inprogress():
        session = await _accept(websocket)
        if session is not None:
            await session.run_job(job_id, previews=websocket.query_params.get("previews") != "false")


@router.websocket("/v1/ws")
async def follow_many(websocket: WebSocket) -> None:
    """Follow whatever the client subscribes to."""
    with websocket.app.state.gateway.metrics.clients.track_inprogress():
        session = await _accept(websocket)
        if session is not None:
            await session.run()
