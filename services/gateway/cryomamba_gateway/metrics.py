"""What Prometheus reads."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from cryomamba.models.jobs import JobState
from cryomamba.models.server import Activity

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class ServerCollector(Collector):
    """What the broker and the disk say at the moment of reading; nothing of the broker while that is away.

    Parameters
    ----------
    home : Path
        The folder whose disk is looked at.

    Attributes
    ----------
    activity : Activity or None
        The broker's last word; None while it is away.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self.activity: Activity | None = None

    def describe(self) -> Iterator[Metric]:
        """Name nothing in advance: what there is depends on the broker."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """Return the numbers."""
        if self.activity is not None:
            yield from _of_jobs(self.activity)
        there = next(folder for folder in (self._home, *self._home.parents) if folder.is_dir())
        disk = shutil.disk_usage(there)
        yield GaugeMetricFamily("cryomamba_disk_free_bytes", "Free on the disk of the home folder.", disk.free)
        yield GaugeMetricFamily("cryomamba_disk_bytes", "Size of the disk of the home folder.", disk.total)


def _of_jobs(activity: Activity) -> Iterator[Metric]:
    yield GaugeMetricFamily("cryomamba_workers", "Inference services connected.", activity.workers)
    jobs = GaugeMetricFamily("cryomamba_jobs", "Jobs that have not ended, by state.", labels=("state",))
    jobs.add_metric(("pending",), activity.pending)
    jobs.add_metric(("running",), activity.running)
    yield jobs
    yield GaugeMetricFamily(
        "cryomamba_oldest_pending_job_seconds",
        "How long the oldest pending job has waited; 0 if there is none.",
        activity.oldest_pending_s,
    )
    ended = CounterMetricFamily(
        "cryomamba_jobs_ended", "Jobs that ended since the broker started, by state.", labels=("state",)
    )
    for state in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED):
        ended.add_metric((str(state),), activity.ended.get(str(state), 0))
    yield ended


class Metrics:
    """The gateway's counters, in a registry of their own so that several gateways fit into one process.

    Parameters
    ----------
    home : Path
        The folder of all state.
    """

    def __init__(self, home: Path) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.server = ServerCollector(home)
        self.registry.register(self.server)
        self.requests = Counter(
            "cryomamba_gateway_requests",
            "Requests answered, by method, route template and status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.latency = Histogram(
            "cryomamba_gateway_request_seconds",
            "Seconds until the answer was sent in full.",
            ("method", "route"),
            registry=self.registry,
        )
        self.clients = Gauge(
            "cryomamba_gateway_websocket_clients", "WebSocket clients connected.", registry=self.registry
        )
        self.frames = Counter(
            "cryomamba_gateway_frames_sent", "Preview frames sent.", ("form",), registry=self.registry
        )
        self.evicted = Counter(
            "cryomamba_gateway_clients_evicted", "WebSocket clients that stopped reading.", registry=self.registry
        )
        self.bus = Gauge("cryomamba_gateway_bus_connected", "1 while the broker is there.", registry=self.registry)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer."""
        known = method if method in _METHODS else "OTHER"
        self.requests.labels(known, route, str(status)).inc()
        self.latency.labels(known, route).observe(seconds)

    def text(self, activity: Activity | None) -> bytes:
        """Return all of them in the text format, with what the broker says of itself, or None while it is away."""
        self.server.activity = activity
        return generate_latest(self.registry)
