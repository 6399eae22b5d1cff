"""Which subscriptions a publishing socket takes.

On an open bus all of them. On a locked one the sockets are in ZeroMQ's manual mode: each subscription comes to the
broker with the key of its sender and is added, or is not, before the next one is read.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, Final

import zmq

from cryomamba.access.visibility import Visibility
from cryomamba.errors import NotFoundError, ProtocolError
from cryomamba.wire.topics import Topic, parse_topic
from cryomamba_broker.authenticator import BusAuthenticator
from cryomamba_broker.store_thread import StoreThread

OWNERS_KEPT: Final = 10_000
_SUBSCRIBE, _UNSUBSCRIBE = b"\x01", b"\x00"


class Owners:
    """Whose each job is; that never changes, so it is asked for once. Thread-safe."""

    def __init__(self, store: StoreThread) -> None:
        self._store = store
        self._known: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def note(self, job_id: str, owner: str) -> None:
        """Remember whose a job is."""
        with self._lock:
            self._known[job_id] = owner
            if len(self._known) > OWNERS_KEPT:
                self._known.popitem(last=False)

    def known(self, job_id: str) -> str | None:
        """Return whose a job is if that is remembered."""
        with self._lock:
            return self._known.get(job_id)

    def find(self, job_id: str) -> str | None:
        """Return whose a job is, None if there is no such job; may wait for the store, so not for the event loop."""
        known = self.known(job_id)
        if known is not None:
            return known
        try:
            owner = self._store.wait_for(lambda store: store.jobs.owner(job_id, Visibility.everything()))
        except NotFoundError:
            return None
        self.note(job_id, owner)
        return owner


class Subscriptions:
    """The subscriptions to one publishing socket at a time; for the thread of the socket.

    Parameters
    ----------
    guard : Guard
    owners : Owners
    """

    def __init__(self, guard: BusAuthenticator, owners: Owners) -> None:
        self._guard = guard
        self._owners = owners

    @property
    def sealed(self) -> bool:
        """Whether each subscription is decided on, so that the socket must be bound anew after nonsense."""
        return self._guard.locked

    def needs_store(self, frame: zmq.Frame) -> bool:
        """Whether :meth:`take` would have to wait for the store."""
        topic, visibility = _topic(frame), self._guard.visibility(frame)
        if topic is None or not topic.job_id or visibility is None or visibility.is_everything:
            return False
        return self._owners.known(topic.job_id) is None

    def find_owner(self, frame: zmq.Frame) -> None:
        """Ask the store what :meth:`take` will have to know; in any thread."""
        topic = _topic(frame)
        if topic is not None and topic.job_id:
            self._owners.find(topic.job_id)

    def take(self, socket: zmq.Socket[Any], frame: zmq.Frame) -> Topic | None:
        """Take in a message of the socket, the last that was read from it.

        Returns
        -------
        Topic or None
            The topic of a late joiner who is to be answered.

        Raises
        ------
        ProtocolError
            It is no subscription. On a locked bus the sender is not let in again, and the socket must be bound anew
            before anything else is read: in libzmq 4.3.5 such a message shifts the connections to which the
            subscriptions after it are added.
        """
        if frame.bytes[:1] not in {_SUBSCRIBE, _UNSUBSCRIBE} or frame.more:
            self._guard.ban(frame)
            raise ProtocolError("A message on a publishing socket is not a subscription.")
        raw = frame.bytes[1:]
        if frame.bytes[:1] == _UNSUBSCRIBE:
            if self.sealed:
                socket.setsockopt(zmq.UNSUBSCRIBE, raw)
            return None
        topic = _topic(frame)
        if self.sealed:
            if not self._permitted(frame, topic):
                return None
            socket.setsockopt(zmq.SUBSCRIBE, raw)
        return topic if topic is not None and topic.nonce is not None else None

    def _permitted(self, frame: zmq.Frame, topic: Topic | None) -> bool:
        visibility = self._guard.visibility(frame)
        if visibility is None or visibility.is_everything:
            return visibility is not None
        if topic is None:
            return False
        owner = topic.owner if topic.owner is not None else topic.job_id and self._owners.find(topic.job_id)
        return visibility.includes(owner or "")


def _topic(frame: zmq.Frame) -> Topic | None:
    """Return the topic of a subscription; None for prefixes of topics and for nonsense."""
    try:
        return parse_topic(frame.bytes[1:])
    except ProtocolError:
        return None
