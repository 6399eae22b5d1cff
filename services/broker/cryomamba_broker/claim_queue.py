"""Claims of workers that wait for a job."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cryomamba_broker.wakeup import Wakeup

WORKERS_REMEMBERED: Final = 1024
PENDING_MAX: Final = 512


class PendingClaim(Wakeup):
    """The claim of one worker while it waits; one that was `replaced` by a newer one gets no job."""

    def __init__(self) -> None:
        super().__init__()
        self.replaced = False


class ClaimQueue:
    """The pending claims, one per worker: a newer one replaces an older one. Once `closed`, no job is leased."""

    def __init__(self) -> None:
        self.closed = False
        self._waiting: dict[str, PendingClaim] = {}
        self._newest: OrderedDict[str, PendingClaim] = OrderedDict()

    @contextmanager
    def pending(self, worker: str) -> Iterator[PendingClaim]:
        """Register a worker's claim while it is served."""
        older = self._waiting.get(worker)
        if older is not None:
            older.replaced = True
            older.wake()
        claim = self._waiting[worker] = self._newest[worker] = PendingClaim()
        self._newest.move_to_end(worker)
        if len(self._newest) > WORKERS_REMEMBERED:
            self._newest.popitem(last=False)
        try:
            yield claim
        finally:
            if self._waiting.get(worker) is claim:
                del self._waiting[worker]

    @property
    def full(self) -> bool:
        """Whether no further claim may wait."""
        return len(self._waiting) >= PENDING_MAX

    def is_newest(self, worker: str, claim: PendingClaim) -> bool:
        """Whether the worker has sent no newer claim."""
        return self._newest.get(worker) is claim

    def wake_all(self) -> None:
        """Let all pending claims check for a job."""
        for claim in self._waiting.values():
            claim.wake()

    def workers(self) -> tuple[str, ...]:
        """Return the names of the workers whose claims are pending."""
        return tuple(self._waiting)
