"""Open connections: each has 20 s to complete a request, and only a bounded number may be unauthenticated.

The 20 s begin when the answer to the request before has been made, and anew while a slow peer takes that answer.

Three public hooks report what happens to a connection, whatever server speaks on it: the listening socket's ``accept``
(asyncio calls it, before TLS begins), the ASGI application (called once the headers of a request are complete), and
the accepted socket's ``close``. So an unfinished TLS handshake is bounded just as headers that never end.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from cryomamba_gateway.access.auth import PRINCIPAL
from cryomamba_server.descriptors import connections_max
from cryomamba_server.throttle import Throttle
from cryomamba_server.unauthenticated import UnauthenticatedConnections, client_network

REQUEST_S: Final = 20.0
SLOWEST_BYTES_PER_S: Final = 1024
"""At which an answer must be taken; as of bodies that are sent."""
CONNECTION: Final = "cryomamba.connection"
# Its socket, and the file that is sent over it.
DESCRIPTORS_EACH: Final = 2
_REPORT_S: Final = 60.0

logger = logging.getLogger(__name__)


class AcceptedSocket(socket.socket):
    """The socket of a connection; reports when the event loop closes it."""

    on_close: Callable[[], None] | None = None

    def close(self) -> None:
        """Close the socket."""
        if self.on_close is not None:
            self.on_close()
        super().close()


class Listener(socket.socket):
    """A listening socket that reports each connection that it accepts."""

    on_accept: Callable[[AcceptedSocket, Any], None] | None = None

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection."""
        plain, address = super().accept()
        accepted = AcceptedSocket(plain.family, plain.type, plain.proto, plain.detach())
        if self.on_accept is not None:
            self.on_accept(accepted, address)
        return accepted, address


class Connection:
    """One connection, from ``accept`` to ``close``. For one event loop.

    Parameters
    ----------
    accepted : AcceptedSocket
    network : str
        Where it comes from; see :func:`client_network`.
    unauthenticated : UnauthenticatedConnections
    required : callable
        Whether the gateway asks for tokens now.

    Attributes
    ----------
    transport : asyncio.Transport or None
        From the end of the TLS handshake on.
    """

    def __init__(
        self,
        accepted: AcceptedSocket,
        network: str,
        unauthenticated: UnauthenticatedConnections[Connection],
        required: Callable[[], bool],
    ) -> None:
        self.network = network
        self.transport: asyncio.Transport | None = None
        self._socket = accepted
        self._unauthenticated = unauthenticated
        self._required = required
        self._open = True
        self._authenticated = False
        self._requests = self._answered = 0
        self._place: asyncio.Future[bool] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._wait_for_request()

    def begin_request(self) -> None:
        """Stop the clock while a request is answered."""
        self._requests += 1
        self._stop_waiting()

    def end_request(self, *, authenticated: bool) -> None:
        """Wait for the next request, unless that has begun already (pipelining)."""
        self._requests -= 1
        self._answered += 1
        self._authenticated |= authenticated
        if self._open and not self._requests:
            self._wait_for_request()

    @property
    def only_without_token(self) -> bool:
        """Whether requests were answered, and none of them had a valid token."""
        return self._answered > 0 and not self._authenticated

    @contextmanager
    def waiting_in(self, place: asyncio.Future[bool]) -> Iterator[None]:
        """Count the connection as unauthenticated while a request of it waits; if it is closed, `place` is False."""
        self._place = place
        try:
            with self.counted():
                if not self._open and not place.done():
                    place.set_result(False)
                yield
        finally:
            self._place = None

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count the connection as unauthenticated: a WebSocket whose first message is to bring the token."""
        self._count()
        try:
            yield
        finally:
            self._unauthenticated.discard(self)

    def evict(self) -> None:
        """End the connection at once, without waiting for the peer."""
        if self.transport is not None:
            self.transport.abort()
        else:
            # The TLS handshake fails at the end of the stream.
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def closed(self) -> None:
        """Note that the socket has been closed."""
        self._open = False
        self._stop_waiting()
        if self._place is not None and not self._place.done():
            self._place.set_result(False)

    def _wait_for_request(self) -> None:
        self._start_clock()
        if not self._authenticated:
            self._count()

    def _start_clock(self) -> None:
        self._deadline = asyncio.get_running_loop().call_later(REQUEST_S, self._end_silence, self._unsent)

    @property
    def _unsent(self) -> int:
        """Bytes of answers that the peer has not taken yet."""
        return self.transport.get_write_buffer_size() if self.transport is not None else 0

    def _end_silence(self, unsent: int) -> None:
        """End the connection, unless its peer is still taking the last answer; `unsent` is from the clock's start."""
        if unsent - self._unsent >= REQUEST_S * SLOWEST_BYTES_PER_S:
            self._start_clock()
        else:
            self.evict()

    def _stop_waiting(self) -> None:
        self._unauthenticated.discard(self)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _count(self) -> None:
        if self._open and self._required():
            self._unauthenticated.add(self)


class Connections:
    """All open connections, by the addresses of their two ends.

    Parameters
    ----------
    unauthenticated : UnauthenticatedConnections
    required : callable
        Whether the gateway asks for tokens now.
    """

    def __init__(self, unauthenticated: UnauthenticatedConnections[Connection], required: Callable[[], bool]) -> None:
        self._unauthenticated = unauthenticated
        self._required = required
        self._open: dict[tuple[Any, Any], Connection] = {}
        self._log = Throttle(logger, interval_s=_REPORT_S)

    def add(self, accepted: AcceptedSocket, address: Any) -> None:  # noqa: ANN401 (an address of any family)
        """Note a connection that was just accepted."""
        ends = (tuple(address[:2]), tuple(accepted.getsockname()[:2]))
        connection = Connection(accepted, client_network(ends[0][0]), self._unauthenticated, self._required)
        self._open[ends] = connection
        if len(self._open) > connections_max() // DESCRIPTORS_EACH:
            self._evict_for_descriptors(connection)

        def on_close() -> None:
            connection.closed()
            if self._open.get(ends) is connection:
                del self._open[ends]

        accepted.on_close = on_close

    def _evict_for_descriptors(self, new: Connection) -> None:
        victim = self._unauthenticated.oldest or new
        self._unauthenticated.discard(victim)
        victim.evict()
        self._log.warning(
            "Connections were closed that were more than the limit on open files allows; %d are open.", len(self._open)
        )

    def find(self, client: Any, server: Any) -> Connection | None:  # noqa: ANN401 (addresses of any family)
        """Return the connection between two addresses; None if it is closed."""
        return self._open.get((tuple(client[:2]), tuple(server[:2]))) if client and server else None

    def evict_all(self) -> None:
        """End all connections."""
        for connection in list(self._open.values()):
            connection.evict()


class ConnectionMiddleware:
    """Outermost middleware: tells a connection when a request of it begins and ends, and whether it had a token."""

    def __init__(self, app: ASGIApp, *, connections: Connections) -> None:
        self.app = app
        self.connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        connection = self.connections.find(scope.get("client"), scope.get("server"))
        if connection is None:
            await self.app(scope, receive, send)
            return
        scope[CONNECTION] = connection
        connection.begin_request()
        try:
            await self.app(scope, receive, send)
        finally:
            caller = scope.get(PRINCIPAL)
            connection.end_request(authenticated=caller is not None and bool(caller.token_id))
