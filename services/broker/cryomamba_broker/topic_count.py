"""How many topics each owner has subscribed to, so that a key cannot fill the broker's memory with topics."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Final

from cryomamba_server.throttle import Throttle

TOPICS_MAX: Final = 20_000
"""Topics of one owner on one publishing socket. ZeroMQ takes 4 kB for each; a client that watches a job has one."""
_REPORT_S: Final = 60.0

logger = logging.getLogger(__name__)


class TopicCount:
    """The topics that are subscribed to on one publishing socket of a locked bus; for the thread of the socket.

    Parameters
    ----------
    limit : int, optional
        Topics of one owner; `TOPICS_MAX` if not given.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._owners: dict[bytes, list[str | None]] = {}
        self._count: Counter[str | None] = Counter()
        self._log = Throttle(logger, interval_s=_REPORT_S)

    def add(self, topic: bytes, owner: str | None) -> bool:
        """Count a subscription; False if its owner has too many. Services and administrators (None) have no limit."""
        limit = TOPICS_MAX if self._limit is None else self._limit
        if owner is not None and self._count[owner] >= limit:
            self._log.warning("Subscriptions of '%s' are ignored: it has %d topics already.", owner, limit)
            return False
        self._owners.setdefault(topic, []).append(owner)
        self._count[owner] += 1
        return True

    def remove(self, topic: bytes) -> None:
        """Count the end of a subscription; for one that ends with its connection, ZeroMQ does not name the sender."""
        owners = self._owners.get(topic)
        if not owners:
            return
        self._count[owners.pop()] -= 1
        if not owners:
            del self._owners[topic]

    def clear(self) -> None:
        """Forget all: the socket was replaced."""
        self._owners.clear()
        self._count.clear()
