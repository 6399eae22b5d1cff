"""Subscriptions: one pair of SUB sockets per process, shared by all who watch, with one queue each."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import zmq
import zmq.asyncio
from zmq.utils.monitor import parse_monitor_message

from cryomamba.client.bus_requester import keep_alive, new_context
from cryomamba.client.latest_value_queue import LatestValueQueue
from cryomamba.client.transport import client_closed
from cryomamba.endpoints import BusEndpoints
from cryomamba.errors import ProtocolError
from cryomamba.models.events import ConnectionEvent
from cryomamba.wire.envelope import Envelope, decode
from cryomamba.wire.messages import PREVIEW, PROGRESS
from cryomamba.wire.topics import (
    ALL_EVENTS,
    ALL_PREVIEWS,
    Topic,
    event_topic,
    new_nonce,
    owned_topic,
    parse_topic,
    preview_topic,
    sync_topic,
)

if TYPE_CHECKING:
    from cryomamba.access.keys import KeyFile
    from cryomamba.access.visibility import Visibility


@dataclass(slots=True)
class BusMessage:
    """A published message as it came: envelope, the header's own bytes, and the payload."""

    envelope: Envelope
    header: bytes
    payload: bytes | memoryview = b""


@dataclass(eq=False, slots=True)
class Subscription:
    """What one watcher follows and has not read yet.

    Attributes
    ----------
    topics : tuple of bytes
    nonce : str
        Names the private topic on which the present state is sent to a late joiner.
    queue : LatestValueQueue of BusMessage or ConnectionEvent
        Progress and previews are replaced by newer ones; states are never dropped.
    release : callable, optional
        What :meth:`close` calls besides.
    """

    topics: tuple[bytes, ...]
    nonce: str = field(default_factory=new_nonce)
    queue: LatestValueQueue[BusMessage | ConnectionEvent] = field(default_factory=LatestValueQueue)
    release: Callable[[Subscription], None] | None = None

    def deliver(self, message: BusMessage) -> None:
        """Add a message to the queue."""
        replaceable = message.envelope.type in {PROGRESS, PREVIEW}
        key = (message.envelope.type, message.envelope.job) if replaceable else None
        self.queue.put(message, key=key)

    def close(self) -> None:
        """Unsubscribe, and end the queue; closing twice is not an error."""
        if self.release is not None:
            self.release(self)
        self.queue.close()


