"""A compute slot that counts the threads inside."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager


class Counting(AbstractContextManager[None]):
    """Counts the threads that are in it, were in it, and were in it at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.inside = self.most = self.entered = 0

    def __enter__(self) -> None:
        with self._lock:
            self.inside += 1
            self.entered += 1
            self.most = max(self.most, self.inside)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.inside -= 1
