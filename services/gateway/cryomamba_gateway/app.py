"""The application, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import FastAPI
from starlette.middleware.body_limit import RequestBodyLimitMiddleware

from cryomamba._version import __version__
from cryomamba.settings import Settings

from . import errors
from .allow import AllowedMethods
from .context import Gateway
from .limits import BODY_MAX_BYTES
from .middleware import EnvelopeNet, OriginGuard, RequestContext
from .routers import artifacts, health, jobs, previews, server, websocket

DESCRIPTION: Final = """
Segments cryo-electron tomograms and shows the mask while it grows. Arrays are ZYX in C order, lengths are ångström,
times ISO 8601 in UTC, ids UUID text. Every answer carries `X-Request-ID`; every status from 400 up carries the same
error envelope. The job routes are also served without `/v1`.

**WebSocket.** `/v1/ws/jobs/{id}` follows one job to its end; `/v1/ws` follows many, on
`{"type": "subscribe", "job_id": …}`. The reference page has the messages and the binary subprotocol
`cryomamba.frames.v1`.
"""
TAGS: Final = [
    {"name": "health", "description": "Does it live, is it ready, how is it doing."},
    {"name": "server", "description": "Versions, engines, limits, endpoints."},
    {"name": "jobs", "description": "Segmentations: handing in, looking, cancelling, retrying."},
    {"name": "previews", "description": "The mask as far as it has grown."},
    {"name": "artifacts", "description": "Finished files."},
]
JOB_ROUTERS: Final = (jobs.router, previews.router, artifacts.router)


def create_app(settings: Settings) -> FastAPI:
    """Return the gateway as an ASGI application; it looks for the broker while its lifespan runs."""
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
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.gateway = gateway
    for router in JOB_ROUTERS:
        app.include_router(router, prefix="/v1")
        app.include_router(router, include_in_schema=False)
    for router in (health.router, server.router, websocket.router):
        app.include_router(router)
    errors.install(app)
    allow = AllowedMethods()
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=BODY_MAX_BYTES)
    app.add_middleware(OriginGuard, allowed=settings.gateway_origins)
    app.add_middleware(EnvelopeNet, allow=allow)
    app.add_middleware(RequestContext, metrics=gateway.metrics)
    app.openapi = _described(app.openapi)  # type: ignore[method-assign]
    for path, methods in _methods(app):
        allow.add(path, methods)
    return app


def _described(generate: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """Take the framework's own validation error, which is never sent, out of the description."""

    def openapi() -> dict[str, Any]:
        schema = generate()
        for operations in schema["paths"].values():
            for operation in operations.values():
                if "HTTPValidationError" in str(operation["responses"].get("422")):
                    del operation["responses"]["422"]
        for name in ("HTTPValidationError", "ValidationError"):
            schema["components"]["schemas"].pop(name, None)
        return schema

    return openapi


def _methods(app: FastAPI) -> list[tuple[str, set[str]]]:
    """Return every path with its methods, those outside the description included."""
    found: list[tuple[str, set[str]]] = [("/openapi.json", {"GET", "HEAD"}), ("/docs", {"GET", "HEAD"})]
    for path, operations in app.openapi()["paths"].items():
        methods = set(operations)
        found.append((path, methods))
        if path.startswith("/v1/jobs"):
            found.append((path.removeprefix("/v1"), methods))
    return found
