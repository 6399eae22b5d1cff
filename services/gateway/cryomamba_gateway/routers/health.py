"""Health, readiness and metrics."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from fastapi import APIRouter
from starlette.responses import Response

from cryomamba._version import __version__
from cryomamba.access.visibility import Visibility
from cryomamba.client import calls
from cryomamba.errors import ErrorCode, UnavailableError
from cryomamba_gateway.context import Context
from cryomamba_gateway.examples import BUS, REQUEST_ID_HEADER, errors
from cryomamba_gateway.metrics import CONTENT_TYPE_LATEST
from cryomamba_gateway.models import Health, Readiness

router = APIRouter(tags=["health"])


@router.get(
    "/v1/healthz",
    operation_id="getHealth",
    responses={200: {"description": "The gateway lives", "headers": REQUEST_ID_HEADER}, **errors()},
)
async def healthz(gateway: Context) -> Health:
    """Say that the gateway lives, whatever the other services do."""
    return Health(timestamp=datetime.now(UTC), version=__version__, uptime_s=time.monotonic() - gateway.started)


@router.get(
    "/v1/readyz",
    operation_id="getReadiness",
    responses={
        200: {"description": "Broker and worker are there", "headers": REQUEST_ID_HEADER},
        **errors(*BUS, ErrorCode.NO_WORKER),
    },
)
async def readyz(gateway: Context) -> Readiness:
    """Say whether a job would be taken and worked on; if not, `details.missing` names what is not there."""
    try:
        info = await gateway.bus.call(Visibility.everything(), calls.server_info())
    except UnavailableError as error:
        error.details["missing"] = ["broker"]
        raise
    if not info.workers:
        raise UnavailableError(
            "No inference service is connected.",
            code=ErrorCode.NO_WORKER,
            hint="Start it: 'python -m cryomamba_inference', or 'honcho start' for all.",
            details={"missing": ["worker"]},
        )
    return Readiness(timestamp=datetime.now(UTC), workers=len(info.workers))


@router.get(
    "/metrics",
    operation_id="getMetrics",
    response_class=Response,
    responses={
        200: {
            "description": "Counters in Prometheus' text format",
            "headers": REQUEST_ID_HEADER,
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        **errors(),
    },
)
async def metrics(gateway: Context) -> Response:
    """Return the server's numbers for Prometheus: requests, clients, jobs, workers, disk."""
    text = gateway.metrics.text(await gateway.activity())
    return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})
