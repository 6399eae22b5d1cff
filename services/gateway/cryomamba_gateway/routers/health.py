"""Health, readiness and metrics."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from fastapi import APIRouter
from starlette.responses import Response

from cryomamba._version import __version__
from cryomamba.errors import ErrorCode, UnavailableError
from cryomamba_gateway.context import Context
from cryomamba_gateway.examples import BUS, errors, ok
from cryomamba_gateway.metrics import CONTENT_TYPE_LATEST
from cryomamba_gateway.models import Health, Readiness

router = APIRouter(tags=["health"])


@router.get("/v1/healthz", operation_id="getHealth", responses={200: ok("The gateway is running"), **errors()})
async def healthz(gateway: Context) -> Health:
    """Liveness: the gateway is running, whatever the state of the other services."""
    return Health(timestamp=datetime.now(UTC), version=__version__, uptime_s=time.monotonic() - gateway.started)


@router.get(
    "/v1/readyz",
    operation_id="getReadiness",
    responses={200: ok("A job would be accepted and run"), **errors(*BUS, ErrorCode.NO_WORKER)},
)
async def readyz(gateway: Context) -> Readiness:
    """Readiness: whether a job would be accepted and run. If not, `details.missing` names the missing services."""
    try:
        info = await gateway.server_info()
    except UnavailableError as error:
        raise UnavailableError(
            error.message,
            code=error.code,
            hint=error.hint,
            retryable=error.retryable,
            details={**error.details, "missing": ["broker"]},
        ) from None
    if not info.workers:
        raise UnavailableError(
            "No inference service is connected.",
            code=ErrorCode.NO_WORKER,
            hint="Ask whoever runs the server to start one.",
            details={"missing": ["worker"]},
        )
    return Readiness(timestamp=datetime.now(UTC), workers=len(info.workers))


@router.get(
    "/metrics",
    operation_id="getMetrics",
    response_class=Response,
    responses={
        200: ok("Metrics in the Prometheus text format", content={"text/plain": {"schema": {"type": "string"}}}),
        **errors(),
    },
)
async def metrics(gateway: Context) -> Response:
    """Return metrics for Prometheus: of the gateway, the broker, the workers, the jobs and the disk."""
    return Response(await gateway.metrics_text(), headers={"Content-Type": CONTENT_TYPE_LATEST})
