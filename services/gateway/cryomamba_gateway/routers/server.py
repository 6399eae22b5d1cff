"""Information on the server."""

from __future__ import annotations

from fastapi import APIRouter

from cryomamba.client import calls
from cryomamba_gateway.context import Caller, Context
from cryomamba_gateway.examples import BUS, errors, ok
from cryomamba_gateway.limits import BODY_MAX_BYTES
from cryomamba_gateway.live.websocket_session import JOBS_MAX, MESSAGE_MAX_BYTES
from cryomamba_gateway.models import GatewayInfo, Limits

router = APIRouter(tags=["server"])


@router.get(
    "/v1/server/info",
    operation_id="getServerInfo",
    responses={200: ok("Versions, engines, workers and limits"), **errors(*BUS)},
)
async def server_info(gateway: Context, caller: Caller) -> GatewayInfo:
    """Return versions, engines with their parameters, workers, limits, and the bus endpoints for direct subscribers."""
    info = await gateway.bus.call(caller.visibility, calls.server_info())
    limits = Limits(
        body_max_bytes=BODY_MAX_BYTES, websocket_message_max_bytes=MESSAGE_MAX_BYTES, websocket_jobs_max=JOBS_MAX
    )
    return GatewayInfo(**dict(info), system=gateway.system, limits=limits)
