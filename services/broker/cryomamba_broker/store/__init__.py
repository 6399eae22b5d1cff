"""The job store: SQLite, one writer, the event row in the same transaction as the state."""

from __future__ import annotations

from pathlib import Path

from cryomamba_broker.delivery_policy import DeliveryPolicy
from cryomamba_broker.state_machine import LeasePolicy
from cryomamba_broker.store.attempts import Attempt, Lease
from cryomamba_broker.store.database import Clock, Database
from cryomamba_broker.store.deliveries import Deliveries
from cryomamba_broker.store.engines import EngineTable
from cryomamba_broker.store.events import EventLog
from cryomamba_broker.store.jobs import Change, JobTable
from cryomamba_broker.store.leases import Leases
from cryomamba_broker.store.live_progress import LiveProgress
from cryomamba_broker.store.queue import JobQueue
from cryomamba_broker.store.revisions import Revisions
from cryomamba_broker.store.submissions import NewJob, Submissions
from cryomamba_broker.store.webhooks import WebhookTable
from cryomamba_broker.store.worker_states import WorkerStateTable

__all__ = [
    "Attempt",
    "Change",
    "Clock",
    "Deliveries",
    "EventLog",
    "JobQueue",
    "JobTable",
    "Lease",
    "Leases",
    "NewJob",
    "Revisions",
    "Store",
    "Submissions",
    "WebhookTable",
    "WorkerStateTable",
]


class Store:
    """All tables over one connection; every method belongs to the thread that opened it.

    Parameters
    ----------
    path : Path
        The database file; created if it does not exist.

    Raises
    ------
    ConflictError
        The file was written by a newer CryoMamba, or is not a job store.
    UnavailableError
        The file cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock | None = None,
        policy: LeasePolicy | None = None,
        delivery_policy: DeliveryPolicy | None = None,
    ) -> None:
        self.database = Database(path, clock or Clock())
        self.webhooks = WebhookTable(self.database)
        self.deliveries = Deliveries(self.database, self.webhooks, delivery_policy or DeliveryPolicy())
        self.events = EventLog(self.database, self.deliveries)
        progress = LiveProgress()
        self.queue = JobQueue(self.database, self.events)
        self.jobs = JobTable(self.database, self.events, progress, self.queue)
        self.submissions = Submissions(self.database, self.events, self.jobs)
        self.revisions = Revisions(self.database, self.events, self.jobs)
        self.leases = Leases(self.database, self.events, self.jobs, progress, policy or LeasePolicy(), self.queue)
        self.engines = EngineTable(self.database)
        self.worker_states = WorkerStateTable(self.database)

    def close(self) -> None:
        """Close the file."""
        self.database.close()