class BusSubscriber:
    """Reads both publishing sockets and delivers every message to the subscriptions of its topic. For one event loop.

    A watcher that joins late subscribes to its topic and to a private ``sync/`` topic; the broker answers there with
    the present state, at once and again after every reconnect.
    """

    def __init__(self, endpoints: BusEndpoints, *, key: KeyFile | None = None) -> None:
        self.endpoints = endpoints
        self._key = key
        self.malformed = 0
        self.connection = ConnectionEvent("lost", "Not connected yet.")
        self._epoch: int | None = None
        self._context = new_context()
        self._events = self._socket(endpoints.events)
        self._previews = self._socket(endpoints.preview_out)
        self._monitor = self._events.get_monitor_socket(
            zmq.Event.HANDSHAKE_SUCCEEDED | zmq.Event.DISCONNECTED | zmq.Event.CONNECT_RETRIED
        )
        self._events.connect(endpoints.events)
        self._previews.connect(endpoints.preview_out)
        self._subscriptions: set[Subscription] = set()
        # By topic and by nonce: a message must not cost a look at every subscription.
        self._followers: defaultdict[bytes, set[Subscription]] = defaultdict(set)
        self._by_nonce: dict[str, Subscription] = {}
        self._tasks = [
            asyncio.create_task(self._read(self._events), name="bus-events"),
            asyncio.create_task(self._read(self._previews), name="bus-previews"),
            asyncio.create_task(self._watch_connection(), name="bus-connection"),
        ]

    def _socket(self, endpoint: str) -> zmq.asyncio.Socket:
        socket = self._context.socket(zmq.SUB)
        keep_alive(socket)
        if endpoint.startswith("tcp://["):
            socket.setsockopt(zmq.IPV6, 1)
        if self._key is not None:
            self._key.secure(socket)
        return socket

    def subscribe(self, job_id: str, *, previews: bool) -> Subscription:
        """Subscribe to the states, progress and, if asked for, previews of a job."""
        return self._add([event_topic(job_id)] + [preview_topic(job_id)] * previews)

    def subscribe_all(self, visibility: Visibility) -> Subscription:
        """Subscribe to the states and progress of all jobs that are visible."""
        return self._add([ALL_EVENTS if visibility.owner is None else owned_topic(visibility.owner)])

    def _add(self, wanted: list[bytes]) -> Subscription:
        if self._events.closed:
            raise client_closed()
        subscription = Subscription(tuple(wanted), release=self._remove)
        self._subscriptions.add(subscription)
        self._by_nonce[subscription.nonce] = subscription
        for topic in wanted:
            socket = self._socket_of(topic)
            if not self._followers[topic]:
                socket.subscribe(topic)
            self._followers[topic].add(subscription)
            socket.subscribe(sync_topic(topic, subscription.nonce))
        return subscription

    def subscribe_connection(self) -> Subscription:
        """Follow the connection alone."""
        subscription = Subscription((), release=self._remove)
        self._subscriptions.add(subscription)
        return subscription

    def _remove(self, subscription: Subscription) -> None:
        if subscription not in self._subscriptions:
            return
        self._subscriptions.remove(subscription)
        self._by_nonce.pop(subscription.nonce, None)
        for topic in subscription.topics:
            socket = self._socket_of(topic)
            socket.unsubscribe(sync_topic(topic, subscription.nonce))
            self._followers[topic].discard(subscription)
            if not self._followers[topic]:
                del self._followers[topic]
                socket.unsubscribe(topic)

    def _socket_of(self, topic: bytes) -> zmq.asyncio.Socket:
        return self._previews if topic.startswith(ALL_PREVIEWS) else self._events

    async def _read(self, socket: zmq.asyncio.Socket) -> None:
        while True:
            parts = await self._receive(socket)
            try:
                self._deliver(parts)
            except (ProtocolError, IndexError):
                self.malformed += 1

    async def _receive(self, socket: zmq.asyncio.Socket) -> Sequence[bytes | memoryview]:
        # A preview is large, so it stays where ZeroMQ received it; of short messages a copy costs less.
        if socket is self._previews:
            return [frame.buffer for frame in await socket.recv_multipart(copy=False)]
        return await socket.recv_multipart()

    def _deliver(self, parts: Sequence[bytes | memoryview]) -> None:
        raw, header = bytes(parts[0]), bytes(parts[1])
        topic = parse_topic(raw)
        message = BusMessage(decode(header), header, parts[2] if len(parts) > 2 else b"")
        if topic.kind == "event":
            self._notice_epoch(message.envelope.epoch)
        for subscription in self._wanting(raw, topic):
            subscription.deliver(message)

    def _wanting(self, raw: bytes, topic: Topic) -> Iterator[Subscription]:
        if topic.nonce is not None:
            if (joined := self._by_nonce.get(topic.nonce)) is not None:
                yield joined
            return
        yield from self._followers.get(raw, ())
        whole = ALL_EVENTS if topic.owner is None else owned_topic(topic.owner)
        if topic.kind == "event" and raw != whole:
            yield from self._followers.get(whole, ())

    def _notice_epoch(self, epoch: int) -> None:
        if self._epoch not in {None, epoch}:
            self._report(ConnectionEvent("restarted", "The broker was restarted; watching continues."))
        self._epoch = epoch

    async def _watch_connection(self) -> None:
        while True:
            event = parse_monitor_message(await self._monitor.recv_multipart())
            if event["event"] == zmq.Event.HANDSHAKE_SUCCEEDED:
                self._report(ConnectionEvent("connected", f"Connected to {self.endpoints.events}."))
            elif event["event"] == zmq.Event.CONNECT_RETRIED:
                wait = event["value"] / 1000
                self._report(ConnectionEvent("lost", f"No broker answers; trying again in {wait:.1f} s.", wait))
            else:
                self._report(ConnectionEvent("lost", "The connection to the broker was lost; reconnecting."))

    def _report(self, connection: ConnectionEvent) -> None:
        self.connection = connection
        for subscription in self._subscriptions:
            subscription.queue.put(connection, key="connection")

    async def close(self) -> None:
        """End the readers, and close every subscription and socket; closing twice is not an error."""
        if self._events.closed:
            return
        for subscription in list(self._subscriptions):
            subscription.close()
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._events.disable_monitor()
        self._monitor.close(linger=0)
        self._events.close()
        self._previews.close()
        self._context.term()
