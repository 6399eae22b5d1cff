"""Workers that asked for a job when there was none."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cryomamba_broker.wakeup import Wakeup

NAMES_KEPT: Final = 1024
PLACES_MAX: Final = 512


class PendingClaim(Wakeup):
    """One worker's claim while it waits.

    Attributes
    ----------
    replaced : bool
        The worker has asked again since, so this claim gets nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.replaced = False


class ClaimQueue:
    """The claims that wait, one per worker: a newer one takes the place of the older.

    Attributes
    ----------
    closed : bool
        No job is handed out any more, because the broker is about to end.
    """

    def __init__(self) -> None:
        self.closed = False
        self._waiting: dict[str, PendingClaim] = {}
        self._newest: OrderedDict[str, PendingClaim] = OrderedDict()

    @contextmanager
    def place(self, worker: str) -> Iterator[PendingClaim]:
        """Hold a place while a claim is served."""
        older = self._waiting.get(worker)
        if older is not None:
            older.replaced = True
            older.wake()
        place = self._waiting[worker] = self._newest[worker] = PendingClaim()
        self._newest.move_to_end(worker)
        if len(self._newest) > NAMES_KEPT:
            self._newest.popitem(last=False)
        try:
            yield place
        finally:
            if self._waiting.get(worker) is place:
                del self._waiting[worker]

    @property
    def full(self) -> bool:
        """Whether no more claims should wait."""
        return len(self._waiting) >= PLACES_MAX

    def is_newest(self, worker: str, place: PendingClaim) -> bool:
        """Whether the worker has not asked again since."""
        return self._newest.get(worker) is place

    def wake_all(self) -> None:
        """Say that there may be a job."""
        for place in self._waiting.values():
            place.wake()

    def workers(self) -> tuple[str, ...]:
        """Return who waits."""
        return tuple(self._waiting)
