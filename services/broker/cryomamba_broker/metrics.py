"""Metrics of the broker, of all jobs, and of the workers; a gateway asks for them and hands them to Prometheus.

Workers only connect outwards, and the broker may have no network at all, so neither is scraped itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from cryomamba.models.jobs import JobEvent, JobRecord
from cryomamba.wire.requests import WorkerStatus
from cryomamba_broker.counters import Counters
from cryomamba_server.loop_lag import BUCKETS_S

# From a demo to a night; jobs wait longer than they run.
_RUN_S: Final = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400)
_QUEUE_S: Final = (0.1, 1, 5, 15, 60, 300, 900, 3600, 14400, 43200, 86400)
_PREVIEW_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_RUN_ENDS: Final = frozenset({"job_completed", "job_failed", "job_cancelled", "job_requeued"})
_COUNTED: Final = {
    "repeated": "Requests that were received again and not executed again.",
    "malformed": "Messages that violate the protocol.",
    "undelivered": "Replies to peers that were gone or did not read.",
    "frames_stale": "Preview frames of attempts that had ended.",
    "syncs": "Late joiners that were sent the current state.",
    "events": "Changes of state that were published.",
    "events_dropped": "Messages on the events socket that waited too long to be sent.",
}


class CounterCollector(Collector):
    """The broker's counters as metrics."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    def describe(self) -> Iterator[Metric]:
        """Describe nothing in advance."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        counted = asdict(self._counters)
        for name, meaning in _COUNTED.items():
            yield CounterMetricFamily(f"cryomamba_broker_{name}", meaning, counted[name])


class BrokerMetrics:
    """All that is counted and measured in the broker, in a registry of its own. Thread-safe."""

    def __init__(self, counters: Counters) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(namespace="cryomamba_broker", registry=self.registry)
        self.registry.register(CounterCollector(counters))
        self.loop_lag = self._histogram("broker_loop_lag_seconds", "Lag of the broker's event loop.", (), BUCKETS_S)
        self.requests = self._counter("broker_requests", "Requests executed, by result.", ("request", "result"))
        self.submitted = self._counter("jobs_submitted", "Jobs submitted.", ("engine",))
        self.queue = self._histogram("job_queue_seconds", "Seconds in the queue before a claim.", ("engine",), _QUEUE_S)
        self.runs = self._histogram("attempt_seconds", "Seconds of an attempt.", ("engine", "result"), _RUN_S)
        self.failures = self._counter("attempts_failed", "Attempts that ended with an error.", ("engine", "code"))
        self.tiles = self._counter("tiles", "Tiles computed.", ("engine",))
        self.artifact_bytes = self._counter("artifact_bytes", "Bytes of the files of completed jobs.", ("engine",))
        self.frames = self._counter("preview_frames", "Preview frames forwarded.", ())
        self.frame_bytes = self._counter("preview_bytes", "Bytes of the preview frames forwarded.", ())
        self.frame_delay = self._histogram(
            "preview_delay_seconds", "From the encoding of a preview frame to its forwarding.", (), _PREVIEW_S
        )
        self.cached = Gauge(
            "cryomamba_broker_preview_cache_bytes",
            "Memory of the last preview of each job, kept for those who join later; at most 64 MiB.",
            registry=self.registry,
        )
        self.workers = WorkerMetrics(self.registry)
        self.webhooks = WebhookMetrics(self.registry)

    def _counter(self, name: str, meaning: str, labels: tuple[str, ...]) -> Counter:
        return Counter(f"cryomamba_{name}", meaning, labels, registry=self.registry)

    def _histogram(self, name: str, meaning: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"cryomamba_{name}", meaning, labels, registry=self.registry, buckets=buckets)

    def count_event(self, event: JobEvent, record: JobRecord) -> None:
        """Count a change of a job's state, and measure how long it waited or ran."""
        before = [one for one in record.history if one.n < event.n]
        if event.type == "job_created":
            self.submitted.labels(record.engine).inc()
        elif event.type == "job_started" and before:
            self.queue.labels(record.engine).observe(_seconds(before[-1].at, event.at))
        elif event.type in _RUN_ENDS:
            self._count_run(event, record, before)

    def _count_run(self, event: JobEvent, record: JobRecord, before: list[JobEvent]) -> None:
        started = next((one for one in reversed(before) if one.type == "job_started"), None)
        if started is None or started.attempt != event.attempt:
            # A pending job was cancelled.
            return
        result = event.type.removeprefix("job_")
        self.runs.labels(record.engine, result).observe(_seconds(started.at, event.at))
        if record.errors and record.errors[-1].attempt == event.attempt:
            self.failures.labels(record.engine, str(record.errors[-1].code)).inc()
        if event.type == "job_completed":
            self.artifact_bytes.labels(record.engine).inc(sum(one.size_bytes for one in record.artifacts))

    def count_frame(self, nbytes: int, delay_s: float) -> None:
        """Count a preview frame that was forwarded; clocks of two machines may differ, so a delay can seem negative."""
        self.frames.inc()
        self.frame_bytes.inc(nbytes)
        self.frame_delay.observe(max(0.0, delay_s))

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class WebhookMetrics:
    """The messages to webhooks."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._tries = Counter(
            "cryomamba_webhook_tries",
            "Tries to deliver a message to a webhook: delivered, to be retried, or given up as failed.",
            ("result",),
            registry=registry,
        )
        for result in ("delivered", "retried", "failed"):
            self._tries.labels(result)
        self._pending = Gauge(
            "cryomamba_webhook_messages_pending", "Messages to webhooks that are not delivered yet.", registry=registry
        )
        self._oldest = Gauge(
            "cryomamba_webhook_oldest_pending_seconds",
            "Age of the oldest message that is not delivered yet; 0 if there is none.",
            registry=registry,
        )

    def count(self, result: str) -> None:
        """Count a try by its result."""
        self._tries.labels(result).inc()

    def set_pending(self, count: int, oldest_s: float) -> None:
        """Set how many messages are pending, and how old the oldest is."""
        self._pending.set(count)
        self._oldest.set(oldest_s)


class WorkerMetrics:
    """What workers report of themselves, one series for each that is connected."""

    def __init__(self, registry: CollectorRegistry) -> None:
        meanings = {
            "memory_bytes": "Resident memory of a worker's service and its compute processes, the same for each slot.",
            "cpu_seconds": "Processor time of a worker's service and its present compute processes, as memory.",
            "compute_starts": "Compute processes that a worker has started; one more after a crash or 50 jobs.",
            "jobs_run": "Attempts that a worker has begun.",
            "loop_lag_seconds": "Longest lag of a worker's event loop in the last seconds.",
        }
        self._gauges = {
            name: Gauge(f"cryomamba_worker_{name}", meaning, ("worker",), registry=registry)
            for name, meaning in meanings.items()
        }
        self.connections = Counter(
            "cryomamba_worker_registrations",
            "Registrations of workers: at their start, and after the broker has restarted.",
            registry=registry,
        )

    def report(self, status: WorkerStatus) -> None:
        """Set what a worker reports."""
        for name, gauge in self._gauges.items():
            gauge.labels(status.worker).set(getattr(status, name))

    def remove(self, worker: str) -> None:
        """Drop the series of a worker that is gone."""
        for gauge in self._gauges.values():
            # A worker that never reported has no series.
            with suppress(KeyError):
                gauge.remove(worker)


def _seconds(begin: datetime, end: datetime) -> float:
    return max(0.0, (end - begin).total_seconds())
