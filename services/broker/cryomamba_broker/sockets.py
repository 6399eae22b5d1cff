"""The broker's four sockets: options and binding."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import zmq
import zmq.asyncio

from cryomamba.access.roles import PREVIEW_IN_DOMAIN
from cryomamba.endpoints import BusEndpoints, require_loopback
from cryomamba.errors import InvalidRequestError, UnavailableError
from cryomamba.wire.constants import (
    EVENTS_HWM,
    HEADER_MAX_BYTES,
    HEARTBEAT_MS,
    HEARTBEAT_TIMEOUT_MS,
    JOBS_HWM,
    PREVIEW_IN_HWM,
    PREVIEW_OUT_HWM,
    PREVIEW_WIRE_MAX_BYTES,
)
from cryomamba.wire.topics import ALL_PREVIEWS
from cryomamba_broker.authenticator import BusAuthenticator
from cryomamba_broker.connections import HANDSHAKE_MS, BusConnections, ConnectionMonitor

S = TypeVar("S", bound=zmq.Socket[Any])

LINGER_MS: Final = 200
JOBS: Final = "jobs"
PREVIEW_OUT: Final = "preview-out"
EVENTS: Final = "events"
DOMAINS: Final = {"jobs": JOBS, "preview_in": PREVIEW_IN_DOMAIN, "preview_out": PREVIEW_OUT, "events": EVENTS}
_SUBSCRIPTION_MAX_BYTES: Final = 4096
# As many as may connect at once without the kernel dropping one, which its peer would repeat only after a second.
_BACKLOG: Final = 1024
# A connection is closed if so many probes, HEARTBEAT_MS apart, are not answered after HEARTBEAT_TIMEOUT_MS of silence.
_PROBES: Final = 3
# Or when its peer's system has not taken what was sent for so long, as that of a stopped process whose buffer is full.
_UNACKNOWLEDGED_MS: Final = 30_000
_BIND_TRIES: Final = 250
_BIND_PAUSE_S: Final = 0.01


@dataclass(slots=True)
class BusSockets:
    """The bound sockets and their actual endpoints; all but `jobs` belong to threads of their own."""

    context: zmq.asyncio.Context
    authenticator: BusAuthenticator
    jobs: zmq.asyncio.Socket
    preview_in: zmq.Socket[bytes]
    preview_out: zmq.Socket[bytes]
    events: zmq.Socket[bytes]
    endpoints: BusEndpoints
    connections: BusConnections
    monitors: dict[str, ConnectionMonitor]

    def close(self) -> None:
        """Close all sockets; replies that are being sent get a moment."""
        for monitor in self.monitors.values():
            monitor.stop()
        for one in (self.jobs, self.preview_in, self.preview_out, self.events):
            one.close(linger=LINGER_MS)

    def renew_events(self) -> zmq.Socket[bytes]:
        """Drop all subscriptions to events, and return the socket that accepts new ones; for the events' thread."""
        self.monitors["events"].stop()
        self.events.close(linger=0)
        self.events = _events(self.context, self.authenticator)
        self.monitors["events"] = self.connections.watch(self.events)
        self.authenticator.secure(self.events, EVENTS)
        _bind_again(self.events, self.endpoints.events)
        return self.events

    def renew_preview_out(self) -> zmq.Socket[bytes]:
        """Drop all subscriptions to previews, and return the socket that accepts new ones; for the relay's thread."""
        self.monitors["preview_out"].stop()
        self.preview_out.close(linger=0)
        self.preview_out = _preview_out(self.context, self.authenticator)
        self.monitors["preview_out"] = self.connections.watch(self.preview_out)
        self.authenticator.secure(self.preview_out, PREVIEW_OUT)
        _bind_again(self.preview_out, self.endpoints.preview_out)
        return self.preview_out


def bind_sockets(
    context: zmq.asyncio.Context, wanted: BusEndpoints, authenticator: BusAuthenticator, connections: BusConnections
) -> BusSockets:
    """Create and bind the sockets; port 0 stands for any free port.

    With CURVE keys the sockets accept only connections that the authenticator admits, and may be bound to any address.

    Raises
    ------
    InvalidRequestError
        An endpoint can be reached from other machines and there are no keys, it is in use, or it is not valid.
    UnavailableError
        This machine has no such address at the moment.
    """
    if authenticator.public_key is None:
        for field, endpoint in wanted.model_dump().items():
            require_loopback(endpoint, variable=f"CRYOMAMBA_BUS_{field.upper()}")
    made: dict[str, Any] = {
        "jobs": _jobs(context, authenticator),
        "preview_in": _preview_in(context),
        "preview_out": _preview_out(context, authenticator),
        "events": _events(context, authenticator),
    }
    for name, domain in DOMAINS.items():
        authenticator.secure(made[name], domain)
    monitors = {name: connections.watch(one) for name, one in made.items()}
    try:
        bound = {name: bind(one, getattr(wanted, name)) for name, one in made.items()}
    except (InvalidRequestError, UnavailableError):
        for name, one in made.items():
            monitors[name].stop()
            one.close(linger=0)
        raise
    return BusSockets(
        context, authenticator, **made, endpoints=BusEndpoints(**bound), connections=connections, monitors=monitors
    )


