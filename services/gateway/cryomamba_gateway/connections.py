"""Connections of the gateway, from the moment that they are accepted: TLS, then HTTP/1.1, and neither without end."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import uuid
from typing import Any, Final, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from cryomamba_gateway.access.auth import PRINCIPAL
from cryomamba_gateway.access.principal import Principal
from cryomamba_gateway.access.unauthenticated import UnauthenticatedConnection
from cryomamba_gateway.context import Gateway
from cryomamba_gateway.errors import error_body, of_status

REQUEST_S: Final = 20.0
HANDSHAKE_S: Final = 10.0
LEAVE_S: Final = 5.0
TLS_END_S: Final = 5.0


def new_connection(*, gateway: Gateway, tls: ssl.SSLContext | None, **given: Any) -> asyncio.Protocol:  # noqa: ANN401
    """Return what speaks on a connection that was just accepted; `given` is what uvicorn hands over."""
    http = EnvelopedH11(gateway=gateway, **given)
    return http if tls is None else Handshake(http, tls, gateway)


class EnvelopedH11(H11Protocol):
    """HTTP/1.1 that answers bytes that are not HTTP with the error envelope, and does not wait for ever for a request.

    A client that connects and says nothing, or its headers a byte at a time, is cut off. One that has not shown a token
    on this connection waits in the lobby.

    Parameters
    ----------
    gateway : Gateway
    given
        What uvicorn hands over.
    """

    _deadline: asyncio.TimerHandle | None = None
    _guest: UnauthenticatedConnection | None = None
    _known = False

    def __init__(self, *, gateway: Gateway, **given: Any) -> None:  # noqa: ANN401
        super().__init__(**given)
        self._gateway = gateway

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 (uvicorn's type)
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait_for_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Take in bytes; a request whose headers are there may take its time."""
        super().handle_events()
        if self._answering():
            self._stop_waiting()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over; a WebSocket has pings of its own."""
        self._stop_waiting()
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        super().on_response_complete()
        caller = cast("Principal | None", self.scope.get(PRINCIPAL))
        self._known = self._known or (caller is not None and bool(caller.token_id))
        if self._deadline is None and not self.transport.is_closing():
            self._wait_for_request()

    def _wait_for_request(self) -> None:
        self._deadline = self.loop.call_later(REQUEST_S, self._give_up)
        if not self._known and self._gateway.tokens.enabled:
            address = self.client[0] if self.client else ""
            # Not closed: that waits for what is not read, and with TLS for the other side's word.
            self._guest = self._gateway.lobby.enter(address, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._guest is not None:
            self._gateway.lobby.leave(self._guest)
            self._guest = None
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._stop_waiting()
        if not self._answering():
            self.transport.close()

    def _answering(self) -> bool:
        # There is none before the first request, whatever uvicorn's annotation says.
        cycle: Any = self.cycle
        return cycle is not None and not cycle.response_complete

    def send_400_response(self, msg: str) -> None:
        """Answer and close; `msg` is uvicorn's own wording."""
        del msg
        request = str(uuid.uuid4())
        body = error_body(of_status(400), request=request).model_dump_json().encode()
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
            f"x-request-id: {request}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        if not self.transport.is_closing():
            self.transport.write(head.encode() + body)
            self.transport.close()


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket that waits for the other side to close as well, for 5 s.

    Who was refused and has shown no token is in the lobby meanwhile.

    Parameters
    ----------
    gateway : Gateway
    given
        What uvicorn hands over.
    """

    _guest: UnauthenticatedConnection | None = None

    def __init__(self, *, gateway: Gateway, **given: Any) -> None:  # noqa: ANN401
        super().__init__(**given)
        self._gateway = gateway
        self.close_timeout = LEAVE_S

    async def send(self, message: Any) -> None:  # noqa: ANN401 (an ASGI event)
        """Send what the application says."""
        await super().send(message)
        if self.close_timer is not None and self._guest is None and PRINCIPAL not in self.scope:
            address = self.client[0] if self.client else ""
            self._guest = self._gateway.lobby.enter(address, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Be gone."""
        if self._guest is not None:
            self._gateway.lobby.leave(self._guest)
        super().connection_lost(exc)


class Handshake(asyncio.Protocol):
    """The beginning of TLS, before HTTP: given up after 10 s, and meanwhile in the lobby like all strangers.

    asyncio would do the same for a server made with ``ssl=…``, but nobody could close the connection before its end.

    Parameters
    ----------
    http : EnvelopedH11
        What speaks afterwards.
    tls : ssl.SSLContext
    gateway : Gateway
    """

    def __init__(self, http: EnvelopedH11, tls: ssl.SSLContext, gateway: Gateway) -> None:
        self._http = http
        self._tls = tls
        self._gateway = gateway
        self._early: list[bytes] = []
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast("asyncio.Transport", transport)
        self._shaking = self._http.loop.create_task(self._shake(), name="tls")

    def shutdown(self) -> None:
        """Give up; uvicorn asks for it at its end."""
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Keep what comes right behind the handshake, in the same turn of the loop."""
        self._early.append(data)

    async def _shake(self) -> None:
        begun = cast("set[Any]", self._http.connections)
        begun.add(self)
        try:
            with self._in_the_lobby():
                # None if the connection was lost meanwhile.
                secure: asyncio.Transport | None = await self._http.loop.start_tls(
                    self.transport,
                    self,
                    self._tls,
                    server_side=True,
                    ssl_handshake_timeout=HANDSHAKE_S,
                    ssl_shutdown_timeout=TLS_END_S,
                )
        except OSError:
            return
        finally:
            begun.discard(self)
        if secure is not None and not secure.is_closing():
            self._hand_over(secure)

    def _in_the_lobby(self) -> contextlib.AbstractContextManager[None]:
        if not self._gateway.tokens.enabled:
            return contextlib.nullcontext()
        peer = self.transport.get_extra_info("peername")
        return self._gateway.lobby.waiting(peer[0] if peer else "", self.transport.abort)

    def _hand_over(self, secure: asyncio.Transport) -> None:
        secure.set_protocol(self._http)
        self._http.connection_made(secure)
        for data in self._early:
            self._http.data_received(data)
