"""A queue in which a newer message replaces the unread one of its key: a slow reader costs bounded memory."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class LatestValueQueue(Generic[T]):
    """Messages in order of arrival; keyed ones are replaced, the others never dropped.

    A replaced message moves to the back: it is as new as the one that came last. For one event loop; not thread-safe.
    """

    def __init__(self) -> None:
        self._items: OrderedDict[Hashable, T] = OrderedDict()
        self._replaced: dict[Hashable, int] = {}
        self._serial = 0
        self._arrived = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return len(self._items)

    @property
    def closed(self) -> bool:
        """Whether nothing more is taken."""
        return self._closed

    def put(self, item: T, *, key: Hashable = None) -> None:
        """Add a message; with a key it takes the place of an unread one that has the same key."""
        if self._closed:
            return
        if key is None:
            self._serial += 1
            key = (self, self._serial)
        if self._items.pop(key, None) is not None:
            self._replaced[key] = self._replaced.get(key, 0) + 1
        self._items[key] = item
        self._arrived.set()

    async def get(self) -> tuple[T, int] | None:
        """Wait for the oldest message.

        Returns
        -------
        (message, replaced) or None
            How many of its key were replaced unread; None once the queue is closed and empty.
        """
        while not self._items:
            if self._closed:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        key, item = self._items.popitem(last=False)
        return item, self._replaced.pop(key, 0)

    def close(self) -> None:
        """Take nothing more; readers get what is left."""
        self._closed = True
        self._arrived.set()
