"""Middleware for every request: its id and metrics, the origin check, the body limit, and the error envelope."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Collection
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cryomamba.errors import AccessError
from cryomamba.wire.trace_context import TraceContext, is_request_id, is_traceparent, use_trace
from cryomamba_gateway.access_log import Response, client_address, log_access, route_template
from cryomamba_gateway.errors import REQUEST_ID, envelope, of_status
from cryomamba_gateway.limits import HEADERS_MAX_BYTES
from cryomamba_gateway.metrics import Metrics
from cryomamba_gateway.origins import is_encrypted, origin_allowed
from cryomamba_server import log_context
from cryomamba_server.tracing import span

_VOLUME: Final = re.compile(r"/v1/uploads/[^/]+/part/[^/]+|/v1/files(/[^/]+)?")
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


def foreign_origin() -> AccessError:
    """Return the error for a web page of another origin."""
    return AccessError(
        "This web page may not use this gateway.", hint="To allow it, add its origin to CRYOMAMBA_GATEWAY_ORIGINS."
    )


class RequestContext:
    """Gives the request its id and trace context, and enters the response in the metrics and the access log."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        trace = trace_of(Headers(scope=scope))
        scope[REQUEST_ID] = trace.request_id
        response = Response()

        async def send_with_id(message: Message) -> None:
            if message["type"] in {"http.response.start", "websocket.accept"}:
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = scope[REQUEST_ID]
                headers["X-Content-Type-Options"] = "nosniff"
            response.note(message)
            await send(message)

        async def receive_counted() -> Message:
            message = await receive()
            response.received_bytes += len(message.get("body", b""))
            return message

        started = time.perf_counter()
        with use_trace(trace), span("HTTP request") as traced, log_context.bind(client=client_address(scope)):
            try:
                await self.app(scope, receive_counted, send_with_id)
            finally:
                seconds = time.perf_counter() - started
                route = route_template(scope)
                traced.rename(f"{scope.get('method', 'WebSocket')} {route}")
                traced.set("http.response.status_code", response.status)
                if scope["type"] == "http":
                    self.metrics.count_response(
                        scope["method"],
                        route,
                        response.status,
                        seconds,
                        sent_bytes=response.sent_bytes,
                        received_bytes=response.received_bytes,
                    )
                log_access(scope, route, response, seconds)


def trace_of(headers: Headers) -> TraceContext:
    """Return the trace context that a client gave; a request without a valid id gets a new one."""
    given, traceparent = headers.get("x-request-id", ""), headers.get("traceparent", "")
    return TraceContext(
        given if is_request_id(given) else str(uuid.uuid4()), traceparent if is_traceparent(traceparent) else None
    )


class OriginMiddleware:
    """Refuses requests that change something and come from a web page of another origin."""

    def __init__(self, app: ASGIApp, *, allowed: Collection[str]) -> None:
        self.app = app
        self.allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle or refuse a request."""
        changes = scope["type"] == "http" and scope["method"] not in _SAFE_METHODS
        if changes and not self._allows(scope["scheme"], Headers(scope=scope)):
            await envelope(scope, foreign_origin())(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _allows(self, scheme: str, headers: Headers) -> bool:
        return origin_allowed(headers, self.allowed, tls=is_encrypted(scheme, headers))


class FramingMiddleware:
    """Refuses requests whose head is too large, or whose length is stated in two ways, and closes their connection.

    A proxy that believes the other length (RFC 9112, section 6.1) would take a part of the body for the next request,
    in another's name. The parser limits only a head that arrives in several parts.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle or refuse a request."""
        if scope["type"] == "http" and (_has_two_lengths(scope) or _head_nbytes(scope) > HEADERS_MAX_BYTES):
            await envelope(scope, of_status(400), {"Connection": "close"})(scope, receive, send)
            return
        await self.app(scope, receive, send)


def _has_two_lengths(scope: Scope) -> bool:
    return {name.lower() for name, _ in scope["headers"]} >= _FRAMING


def _head_nbytes(scope: Scope) -> int:
    line = len(scope["method"]) + len(scope.get("raw_path") or b"") + len(scope["query_string"])
    return line + sum(len(name) + len(value) for name, value in scope["headers"])


class BodyLimit:
    """Limits the size of bodies, except for uploaded volumes, whose size was agreed on before."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self.app = app
        self.bounded = RequestBodyLimitMiddleware(app, max_body_size=max_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request with a limited body."""
        volume = scope["type"] == "http" and scope["method"] == "PUT" and _VOLUME.fullmatch(scope["path"])
        await (self.app if volume else self.bounded)(scope, receive, send)


class ErrorMiddleware:
    """Replaces the framework's own error responses, such as 413 and 416, with the envelope."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request and replace an error of the framework's."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        replacing = False

        async def send_enveloped(message: Message) -> None:
            nonlocal replacing
            if message["type"] == "http.response.start" and message["status"] >= 400:
                headers = MutableHeaders(scope=message)
                if not headers.get("content-type", "").startswith("application/json"):
                    replacing = True
                    kept = {name: value for name, value in headers.items() if name in _KEPT}
                    await envelope(scope, of_status(message["status"]), kept)(scope, receive, send)
            if not replacing:
                await send(message)

        await self.app(scope, receive, send_enveloped)


_KEPT: Final = frozenset({"allow", "content-range", "retry-after", "www-authenticate"})
