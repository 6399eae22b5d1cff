"""The job store: SQLite, one writer, the event row in the same transaction as the state."""

from __future__ import annotations

from pathlib import Path

from cryomamba_broker.states import LeasePolicy
from cryomamba_broker.store.database import Clock, Database
from cryomamba_broker.store.engines import EngineTable
from cryomamba_broker.store.events import EventLog
from cryomamba_broker.store.jobs import Change, Jobs, NewJob
from cryomamba_broker.store.leases import Attempt, Lease, Leases
from cryomamba_broker.store.live_progress import LiveProgress

__all__ = ["Attempt", "Change", "Clock", "EventLog", "Jobs", "Lease", "Leases", "NewJob", "Store"]


class Store:
    """All tables over one connection; every method belongs to the thread that opened it.

    Parameters
    ----------
    path : Path
    clock : Clock
    policy : LeasePolicy

    Raises
    ------
    ConflictError
        The file was written by a newer CryoMamba, or is no job store.
    UnavailableError
        It cannot be opened.
    """

    def __init__(self, path: Path, clock: Clock | None = None, policy: LeasePolicy | None = None) -> None:
        self._database = Database(path, clock or Clock())
        self.events = EventLog(self._database)
        progress = LiveProgress()
        self.jobs = Jobs(self._database, self.events, progress)
        self.leases = Leases(self._database, self.events, self.jobs, progress, policy or LeasePolicy())
        self.engines = EngineTable(self._database)

    def close(self) -> None:
        """Close the file."""
        self._database.close()
