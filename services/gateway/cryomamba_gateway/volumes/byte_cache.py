"""A cache of byte strings with a bound on their total size; the ones used longest ago make room."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable


class ByteCache:
    """Byte strings by key; thread-safe.

    It is in memory and not on disk: nothing has to be cleaned up, nothing outlives the volume that was deleted, and the
    operating system keeps the files themselves in its own cache.

    Parameters
    ----------
    max_nbytes : int
        Bound on their total size.

    Attributes
    ----------
    nbytes : int
        Their present total size.
    """

    def __init__(self, max_nbytes: int) -> None:
        self._max_nbytes = max_nbytes
        self._items: OrderedDict[Hashable, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self.nbytes = 0

    def get(self, key: Hashable) -> bytes | None:
        """Return what was put in, or None if it is not there or not any more."""
        with self._lock:
            found = self._items.get(key)
            if found is not None:
                self._items.move_to_end(key)
            return found

    def put(self, key: Hashable, content: bytes) -> None:
        """Put in a byte string, unless it alone exceeds the bound."""
        if len(content) > self._max_nbytes:
            return
        with self._lock:
            previous = self._items.pop(key, b"")
            self._items[key] = content
            self.nbytes += len(content) - len(previous)
            while self.nbytes > self._max_nbytes:
                _, oldest = self._items.popitem(last=False)
                self.nbytes -= len(oldest)
