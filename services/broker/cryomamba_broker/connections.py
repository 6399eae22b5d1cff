"""The broker's connections, counted from ``accept`` to close, so that strangers cannot use up its descriptors.

ZeroMQ limits neither how many connections a socket accepts nor how many have shown no key. Its monitor reports each
accepted descriptor and each closed one; in between, TCP's own counters tell whether the handshake is complete, and how
long ago the peer sent something. For one more connection than allowed, those are shut down that have sent nothing for
`SILENT_S`, as an unfinished handshake is after `HANDSHAKE_MS` anyway. A peer whose handshake is under way is not among
them: when the broker starts again, thousands may connect at once from one address, on a machine that is slow to answer
them all. Only beyond `UNFINISHED_MAX` is the one counted longest ago closed all the same.
"""

from __future__ import annotations

import itertools
import logging
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final, Self

import zmq
from zmq.utils.monitor import parse_monitor_message

from cryomamba.settings import Settings
from cryomamba_broker.counters import Counters
from cryomamba_server.descriptors import connections_max
from cryomamba_server.throttle import Throttle
from cryomamba_server.unauthenticated import UnauthenticatedConnections, client_network

HANDSHAKE_MS: Final = 30_000
"""Long enough for the last of thousands of peers that connect at once."""
SILENT_S: Final = 5.0
"""An honest peer sends each part of its handshake within milliseconds; among thousands within seconds."""
UNFINISHED_MAX: Final = 8192
"""Handshakes that may be under way in all, half of them from one address; each takes up to 15 kB in ZeroMQ."""
_EVENTS: Final = zmq.EVENT_ACCEPTED | zmq.EVENT_CLOSED | zmq.EVENT_DISCONNECTED | zmq.EVENT_MONITOR_STOPPED
# ZMTP 3.1 (rfc.zeromq.org/spec/37): a greeting has 64 bytes. With CURVE (spec 26) the server then sends a WELCOME of
# 170 bytes, and its READY, of at least 50, only when the client's key has been accepted.
_GREETING_BYTES: Final = 64
_CURVE_BYTES: Final = _GREETING_BYTES + 170 + 30
# How many bytes the peer has to send, in all, once it has so many from the broker: it completes its greeting in three
# steps, and with CURVE it answers that with its HELLO and the WELCOME with its INITIATE, of at least 266 bytes.
_OWED_OPEN: Final = ((11, _GREETING_BYTES + 1), (10, 11), (0, 1))
_OWED: Final = ((_GREETING_BYTES + 170, 532), (_GREETING_BYTES, 266), (11, _GREETING_BYTES), (10, 11), (0, 1))
# Of Linux's tcp_info: milliseconds since data came, bytes that the peer has acknowledged, bytes received from it.
_TCP_INFO: Final = struct.Struct("=52xI64xQQ")
# How many connections are looked at for each new one, so that a crowd costs each of its members the same.
_LOOKED_AT: Final = 4
_CLOSE_SILENT_MS: Final = 1000
_REPORT_S: Final = 60.0
_STOP: Final = b"stop"
_serial = itertools.count()

logger = logging.getLogger(__name__)


