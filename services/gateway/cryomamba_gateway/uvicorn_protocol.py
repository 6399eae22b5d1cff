"""uvicorn's HTTP/1.1 with our error envelope. The only place that overrides a method of uvicorn's own."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

from cryomamba_gateway.access.connections import Connections
from cryomamba_gateway.errors import error_body, of_status


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
