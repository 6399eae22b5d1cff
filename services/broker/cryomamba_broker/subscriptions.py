"""Which subscriptions a publishing socket accepts.

On an open bus, all of them. On a locked bus the sockets are in ZeroMQ's manual mode: the broker receives each
subscription with the key of its sender, and accepts or ignores it before it reads the next one.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

import zmq

from cryomamba.access.visibility import Visibility
from cryomamba.errors import NotFoundError, ProtocolError, UnavailableError
from cryomamba.wire.topics import Topic, parse_topic
from cryomamba_broker.authenticator import BusAuthenticator
from cryomamba_broker.store_thread import StoreThread
from cryomamba_broker.topic_count import Subscriber, TopicCount

OWNERS_KEPT: Final = 10_000
_SUBSCRIBE, _UNSUBSCRIBE = b"\x01", b"\x00"


class OwnerCache:
    """The owner of each job, which never changes, so the store is read once. Thread-safe."""

    def __init__(self, store: StoreThread) -> None:
        self._store = store
        self._known: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, job_id: str, owner: str) -> None:
        """Remember the owner of a job."""
        with self._lock:
            self._known[job_id] = owner
            if len(self._known) > OWNERS_KEPT:
                self._known.popitem(last=False)

    def get(self, job_id: str) -> str | None:
        """Return the owner of a job if it is remembered."""
        with self._lock:
            return self._known.get(job_id)

    def find(self, job_id: str) -> str | None:
        """Return the owner of a job, None if there is no such job; blocks while the store is read.

        Raises
        ------
        UnavailableError
            The store cannot be read at the moment.
        """
        known = self.get(job_id)
        if known is not None:
            return known
        try:
            owner = self._store.wait_for(lambda store: store.jobs.owner(job_id, Visibility.everything()))
        except NotFoundError:
            return None
        except UnavailableError as error:
            if error.retryable:
                raise
            return None
        self.put(job_id, owner)
        return owner


class Subscriptions:
    """Accepts or ignores the subscriptions to a publishing socket; for the thread of the socket.

    Parameters
    ----------
    authenticator : BusAuthenticator
    owners : OwnerCache
    find_connection : callable
        Returns the open connection of the socket with a descriptor, or None.
    """

    def __init__(
        self, authenticator: BusAuthenticator, owners: OwnerCache, find_connection: Callable[[int], Subscriber | None]
    ) -> None:
        self._authenticator, self._owners, self._find_connection = authenticator, owners, find_connection
        self._topics = TopicCount()

    def clear(self) -> None:
        """Forget the subscriptions of a socket that was replaced."""
        self._topics.clear()

    @property
    def restricted(self) -> bool:
        """Whether subscriptions need permission; the socket must then be bound again after a malformed message."""
        return self._authenticator.locked

    def handle(self, socket: zmq.Socket[Any], frame: zmq.Frame) -> Topic | None:
        """Handle the message that was last received from the socket.

        Returns
        -------
        Topic or None
            The topic of a late joiner, who is to be sent the current state.

        Raises
        ------
        ProtocolError
            The message is not a subscription. On a locked bus the sender is banned, and the socket must be bound again
            before anything else is read: in libzmq 4.3.5 such a message shifts the connections to which the
            subscriptions after it are added.
        """
        if frame.bytes[:1] not in {_SUBSCRIBE, _UNSUBSCRIBE} or frame.more:
            self._authenticator.ban(frame)
            raise ProtocolError("A message on a publishing socket is not a subscription.")
        raw = frame.bytes[1:]
        if frame.bytes[:1] == _UNSUBSCRIBE:
            if self.restricted:
                self._topics.remove(raw, self._owner(frame), self._connection(frame))
                socket.setsockopt(zmq.UNSUBSCRIBE, raw)
            return None
        topic = _topic(frame)
        if self.restricted:
            visibility = self._authenticator.visibility(frame)
            if visibility is None or not self._topics.add(raw, visibility.owner, self._connection(frame)):
                return None
            if not self._permitted(visibility, topic):
                return None
            socket.setsockopt(zmq.SUBSCRIBE, raw)
        return topic if topic is not None and topic.nonce is not None else None

    def _owner(self, frame: zmq.Frame) -> str | None:
        visibility = self._authenticator.visibility(frame)
        return None if visibility is None else visibility.owner

    def _connection(self, frame: zmq.Frame) -> Subscriber | None:
        try:
            return self._find_connection(int(frame.get(zmq.SRCFD)))
        except zmq.ZMQError:
            # ZeroMQ itself makes the message when a connection has ended.
            return None

    def _permitted(self, visibility: Visibility, topic: Topic | None) -> bool:
        if visibility.is_everything:
            return True
        if topic is None:
            return False
        owner = topic.owner if topic.owner is not None else topic.job_id and self._owners.find(topic.job_id)
        return visibility.includes(owner or "")


def _topic(frame: zmq.Frame) -> Topic | None:
    try:
        return parse_topic(frame.bytes[1:])
    except ProtocolError:
        return None