class BusConnection:
    """An accepted connection, which belongs to ZeroMQ: its descriptor may be closed at any moment.

    Parameters
    ----------
    descriptor : int
    encrypted : bool
        Whether its peer must show a key.

    Attributes
    ----------
    open : bool
        Until ZeroMQ reports that it has closed it.
    """

    def __init__(self, descriptor: int, *, encrypted: bool) -> None:
        self._descriptor, self._encrypted = descriptor, encrypted
        self._accepted_at = time.monotonic()
        self.open = True
        self._peer = self._with_socket(socket.socket.getpeername)
        self.network = client_network(str(self._peer[0])) if isinstance(self._peer, tuple) else ""

    @property
    def local(self) -> bool:
        """Whether it is no TCP connection: who may open one is decided by the permissions of a file."""
        return not isinstance(self._peer, tuple)

    @property
    def complete(self) -> bool:
        """Whether its handshake is known to be complete."""
        if time.monotonic() - self._accepted_at > HANDSHAKE_MS / 1000:
            # ZeroMQ would have closed it.
            return True
        info = self._tcp_info()
        if info is None:
            return False
        _, acknowledged, received = info
        return acknowledged > _CURVE_BYTES if self._encrypted else received > _GREETING_BYTES

    @property
    def silent(self) -> bool:
        """Whether its peer has sent nothing for a while, although it is the peer's turn."""
        silent_s = time.monotonic() - self._accepted_at
        info = self._tcp_info()
        if info is not None:
            since_ms, acknowledged, received = info
            owed = _OWED if self._encrypted else _OWED_OPEN
            if received >= next(total for sent, total in owed if acknowledged >= sent):
                return False
            silent_s = min(silent_s, since_ms / 1000)
        return silent_s >= SILENT_S

    def evict(self) -> None:
        """Shut it down; ZeroMQ reads the end of the stream and closes the descriptor."""
        self._with_socket(self._shut_down)

    def _shut_down(self, opened: socket.socket) -> None:
        # The descriptor may belong to another connection by now.
        if opened.getpeername() == self._peer:
            opened.shutdown(socket.SHUT_RDWR)

    def _tcp_info(self) -> tuple[int, int, int] | None:
        info: tuple[int, int, int] | None = self._with_socket(_read_tcp_info)
        return info

    def _with_socket(self, work: Any) -> Any:  # noqa: ANN401 (what `work` returns)
        try:
            opened = socket.socket(fileno=self._descriptor)
        except OSError:
            return None
        try:
            return work(opened)
        except OSError:
            return None
        finally:
            opened.detach()


def _read_tcp_info(opened: socket.socket) -> tuple[int, int, int] | None:
    if not hasattr(socket, "TCP_INFO"):
        return None
    info = opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    return _TCP_INFO.unpack(info) if len(info) == _TCP_INFO.size else None


