"""What Prometheus reads."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """The gateway's counters, in a registry of their own so that several gateways fit into one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
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
        self.disk_free = Gauge(
            "cryomamba_gateway_disk_free_bytes", "Bytes free on the disk of the home folder.", registry=self.registry
        )
        self.bus = Gauge("cryomamba_gateway_bus_connected", "1 while the broker is there.", registry=self.registry)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer."""
        known = method if method in _METHODS else "OTHER"
        self.requests.labels(known, route, str(status)).inc()
        self.latency.labels(known, route).observe(seconds)

    def text(self) -> bytes:
        """Return all of them in the text format."""
        return generate_latest(self.registry)
