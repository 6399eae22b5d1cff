"""Assembles the FastAPI application: routers, middleware, OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Final

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from cryomamba._version import __version__
from cryomamba.settings import Settings
from cryomamba_gateway import asyncapi, errors
from cryomamba_gateway.access.auth import AuthMiddleware, BodyTimeoutMiddleware, HostMiddleware
from cryomamba_gateway.access.connections import ConnectionMiddleware
from cryomamba_gateway.access.hosts import own_names
from cryomamba_gateway.access.turns import TurnMiddleware, Turns
from cryomamba_gateway.cached_response import CachedResponse
from cryomamba_gateway.context import Gateway
from cryomamba_gateway.limits import BODY_MAX_BYTES
from cryomamba_gateway.media_types import ContentEncodingMiddleware
from cryomamba_gateway.middleware import BodyLimit, ErrorMiddleware, FramingMiddleware, OriginMiddleware, RequestContext
from cryomamba_gateway.openapi import described
from cryomamba_gateway.origins import cross_origin
from cryomamba_gateway.routers import (
    artifacts,
    events,
    health,
    inputs,
    jobs,
    links,
    models,
    pages,
    previews,
    revisions,
    server,
    session,
    uploads,
    volumes,
    webhooks,
    websocket,
    workers,
    zarr,
)
from cryomamba_gateway.routers.head import add_head_routes
from cryomamba_gateway.webhooks.described import described_messages

DESCRIPTION: Final = """
Segments cryo-electron tomograms and streams previews of the mask as it is computed. Arrays are ZYX in C order, lengths
are in ångström, times are ISO 8601 in UTC, and ids are UUIDs. Every response has an `X-Request-ID`, and every response
with a status of 400 or above has the same error body. The job routes are also served without `/v1`.

**Events.** `/v1/jobs/{id}/events` and `/v1/events` are streams of server-sent events.

**WebSocket.** `/v1/ws/jobs/{id}` follows one job to its end; `/v1/ws` follows the jobs to which the client subscribes,
with `{"type": "subscribe", "job_id": …}`. `/asyncapi.json` describes the messages, the reference page also the
binary subprotocol `cryomamba.frames.v1`.
"""
TAGS: Final = [
    {"name": "health", "description": "Liveness, readiness and metrics."},
    {"name": "server", "description": "Versions, engines, limits, endpoints."},
    {"name": "workers", "description": "Inference services, for administrators: list, drain, resume, remove."},
    {"name": "jobs", "description": "Segmentation jobs: submit, list, cancel, retry."},
    {"name": "events", "description": "Events of jobs, as server-sent events."},
    {"name": "previews", "description": "The mask as computed so far."},
    {"name": "uploads", "description": "Uploads of tomograms, and uploaded files."},
    {"name": "artifacts", "description": "Output files of jobs."},
    {"name": "webhooks", "description": "Signed messages to other servers when jobs end."},
    {"name": "models", "description": "Trained models that engines run."},
    {"name": "volumes", "description": "Tomograms and masks as OME-Zarr and as images."},
]
JOB_ROUTERS: Final = [add_head_routes(module.router) for module in (jobs, events, previews, artifacts, revisions)]
OTHER_ROUTERS: Final = [
    add_head_routes(module.router)
    for module in (health, server, session, uploads, inputs, volumes, links, zarr, webhooks, models, workers)
]


def create_app(settings: Settings) -> FastAPI:
    """Return the gateway as an ASGI application; it connects to the broker during its lifespan."""
    gateway = Gateway(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await gateway.start()
        try:
            yield
        finally:
            await gateway.close()

    app = FastAPI(
        title="CryoMamba gateway",
        version=__version__,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        servers=[{"url": "/"}],
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        webhooks=described_messages(),
    )
    app.state.gateway = gateway
    for router in JOB_ROUTERS:
        app.include_router(router, prefix="/v1")
        app.include_router(router, include_in_schema=False)
    for router in (*OTHER_ROUTERS, websocket.router, pages.router):
        app.include_router(router)
    errors.install(app)
    app.add_middleware(ContentEncodingMiddleware)
    app.add_middleware(BodyLimit, max_bytes=BODY_MAX_BYTES)
    app.add_middleware(BodyTimeoutMiddleware)
    app.add_middleware(AuthMiddleware, tokens=gateway.tokens, rate=gateway.rate, check_grant=gateway.check_grant)
    app.add_middleware(OriginMiddleware, allowed=settings.gateway_origins)
    if settings.gateway_origins:
        # After the host check and before authentication: a preflight request has no token.
        app.add_middleware(CORSMiddleware, **cross_origin(settings.gateway_origins))
    app.add_middleware(HostMiddleware, names=own_names(settings.gateway_host, settings.gateway_hosts))
    app.add_middleware(FramingMiddleware)
    app.add_middleware(ErrorMiddleware)
    app.add_middleware(RequestContext, metrics=gateway.metrics)
    app.add_middleware(TurnMiddleware, turns=Turns(), tokens=gateway.tokens)
    app.add_middleware(ConnectionMiddleware, connections=gateway.connections)
    app.openapi = cache(described(app.openapi))  # type: ignore[method-assign]
    # FastAPI would prepare its routes and their description at first use, and hold up whoever is connected then.
    app.state.description = CachedResponse(json.dumps(app.openapi()).encode(), "application/json")
    app.state.websocket_description = CachedResponse(json.dumps(asyncapi.document()).encode(), "application/json")
    return app
