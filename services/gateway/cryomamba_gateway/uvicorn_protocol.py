"""uvicorn's HTTP/1.1 with our error envelope, and its WebSocket with limits.

The only place that overrides methods of uvicorn's own.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from cryomamba_gateway.access.connections import Connections
from cryomamba_gateway.errors import error_body, of_status
from cryomamba_server.throttle import Throttle

if TYPE_CHECKING:
    from websockets.frames import Frame

READ_NBYTES: Final = 2048
"""What a WebSocket handles before others get their turn: at most 340 frames, of which each has at least six bytes."""
EXTRA_FRAMES: Final = 256
"""Pings, pongs and continuations that a client may send at once; a usual one sends a few in a minute."""
EXTRA_FRAMES_PER_S: Final = 20.0
_REPORT_S: Final = 60.0

_log = Throttle(logging.getLogger(__name__), interval_s=_REPORT_S)


class HttpProtocol(H11Protocol):
    """HTTP/1.1 that answers bytes that are not HTTP with the error envelope.

    Parameters
    ----------
    connections : Connections
    uvicorn_arguments
        Passed on.
    """

    def __init__(self, *, connections: Connections, **uvicorn_arguments: Any) -> None:  # noqa: ANN401
        super().__init__(**uvicorn_arguments)
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give the connection its transport, with which it can be ended at once."""
        made = cast("asyncio.Transport", transport)
        connection = self._connections.find(made.get_extra_info("peername"), made.get_extra_info("sockname"))
        if connection is not None:
            connection.transport = made
        super().connection_made(made)

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
    """A WebSocket that reads on only when its last message was taken, and ends when a client floods it.

    uvicorn handles whatever has arrived at once, which may be tens of thousands of frames, and answers each ping.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 (uvicorn's)
        super().__init__(*arguments, **named)
        self._unread = bytearray()
        self._allowed = float(EXTRA_FRAMES)
        self._counted_at = self.loop.time()

    def data_received(self, data: bytes) -> None:
        """Handle what came, up to the next message."""
        self._unread += data
        self._read_on()

    async def receive(self) -> Any:  # noqa: ANN401 (an ASGI event)
        """Return the next message, and read on."""
        message = await super().receive()
        self._read_on()
        return message

    async def send(self, message: Any) -> None:  # noqa: ANN401 (an ASGI event)
        """Send a message, and after the last one read on: the client's reply to the end may be there already."""
        await super().send(message)
        self._read_on()

    def _read_on(self) -> None:
        while self._unread and not self.read_paused and not self.transport.is_closing():
            part = bytes(self._unread[:READ_NBYTES])
            del self._unread[:READ_NBYTES]
            super().data_received(part)
            if self._allowed < 0:
                _log.warning("A WebSocket was closed whose client sent too many control frames or fragments.")
                self.transport.abort()
        if self.transport.is_closing():
            self._unread.clear()
        elif self._unread:
            self.transport.pause_reading()

    def handle_ping(self) -> None:
        """Answer a ping."""
        self._count_extra()
        super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        """Note that the client is alive."""
        self._count_extra()
        super().handle_pong(event)

    def handle_text(self, event: Frame) -> None:
        """Pass a text on."""
        self._count_late()
        super().handle_text(event)

    def handle_bytes(self, event: Frame) -> None:
        """Pass bytes on."""
        self._count_late()
        super().handle_bytes(event)

    def handle_cont(self, event: Frame) -> None:
        """Add a fragment to its message."""
        self._count_extra()
        super().handle_cont(event)

    def _count_late(self) -> None:
        # After the gateway has closed the WebSocket, messages are dropped, so none of them stops the reading.
        if self.close_sent:
            self._count_extra()

    def _count_extra(self) -> None:
        now = self.loop.time()
        gained = (now - self._counted_at) * EXTRA_FRAMES_PER_S
        self._allowed, self._counted_at = min(EXTRA_FRAMES, self._allowed + gained) - 1, now
