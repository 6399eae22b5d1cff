"""Which states of a job have been reported; pure, so that gaps, repeats and restarts are easily tested."""

from __future__ import annotations

from cryomamba.models.events import StateEvent
from cryomamba.models.jobs import JobRecord


class JobStateTracker:
    """Turns snapshots of a job, however many and in whatever order, into each state change once and in order.

    A record carries its history, so the next message makes up for a lost one.
    """

    def __init__(self) -> None:
        self.last_n: int | None = None
        self.record: JobRecord | None = None

    def update(self, record: JobRecord) -> list[StateEvent]:
        """Return what is new in a snapshot; the first snapshot gives the present state alone."""
        if not record.history:
            return []
        newest = record.history[-1]
        last = newest.n - 1 if self.last_n is None else self.last_n
        fresh = [event for event in record.history if event.n > last]
        if self.record is None or fresh or newest.n == self.last_n:
            self.record = record
        self.last_n = max(last, newest.n)
        return [StateEvent(event, record) for event in fresh]

    @property
    def ended(self) -> bool:
        """Whether the newest record is that of a final job."""
        return self.record is not None and self.record.state.final
