"""The XPUB socket of `events`, in a thread of its own: it accepts subscriptions and sends what it is given.

When a connection ends, ZeroMQ looks through all topics of the socket for those of the connection, which takes the
thread that uses the socket a third of a second if there are 100,000 of them. Requests do not wait for that.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Final

import zmq

from cryomamba.errors import ProtocolError, UnavailableError
from cryomamba.wire.topics import Topic
from cryomamba_broker.counters import Counters
from cryomamba_broker.socket_thread import DROP, STOP, WAKE, SocketThread
from cryomamba_broker.subscriptions import Subscriptions
from cryomamba_server.throttle import Throttle

WAITING_MAX: Final = 10_000
"""Messages that wait while the thread is busy (about 3 kB each); of more, the oldest are dropped.

A subscriber notices the gap by the sequence numbers, as when its connection is too slow.
"""
# So that sending does not wait for the subscriptions of a crowd that connects at once.
_SUBSCRIPTIONS_AT_ONCE: Final = 100

logger = logging.getLogger(__name__)


class EventSocket:
    """Sends events to their subscribers; for the event loop, except for what :meth:`run` does in its thread.

    Parameters
    ----------
    socket : zmq.Socket
        Bound; used by the thread alone while :meth:`run` lasts.
    rebind : callable
        Closes the socket, which drops all subscriptions, and returns the one that replaces it.
    on_late_joiner : callable
        Called in the thread with the topic as subscribed to and what it means, if the current state is wanted.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        subscriptions: Subscriptions,
        counters: Counters,
        rebind: Callable[[], zmq.Socket[bytes]],
        on_late_joiner: Callable[[bytes, Topic], None],
    ) -> None:
        self._socket, self._subscriptions, self._rebind = socket, subscriptions, rebind
        self._counters, self._on_late_joiner = counters, on_late_joiner
        self._waiting: deque[tuple[bytes, bytes]] = deque()
        self._thread = SocketThread(socket.context, "events", self._work)
        self._woken = False
        self._log = Throttle(logger)

    async def run(self) -> None:
        """Work until cancelled; what was to be sent has been sent, and the thread has ended, when this returns."""
        await self._thread.run()

    def send(self, topic: bytes, message: bytes) -> None:
        """Send a message to the subscribers of a topic."""
        self._waiting.append((topic, message))
        if len(self._waiting) > WAITING_MAX:
            self._waiting.popleft()
            self._counters.events_dropped += 1
            self._log.warning("Events are dropped: the socket of the events is busy with connections that have ended.")
        if not self._woken:
            self._woken = True
            self._thread.signal(WAKE)

    def drop_subscriptions(self) -> None:
        """Drop all subscriptions; subscribers with valid keys reconnect."""
        self._thread.signal(DROP)

    def _work(self, signals: zmq.Socket[bytes]) -> None:
        while self._work_until_signalled(signals) == DROP:
            self._socket = self._rebind()
            self._subscriptions.clear()

    def _work_until_signalled(self, signals: zmq.Socket[bytes]) -> bytes:
        """Return the signal that ended the loop: to stop, or to drop all subscriptions."""
        poller = zmq.Poller()
        for one in (self._socket, signals):
            poller.register(one, zmq.POLLIN)
        while True:
            ready = dict(poller.poll())
            signal = signals.recv() if signals in ready else WAKE
            self._send_waiting()
            if signal in {STOP, DROP}:
                return signal
            if self._socket in ready and not self._read_subscriptions():
                return DROP

    def _send_waiting(self) -> None:
        self._woken = False
        while True:
            try:
                topic, message = self._waiting.popleft()
            except IndexError:
                return
            self._socket.send_multipart([topic, message], flags=zmq.NOBLOCK)

    def _read_subscriptions(self) -> bool:
        """Handle messages of subscribers; False if the socket must not be used any more."""
        for _ in range(_SUBSCRIPTIONS_AT_ONCE):
            try:
                frame = self._socket.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return True
            if not self._on_subscription(frame):
                return False
        return True

    def _on_subscription(self, frame: zmq.Frame) -> bool:
        try:
            # Nothing else is read from the socket meanwhile, so the accepted subscription is that of this sender.
            topic = self._subscriptions.handle(self._socket, frame)
        except ProtocolError as error:
            self._counters.malformed += 1
            self._log.warning("A message on the events socket was dropped: %s", error.message)
            return not self._subscriptions.restricted
        except UnavailableError as error:
            self._log.warning("A subscription could not be checked, so all are asked for again: %s", error.message)
            return False
        if topic is not None:
            self._on_late_joiner(frame.bytes[1:], topic)
        return True
