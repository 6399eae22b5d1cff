"""How many topics each owner has subscribed to, so that a key cannot fill the broker's memory with topics."""

from __future__ import annotations

import logging
from typing import Final, Protocol

from cryomamba_server.throttle import Throttle

TOPICS_MAX: Final = 20_000
"""Topics of one owner on one publishing socket. ZeroMQ takes 4 kB for each; a client that watches a job has one."""
# ZeroMQ remembers those that are ignored too, until their connection ends.
_ENDED_ABOVE: Final = 2
_REPORT_S: Final = 60.0

logger = logging.getLogger(__name__)


class Subscriber(Protocol):
    """A connection with topics."""

    @property
    def open(self) -> bool:
        """Whether it has not been closed."""
        ...

    def evict(self) -> None:
        """End it."""
        ...


class TopicCount:
    """The topics that are subscribed to on one publishing socket of a locked bus; for the thread of the socket.

    A topic counts as long as its connection is open, whether it was accepted or ignored.

    Parameters
    ----------
    limit : int, optional
        Topics of one owner; `TOPICS_MAX` if not given.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._topics: dict[str, dict[Subscriber, set[bytes]]] = {}
        self._count: dict[str, int] = {}
        self._log = Throttle(logger, interval_s=_REPORT_S)

    def add(self, topic: bytes, owner: str | None, connection: Subscriber | None) -> bool:
        """Count a subscription; False if its owner has too many. Services and administrators (None) have no limit.

        Parameters
        ----------
        connection : Subscriber or None
            Ended if its owner goes on after twice the limit; None if it is closed already.
        """
        if owner is None or connection is None:
            return True
        limit = TOPICS_MAX if self._limit is None else self._limit
        if self._count.get(owner, 0) >= limit:
            self._forget_closed(owner)
        topics = self._topics.setdefault(owner, {}).setdefault(connection, set())
        if topic not in topics:
            topics.add(topic)
            self._count[owner] = self._count.get(owner, 0) + 1
        if self._count[owner] <= limit:
            return True
        self._log.warning("Subscriptions of '%s' are ignored: it has %d topics already.", owner, limit)
        if self._count[owner] > _ENDED_ABOVE * limit:
            connection.evict()
        return False

    def remove(self, topic: bytes, owner: str | None, connection: Subscriber | None) -> None:
        """Count the end of a subscription of an open connection."""
        if owner is None or connection is None:
            return
        topics = self._topics.get(owner, {}).get(connection, set())
        if topic in topics:
            topics.remove(topic)
            self._count[owner] -= 1

    def _forget_closed(self, owner: str) -> None:
        connections = self._topics.get(owner, {})
        self._topics[owner] = {one: topics for one, topics in connections.items() if one.open and topics}
        self._count[owner] = sum(len(topics) for topics in self._topics[owner].values())

    def clear(self) -> None:
        """Forget all: the socket was replaced."""
        self._topics.clear()
        self._count.clear()
