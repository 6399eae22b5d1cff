"""Metrics for Prometheus."""

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
from cryomamba_server.loop_lag import BUCKETS_S

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

_PREVIEW_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class ServerCollector(Collector):
    """Metrics of the broker and the disk, collected when they are read.

    Parameters
    ----------
    home : Path
        The data directory.

    Attributes
    ----------
    activity : Activity or None
        The broker's latest activity; None while it cannot be reached.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self.activity: Activity | None = None

    def describe(self) -> Iterator[Metric]:
        """Describe nothing in advance: the metrics depend on the broker."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        if self.activity is not None:
            yield from _of_jobs(self.activity)
        existing = next(folder for folder in (self._home, *self._home.parents) if folder.is_dir())
        disk = shutil.disk_usage(existing)
        yield GaugeMetricFamily("cryomamba_disk_free_bytes", "Free space on the disk of the data directory.", disk.free)
        yield GaugeMetricFamily("cryomamba_disk_bytes", "Size of the disk of the data directory.", disk.total)


def _of_jobs(activity: Activity) -> Iterator[Metric]:
    yield GaugeMetricFamily("cryomamba_workers", "Inference services connected.", activity.workers)
    jobs = GaugeMetricFamily("cryomamba_jobs", "Jobs that have not ended, by state.", labels=("state",))
    jobs.add_metric(("pending",), activity.pending)
    jobs.add_metric(("running",), activity.running)
    yield jobs
    yield GaugeMetricFamily(
        "cryomamba_oldest_pending_job_seconds",
        "Waiting time of the oldest pending job; 0 if there is none.",
        activity.oldest_pending_s,
    )
    ended = CounterMetricFamily(
        "cryomamba_jobs_ended", "Jobs that ended since the broker started, by state.", labels=("state",)
    )
    for state in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED):
        ended.add_metric((str(state),), activity.ended.get(str(state), 0))
    yield ended


class Metrics:
    """The gateway's metrics, in their own registry so that several gateways can run in one process.

    Parameters
    ----------
    home : Path
        The data directory.
    """

    def __init__(self, home: Path) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.server = ServerCollector(home)
        self.registry.register(self.server)
        self.requests = Counter(
            "cryomamba_gateway_requests",
            "Requests, by method, route template and status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.latency = Histogram(
            "cryomamba_gateway_request_seconds",
            "Seconds until the response was sent completely.",
            ("method", "route"),
            registry=self.registry,
        )
        self.sent_bytes = Counter(
            "cryomamba_gateway_sent_bytes", "Bytes of response bodies.", ("method", "route"), registry=self.registry
        )
        self.clients = Gauge(
            "cryomamba_gateway_websocket_clients", "WebSocket clients connected.", registry=self.registry
        )
        self.frames = Counter(
            "cryomamba_gateway_frames_sent", "Preview frames sent.", ("form",), registry=self.registry
        )
        self.evicted = Counter(
            "cryomamba_gateway_clients_evicted",
            "WebSocket clients that were disconnected because they stopped reading.",
            registry=self.registry,
        )
        self.preview_delay = Histogram(
            "cryomamba_gateway_preview_delay_seconds",
            "From the encoding of a preview frame to its sending to a WebSocket client.",
            registry=self.registry,
            buckets=_PREVIEW_S,
        )
        self.received_bytes = Counter(
            "cryomamba_gateway_received_bytes", "Bytes of request bodies.", ("method", "route"), registry=self.registry
        )
        self.loop_lag = Histogram(
            "cryomamba_gateway_loop_lag_seconds",
            "Lag of the gateway's event loop.",
            registry=self.registry,
            buckets=BUCKETS_S,
        )
        self.bus = Gauge("cryomamba_gateway_bus_connected", "1 while the broker is connected.", registry=self.registry)

    def count_response(
        self, method: str, route: str, status: int, seconds: float, *, sent_bytes: int, received_bytes: int
    ) -> None:
        """Count a response, and the sizes of its body and of the request's."""
        known = method if method in _METHODS else "OTHER"
        self.requests.labels(known, route, str(status)).inc()
        self.latency.labels(known, route).observe(seconds)
        self.sent_bytes.labels(known, route).inc(sent_bytes)
        self.received_bytes.labels(known, route).inc(received_bytes)

    def text(self, activity: Activity | None, broker: bytes = b"") -> bytes:
        """Return all metrics in the text format.

        Parameters
        ----------
        activity : Activity or None
            The broker's, None while it cannot be reached.
        broker : bytes
            The metrics of the broker and its workers in the same format; no name is in both.
        """
        self.server.activity = activity
        return generate_latest(self.registry) + broker
