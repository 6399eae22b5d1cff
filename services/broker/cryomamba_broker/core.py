"""What all request handlers share."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from cryomamba.endpoints import BusEndpoints
from cryomamba.models.jobs import JobEvent, JobRecord
from cryomamba.wire.trace_context import current_trace
from cryomamba_broker.claim_queue import ClaimQueue
from cryomamba_broker.metrics import BrokerMetrics
from cryomamba_broker.preview_cache import PreviewCache
from cryomamba_broker.preview_relay import AttemptFence
from cryomamba_broker.publisher import EventPublisher
from cryomamba_broker.store import Change, Clock, Store
from cryomamba_broker.store_thread import StoreThread
from cryomamba_broker.subscriptions import OwnerCache
from cryomamba_broker.wakeup import PendingRenewals, Waiters
from cryomamba_broker.workers import Workers

logger = logging.getLogger(__name__)

_EVENTS: Final[Mapping[str, str]] = {
    "job_created": "was submitted",
    "job_started": "was claimed by a worker",
    "job_requeued": "is pending again",
    "job_cancel_requested": "is asked to stop",
    "job_retried": "was put back into the queue",
    "job_completed": "is completed",
    "job_failed": "has failed",
    "job_cancelled": "is cancelled",
    "job_revised": "has a revised mask",
}


@dataclass(frozen=True, slots=True)
class Core:
    """The parts of the broker that request handlers use.

    Attributes
    ----------
    epoch : int
        Drawn at random when the broker started.
    started : float
        Seconds since 1970.
    endpoints : BusEndpoints
        As bound.
    metrics : BrokerMetrics
    deliveries : Waiters
        Gateways that wait for a message to a webhook.
    ended : Counter of str
        Jobs that have ended since the start, by final state.
    """

    epoch: int
    started: float
    endpoints: BusEndpoints
    lease_s: float
    clock: Clock
    store: StoreThread
    publisher: EventPublisher
    cache: PreviewCache
    fence: AttemptFence
    owners: OwnerCache
    workers: Workers
    metrics: BrokerMetrics
    claims: ClaimQueue = field(default_factory=ClaimQueue)
    renewals: PendingRenewals = field(default_factory=PendingRenewals)
    deliveries: Waiters = field(default_factory=Waiters)
    ended: Counter[str] = field(default_factory=Counter)

    async def change(self, work: Callable[[Store], Change]) -> JobRecord:
        """Change a job in the store, publish the event if there is one, and return the job."""
        change = await self.store.call(work)
        await self.announce(change)
        return change.record

    async def announce(self, change: Change) -> None:
        """Publish a change that was made in the store, and answer the pending renewal of the job's worker."""
        self.renewals.wake(change.record.job_id)
        self.owners.put(change.record.job_id, change.record.owner)
        if change.event is not None:
            if change.record.state.final:
                self.ended[str(change.record.state)] += 1
                self.deliveries.wake_all()
            _log_event(change.event, change.record)
            self.metrics.count_event(change.event, change.record)
            self.publisher.publish_state(change.event, change.record)


def _log_event(event: JobEvent, record: JobRecord) -> None:
    about = {"job_id": record.job_id, "attempt": event.attempt, "engine": record.engine, "event": str(event.type)}
    if record.owner:
        about["owner"] = record.owner
    if current_trace().request_id is None and record.request_id:
        about["request_id"] = record.request_id
    reason = f": {event.reason}" if event.reason else ""
    logger.info("Job %s %s%s", record.job_id, _EVENTS[event.type], reason or ".", extra=about)
