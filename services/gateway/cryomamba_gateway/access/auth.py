"""Authentication and authorization: the host check, the token check, and the timeout of request bodies."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from http.cookies import CookieError, SimpleCookie
from typing import Final, NoReturn

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cryomamba.errors import AccessError, CryoMambaError, ErrorCode, UnavailableError
from cryomamba.wire.trace_context import current_trace, use_trace
from cryomamba_gateway.access.hosts import host_allowed
from cryomamba_gateway.access.principal import ANYBODY, Principal
from cryomamba_gateway.access.rate_limit import RequestRate
from cryomamba_gateway.access_log import LOG_FIELDS
from cryomamba_gateway.errors import envelope
from cryomamba_server import log_context
from cryomamba_server.tokens import Scope as TokenScope
from cryomamba_server.tokens import TokenStore

COOKIE: Final = "cryomamba_token"
PRINCIPAL: Final = "cryomamba.principal"
SESSION: Final = "/v1/session"
RECHECK_S: Final = 15.0
BODY_IDLE_S: Final = 30.0
BODY_BYTES_PER_S: Final = 1024
_READ_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_PUBLIC: Final = re.compile(r"/v1/(healthz|readyz)|/(openapi|asyncapi)\.json|/|/docs|/web/[a-z.]+")
# The two names without an ending are routes of uploaded files; no output file of a job is called like that.
_SIGNED: Final = re.compile(r"/v1/files/[^/\s]+/(?!(?:content|slice)$)[^/\s]+")
_GRANTED: Final = re.compile(r"/v1/zarr/[^/]+/shared/([^/]+)/([a-z]+)/([^/]+)\.ome\.zarr/.*")
_VOXELS: Final = re.compile(r"/v1/zarr/.*|/v1/(?:files|inputs)/[^/]+/slice|/v1/jobs/[^/]+/volumes/[^/]+/slice")
# A viewer asks for a hundred chunks to show one section.
VOXEL_COST: Final = 1 / 16
_BEARER: Final = re.compile(r"bearer +(\S+)", re.IGNORECASE)


def is_public(method: str, path: str) -> bool:
    """Whether a request needs no token: health, pages, the OpenAPI document, and signed links."""
    return method in _READ_METHODS and bool(_PUBLIC.fullmatch(path) or _SIGNED.fullmatch(path))


def zarr_grant_path(kind: str, id_: str) -> str:
    """Return what the grant of a link to a Zarr hierarchy is made for; it is valid for all versions of the format."""
    return f"/v1/zarr/{kind}/{id_}"


def presents_grant(scope: Scope) -> bool:
    """Whether the path of a request has the grant of a link, valid or not."""
    return bool(_GRANTED.fullmatch(scope["path"]))


def presented_token(headers: Headers) -> str | None:
    """Return the token in a request's Authorization header, or else in its cookie."""
    if (found := _BEARER.fullmatch(headers.get("authorization", "").strip())) is not None:
        return found[1]
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel is not None else None


def identify(tokens: TokenStore, token: str | None) -> Principal:
    """Check a token and return its principal; on a server without token keys everything is allowed.

    Raises
    ------
    AccessError
        ``unauthorized``: the token is missing or invalid.
    UnavailableError
        Too many files are open at the moment, so the token cannot be checked.
    """
    if not tokens.enabled:
        return ANYBODY
    if token is None:
        raise AccessError(
            "This server requires a token.",
            code=ErrorCode.UNAUTHORIZED,
            hint="Send it as 'Authorization: Bearer TOKEN'; CryoMamba's programs read it from CRYOMAMBA_TOKEN.",
        )
    return Principal.of(tokens.verify(token))


async def require_valid(tokens: TokenStore, token: str | None) -> NoReturn:
    """Check the token of an open connection again and again.

    Raises
    ------
    AccessError
        ``unauthorized``: it is not valid any more.
    """
    while True:
        await asyncio.sleep(RECHECK_S)
        # Too many open files: the token is read again next time.
        with contextlib.suppress(UnavailableError):
            await asyncio.to_thread(identify, tokens, token)