class BusConnections:
    """All connections of the broker's sockets; thread-safe.

    Parameters
    ----------
    limit, limit_per_network : int
        How many may have shown no key yet (on an open bus: sent nothing) without being in the middle of it, in all and
        from one address.
    encrypted : bool
    counters : Counters
    """

    def __init__(self, limit: int, limit_per_network: int, *, encrypted: bool, counters: Counters) -> None:
        self._incomplete = UnauthenticatedConnections[BusConnection](limit, limit_per_network)
        self._encrypted, self._counters = encrypted, counters
        self._open: dict[tuple[int, int], BusConnection] = {}
        self._lock = threading.Lock()
        self._log = Throttle(logger, interval_s=_REPORT_S)

    @classmethod
    def of(cls, settings: Settings, *, encrypted: bool, counters: Counters) -> Self:
        """Return them with the configured limits."""
        limits = settings.max_unauthenticated, settings.max_unauthenticated_per_address
        return cls(*limits, encrypted=encrypted, counters=counters)

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[BusConnection]:
        with self._lock:
            return iter(list(self._open.values()))

    def accepted(self, listener: int, descriptor: int) -> None:
        """Note a connection of a listener, and close one if there are too many."""
        new = BusConnection(descriptor, encrypted=self._encrypted)
        with self._lock:
            before, self._open[listener, descriptor] = self._open.get((listener, descriptor)), new
            if before is not None:
                before.open = False
            if not new.local:
                self._count_incomplete(new)
            if len(self._open) > connections_max():
                self._evict_for_descriptors(new)

    def _count_incomplete(self, new: BusConnection) -> None:
        looked_at = 0
        while looked_at < _LOOKED_AT and (oldest := self._incomplete.next_evicted(new.network)) is not None:
            if oldest.complete:
                self._incomplete.discard(oldest)
                continue
            looked_at += 1
            if oldest.silent or self._too_many(new.network):
                self._incomplete.evict(oldest)
                self._counters.evicted += 1
            else:
                self._incomplete.count(oldest)
            self._log.warning(
                "%d connections to the bus have not completed their handshake; those that send nothing are closed.",
                len(self._incomplete),
            )
        self._incomplete.count(new)

    def close_silent(self) -> None:
        """Close those that have become silent, of those beyond the limits."""
        with self._lock:
            for one in self._incomplete:
                if self._incomplete.next_evicted(one.network) is None:
                    continue
                if one.complete:
                    self._incomplete.discard(one)
                elif one.silent:
                    self._incomplete.evict(one)
                    self._counters.evicted += 1

    def _too_many(self, network: str) -> bool:
        most = min(UNFINISHED_MAX, connections_max() // 2)
        return len(self._incomplete) >= most or self._incomplete.of_network(network) >= most // 2

    def _evict_for_descriptors(self, new: BusConnection) -> None:
        while (oldest := self._incomplete.oldest) is not None and oldest.complete:
            self._incomplete.discard(oldest)
        victim = oldest or new
        self._incomplete.discard(victim)
        victim.evict()
        self._counters.evicted += 1
        self._log.warning(
            "Connections to the bus were closed that were more than the limit on open files allows; %d are open.",
            len(self._open),
        )

    def closed(self, listener: int, descriptor: int) -> None:
        """Note that a connection of a listener has been closed."""
        with self._lock:
            gone = self._open.pop((listener, descriptor), None)
            if gone is not None:
                gone.open = False
                self._incomplete.discard(gone)

    def find(self, listener: int, descriptor: int) -> BusConnection | None:
        """Return an open connection of a listener."""
        return self._open.get((listener, descriptor))

    def forget(self, listener: int) -> None:
        """Note that a listener was closed with all its connections."""
        for _, descriptor in [key for key in list(self._open) if key[0] == listener]:
            self.closed(listener, descriptor)

    def watch(self, listener: zmq.Socket[Any]) -> ConnectionMonitor:
        """Count the connections of a socket from now on, before it is bound."""
        return ConnectionMonitor(listener, self)


class ConnectionMonitor:
    """Reads the monitor of one listening socket, in a thread of its own, until the monitor or the socket is closed."""

    def __init__(self, listener: zmq.Socket[Any], connections: BusConnections) -> None:
        self._listener, self._connections, self._serial = listener, connections, next(_serial)
        address = f"inproc://monitor-{id(listener)}-{self._serial}"
        listener.monitor(address, _EVENTS)
        self._events: zmq.Socket[bytes] = zmq.Socket(listener.context, zmq.PAIR)
        self._events.linger = 0
        self._events.connect(address)
        self._thread = threading.Thread(target=self._run, name="bus-connections", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self._events, suppress(zmq.ContextTerminated):
            while True:
                if not self._events.poll(_CLOSE_SILENT_MS):
                    self._connections.close_silent()
                    continue
                event = parse_monitor_message(self._events.recv_multipart())
                match event["event"]:
                    case zmq.EVENT_ACCEPTED:
                        self._connections.accepted(self._serial, event["value"])
                    case zmq.EVENT_CLOSED | zmq.EVENT_DISCONNECTED:
                        self._connections.closed(self._serial, event["value"])
                    case zmq.EVENT_MONITOR_STOPPED:
                        self._connections.forget(self._serial)
                        return

    def find(self, descriptor: int) -> BusConnection | None:
        """Return an open connection of the socket; None also if it has not been counted yet."""
        return self._connections.find(self._serial, descriptor)

    def stop(self) -> None:
        """Stop counting, before the socket is closed; the thread has ended when this returns."""
        with suppress(zmq.ZMQError):
            self._listener.disable_monitor()
        self._thread.join()