def _prepared(one: S, *, max_bytes: int) -> S:
    # ZeroMQ looks for the timer of a heartbeat among those of all connections, each time that one brings something: ten
    # thousand would take more than a core. The peers send heartbeats; here the system finds out who has gone.
    one.setsockopt(zmq.TCP_KEEPALIVE, 1)
    one.setsockopt(zmq.TCP_KEEPALIVE_IDLE, HEARTBEAT_TIMEOUT_MS // 1000)
    one.setsockopt(zmq.TCP_KEEPALIVE_INTVL, HEARTBEAT_MS // 1000)
    one.setsockopt(zmq.TCP_KEEPALIVE_CNT, _PROBES)
    one.setsockopt(zmq.TCP_MAXRT, _UNACKNOWLEDGED_MS)
    one.setsockopt(zmq.MAXMSGSIZE, max_bytes)
    one.setsockopt(zmq.LINGER, LINGER_MS)
    one.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
    one.setsockopt(zmq.BACKLOG, _BACKLOG)
    return one


def _jobs(context: zmq.asyncio.Context, authenticator: BusAuthenticator) -> zmq.asyncio.Socket:
    # A header that is slightly too large should get an error; one that is much too large ends the connection.
    one = _prepared(context.socket(zmq.ROUTER), max_bytes=4 * HEADER_MAX_BYTES)
    one.setsockopt(zmq.SNDHWM, JOBS_HWM)
    one.setsockopt(zmq.RCVHWM, JOBS_HWM)
    one.setsockopt(zmq.ROUTER_MANDATORY, 1)
    # On an open bus, a peer that reconnects with its routing id takes over from its old connection, which may not have
    # timed out yet. On a locked bus it must not, since any peer could use the routing id of another.
    one.setsockopt(zmq.ROUTER_HANDOVER, 0 if authenticator.locked else 1)
    return one


def _preview_in(context: zmq.asyncio.Context) -> zmq.Socket[bytes]:
    one: zmq.Socket[bytes] = _prepared(zmq.Socket(context, zmq.SUB), max_bytes=2 * PREVIEW_WIRE_MAX_BYTES)
    one.setsockopt(zmq.RCVHWM, PREVIEW_IN_HWM)
    one.setsockopt(zmq.SUBSCRIBE, ALL_PREVIEWS)
    return one


def _preview_out(context: zmq.asyncio.Context, authenticator: BusAuthenticator) -> zmq.Socket[bytes]:
    return _publishing(zmq.Socket(context, zmq.XPUB), PREVIEW_OUT_HWM, authenticator)


def _events(context: zmq.asyncio.Context, authenticator: BusAuthenticator) -> zmq.Socket[bytes]:
    return _publishing(zmq.Socket(context, zmq.XPUB), EVENTS_HWM, authenticator)


def _publishing(one: S, high_water_mark: int, authenticator: BusAuthenticator) -> S:
    _prepared(one, max_bytes=_SUBSCRIPTION_MAX_BYTES)
    one.setsockopt(zmq.SNDHWM, high_water_mark)
    one.setsockopt(zmq.XPUB_VERBOSE, 1)
    one.setsockopt(zmq.XPUB_MANUAL, 1 if authenticator.locked else 0)
    return one


def _bind_again(one: zmq.Socket[Any], endpoint: str) -> None:
    """Bind to the address of a socket that was just closed; the system releases it after a moment."""
    for _ in range(_BIND_TRIES):
        try:
            bind(one, endpoint)
        except InvalidRequestError:
            time.sleep(_BIND_PAUSE_S)
        else:
            return
    bind(one, endpoint)


def bind(one: zmq.Socket[Any], endpoint: str) -> str:
    """Bind a socket, and return where it is bound; see :func:`bind_sockets` for the errors."""
    # ZeroMQ binds to addresses, not to host names.
    numeric = endpoint.replace("tcp://localhost:", "tcp://127.0.0.1:")
    if numeric.startswith("tcp://["):
        one.setsockopt(zmq.IPV6, 1)
    try:
        _refuse_taken_ipc(numeric)
        one.bind(numeric)
    except (zmq.ZMQError, OSError) as error:
        if error.errno == zmq.EADDRINUSE:
            raise InvalidRequestError(
                f"{endpoint} is already in use.",
                hint="Another broker may be running. Stop it, or set CRYOMAMBA_BUS_JOBS, CRYOMAMBA_BUS_PREVIEW_IN, "
                "CRYOMAMBA_BUS_PREVIEW_OUT and CRYOMAMBA_BUS_EVENTS to other ports.",
            ) from None
        if error.errno == zmq.EADDRNOTAVAIL:
            raise UnavailableError(
                f"The bus cannot be bound to {endpoint}: this machine has no such address.",
                retryable=False,
                hint="Check the network, or use tcp://127.0.0.1:PORT.",
            ) from None
        raise InvalidRequestError(
            f"The bus cannot be bound to {endpoint}: {error.strerror}.", hint="Use tcp://127.0.0.1:PORT or ipc://PATH."
        ) from None
    last: Any = one.getsockopt(zmq.LAST_ENDPOINT)
    return str(last.rstrip(b"\0").decode())


def _refuse_taken_ipc(endpoint: str) -> None:
    """Refuse an ipc endpoint on which a program listens: ZeroMQ would replace its socket file."""
    if not endpoint.startswith("ipc://") or not hasattr(socket, "AF_UNIX"):
        return
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(endpoint.removeprefix("ipc://")) == 0:
            raise OSError(zmq.EADDRINUSE, "in use")
