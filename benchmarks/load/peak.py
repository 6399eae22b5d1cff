"""The largest resident memory of a process while something lasts."""

from __future__ import annotations

import threading
from typing import Self

import psutil

LOOK_S = 0.05


class Peak:
    """Looks every 50 ms, in a thread of its own.

    Attributes
    ----------
    before, highest : float
        MB (10^6 bytes).
    """

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.before = self.now()
        self.highest = self.before

    def now(self) -> float:
        return self._process.memory_info().rss / 1e6

    def _watch(self) -> None:
        while not self._over.wait(LOOK_S):
            self.highest = max(self.highest, self.now())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