class HostMiddleware:
    """Refuses requests whose Host header names another host (DNS rebinding)."""

    def __init__(self, app: ASGIApp, *, names: Collection[str]) -> None:
        self.app = app
        self.names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle or refuse a request."""
        if scope["type"] != "lifespan" and not host_allowed(Headers(scope=scope).get("host"), self.names):
            error = AccessError(
                "The request is for another host name than the gateway's.",
                hint="To allow it, add the name to CRYOMAMBA_GATEWAY_HOSTS.",
            )
            await refuse(error, scope, receive, send)
            return
        await self.app(scope, receive, send)


class AuthMiddleware:
    """Checks each request's token, scope and rate, and stores the principal in the ASGI scope.

    The grant in the path of a link stands for a token that may only read there. The routes of WebSockets check
    tokens themselves, since the token may come in the first message.
    """

    def __init__(
        self, app: ASGIApp, *, tokens: TokenStore, rate: RequestRate, check_grant: Callable[[str, str], None]
    ) -> None:
        self.app = app
        self.tokens = tokens
        self.rate = rate
        self.check_grant = check_grant

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle or refuse a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        send = _not_stored(send, private=not _PUBLIC.fullmatch(scope["path"]))
        if is_public(scope["method"], scope["path"]):
            scope[PRINCIPAL] = ANYBODY
            await self.app(scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            caller = await self._identify(scope)
        except AccessError as error:
            headers = {"WWW-Authenticate": "Bearer"} if error.code is ErrorCode.UNAUTHORIZED else None
            await refuse(error, scope, receive, send, headers)
            return
        except UnavailableError as error:
            await refuse(error, scope, receive, send)
            return
        rate_headers: dict[str, str] = {}
        if caller.token_id:
            cost = VOXEL_COST if _VOXELS.fullmatch(scope["path"]) else 1.0
            allowance = self.rate.count(caller.token_id, time.monotonic(), cost=cost)
            rate_headers = allowance.headers()
            if allowance.retry_after_s:
                rate_headers["Retry-After"] = str(allowance.retry_after_s)
                refusal = AccessError(
                    "This token has sent too many requests.",
                    code=ErrorCode.RATE_LIMITED,
                    hint="Wait for the seconds in the header 'Retry-After'.",
                    retryable=True,
                )
                await refuse(refusal, scope, receive, send, rate_headers)
                return
        try:
            reads = scope["method"] in _READ_METHODS or scope["path"] == SESSION
            caller.require(TokenScope.READ if reads else TokenScope.WRITE)
        except AccessError as error:
            await refuse(error, scope, receive, send, rate_headers)
            return
        scope[PRINCIPAL] = caller
        with use_trace(replace(current_trace(), actor=caller.actor)), log_context.bind(**caller.log_fields):
            await self._serve_caller(scope, receive, send, rate_headers)

    async def _identify(self, scope: Scope) -> Principal:
        granted = _GRANTED.fullmatch(scope["path"])
        if granted is None:
            return await asyncio.to_thread(identify, self.tokens, presented_token(Headers(scope=scope)))
        grant, kind, id_ = granted.groups()
        self.check_grant(zarr_grant_path(kind, id_), grant)
        return Principal.of_link(grant)

    async def _serve_caller(self, scope: Scope, receive: Receive, send: Send, rate_headers: dict[str, str]) -> None:
        async def send_with_rate(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(rate_headers)
            await send(message)

        try:
            await self.app(scope, receive, send_with_rate)
        finally:
            # What a route has bound is still in this context, and belongs into the access log.
            scope[LOG_FIELDS] = log_context.bound()


def _not_stored(send: Send, *, private: bool) -> Send:
    """Keep caches from storing private answers (RFC 9111, section 5.2.2.5), and others without rules of their own.

    A route may let the client's own cache keep its answer ('private'), never a shared one.
    """

    async def send_with_rules(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if private:
                if not headers.get("cache-control", "").startswith("private,"):
                    headers["Cache-Control"] = "no-store"
                headers.add_vary_header("Authorization, Cookie")
            else:
                headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return send_with_rules


class BodyTimeoutMiddleware:
    """Ends a request whose body stops arriving or arrives too slowly, so that slow clients do not occupy the gateway.

    The application sees such a request as disconnected.

    Parameters
    ----------
    app : ASGIApp
    idle_s : float
        Maximum time in seconds without a byte.
    bytes_per_s : float
        Minimum average rate, after the first `idle_s` seconds.
    """

    def __init__(self, app: ASGIApp, *, idle_s: float = BODY_IDLE_S, bytes_per_s: float = BODY_BYTES_PER_S) -> None:
        self.app = app
        self.idle_s = idle_s
        self.bytes_per_s = bytes_per_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        more, received = True, 0
        clock = asyncio.get_running_loop().time
        started = clock()

        async def receive_in_time() -> Message:
            nonlocal more, received
            if not more:
                return await receive()
            slowest = started + self.idle_s + received / self.bytes_per_s
            try:
                async with asyncio.timeout_at(min(clock() + self.idle_s, slowest)):
                    message = await receive()
            except TimeoutError:
                return {"type": "http.disconnect"}
            more = bool(message.get("more_body", False))
            received += len(message.get("body", b""))
            return message

        await self.app(scope, receive_in_time, send)


async def refuse(
    error: CryoMambaError, scope: Scope, receive: Receive, send: Send, headers: dict[str, str] | None = None
) -> None:
    """Send an error; a WebSocket is refused before its handshake is complete."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": error.message[:100]})
        return
    await envelope(scope, error, headers)(scope, receive, send)
