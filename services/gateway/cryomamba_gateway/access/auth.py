"""Middleware: which host was asked for, who asks, whether it may, and how often."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cryomamba.errors import AccessError, ErrorCode
from cryomamba_gateway.access.hosts import host_allowed
from cryomamba_gateway.access.principal import ANYBODY, Principal
from cryomamba_gateway.access.rate_limit import RequestRate
from cryomamba_gateway.errors import envelope
from cryomamba_server.tokens import Scope as TokenScope
from cryomamba_server.tokens import TokenStore

COOKIE: Final = "cryomamba_token"
PRINCIPAL: Final = "cryomamba.principal"
SESSION: Final = "/v1/session"
BODY_IDLE_S: Final = 30.0
BODY_BYTES_PER_S: Final = 1024
_LOOKING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_PUBLIC: Final = re.compile(r"/v1/(healthz|readyz)|/openapi\.json|/|/docs|/web/[a-z.]+")
_SIGNED: Final = re.compile(r"/v1/files/[^/\s]+/[^/\s]+")
_BEARER: Final = re.compile(r"bearer +(\S+)", re.IGNORECASE)


def is_public(method: str, path: str) -> bool:
    """Whether a request needs no token: health, the pages and the API's description, and links that are signed."""
    return method in _LOOKING and bool(_PUBLIC.fullmatch(path) or _SIGNED.fullmatch(path))


def presented_token(headers: Headers) -> str | None:
    """Return the token in a request's header or, failing that, in its cookie."""
    if (found := _BEARER.fullmatch(headers.get("authorization", "").strip())) is not None:
        return found[1]
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel is not None else None


def identify(tokens: TokenStore, token: str | None) -> Principal:
    """Return who presents a token; on a server without keys everybody may do everything.

    Raises
    ------
    AccessError
        ``unauthorized``: there is none, or it is no good.
    """
    if not tokens.enabled:
        return ANYBODY
    if token is None:
        raise AccessError(
            "This server wants a token.",
            code=ErrorCode.UNAUTHORIZED,
            hint="Send it as 'Authorization: Bearer TOKEN'; programs of CryoMamba take it from CRYOMAMBA_TOKEN.",
        )
    return Principal.of(tokens.verify(token))


class HostMiddleware:
    """Refuses requests for a host that this gateway is not."""

    def __init__(self, app: ASGIApp, *, names: Collection[str]) -> None:
        self.app = app
        self.names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on or refuse it."""
        if scope["type"] != "lifespan" and not host_allowed(Headers(scope=scope).get("host"), self.names):
            await refuse(
                AccessError(
                    "The request is for another host than this gateway.",
                    hint="Name the host in CRYOMAMBA_GATEWAY_HOSTS to allow it.",
                ),
                scope,
                receive,
                send,
            )
            return
        await self.app(scope, receive, send)


class AuthMiddleware:
    """Asks for a token, looks at its scope and counts its requests; routes find the caller in the ASGI scope.

    WebSockets are asked by their own routes, since they may say the token in their first message.
    """

    def __init__(self, app: ASGIApp, *, tokens: TokenStore, rate: RequestRate) -> None:
        self.app = app
        self.tokens = tokens
        self.rate = rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif is_public(scope["method"], scope["path"]):
            scope[PRINCIPAL] = ANYBODY
            await self.app(scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            caller = await asyncio.to_thread(identify, self.tokens, presented_token(Headers(scope=scope)))
        except AccessError as error:
            await refuse(error, scope, receive, send, {"WWW-Authenticate": "Bearer"})
            return
        counted: dict[str, str] = {}
        if caller.token_id:
            allowance = self.rate.count(caller.token_id, time.monotonic())
            counted = allowance.headers()
            if allowance.retry_after_s:
                counted["Retry-After"] = str(allowance.retry_after_s)
                await refuse(_too_often(), scope, receive, send, counted)
                return
        try:
            looking = scope["method"] in _LOOKING or scope["path"] == SESSION
            caller.require(TokenScope.READ if looking else TokenScope.WRITE)
        except AccessError as error:
            await refuse(error, scope, receive, send, counted)
            return
        scope[PRINCIPAL] = caller

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(counted)
            await send(message)

        await self.app(scope, receive, send_counted)


class BodyTimeoutMiddleware:
    """Gives up a request whose body stops coming or trickles, so that many slow clients do not hold the gateway.

    Parameters
    ----------
    app : ASGIApp
    idle_s : float
        Seconds without a byte.
    bytes_per_s : float
        What comes on the average at least, from `idle_s` after the start on.
    """

    def __init__(self, app: ASGIApp, *, idle_s: float = BODY_IDLE_S, bytes_per_s: float = BODY_BYTES_PER_S) -> None:
        self.app = app
        self.idle_s = idle_s
        self.bytes_per_s = bytes_per_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
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
    error: AccessError, scope: Scope, receive: Receive, send: Send, headers: dict[str, str] | None = None
) -> None:
    """Answer with an error; a WebSocket is refused before its handshake is complete."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": error.message[:100]})
        return
    await envelope(scope, error, headers)(scope, receive, send)


def _too_often() -> AccessError:
    return AccessError(
        "This token asks too often.",
        code=ErrorCode.RATE_LIMITED,
        hint="Wait as long as the header 'Retry-After' says.",
        retryable=True,
    )
