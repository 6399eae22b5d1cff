"""Spans for OpenTelemetry: recorded where an exporter is configured, and free of cost where none is.

The standard variables of OpenTelemetry configure it, such as ``OTEL_EXPORTER_OTLP_ENDPOINT``. The library is imported
only then. A span's parent is that of the present trace context, and inside the span that context is the span's own, so
requests on the bus carry it to the next service.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final, Protocol

from cryomamba.errors import InvalidRequestError
from cryomamba.wire.trace_context import TraceContext, current_trace, use_trace

VARIABLES: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

Attribute = str | int | float | bool


class Span(Protocol):
    """A span that is being recorded, or not."""

    trace: TraceContext

    def rename(self, name: str) -> None:
        """Give it another name."""

    def set(self, name: str, value: Attribute | None) -> None:
        """Set an attribute; None is left out."""

    def end(self, error: BaseException | None) -> None:
        """End it, with the exception that ended its block."""


class Tracer(Protocol):
    """Makes spans, and exports them."""

    def begin(self, name: str, trace: TraceContext) -> Span:
        """Begin a span whose parent is named by a trace context."""

    def shut_down(self) -> None:
        """Export what is left."""


class _Unrecorded:
    """The span of a service that records none."""

    trace = TraceContext()

    def rename(self, name: str) -> None:
        """Do nothing."""

    def set(self, name: str, value: Attribute | None) -> None:
        """Do nothing."""

    def end(self, error: BaseException | None) -> None:
        """Do nothing."""


_UNRECORDED: Final = _Unrecorded()
_tracers: Final[list[Tracer]] = []


def configure_tracing(*, service: str) -> None:
    """Record and export spans from here on, if one of the variables names where to.

    Raises
    ------
    InvalidRequestError
        OpenTelemetry is not installed.
    """
    if not any(os.environ.get(name) for name in VARIABLES):
        return
    try:
        from cryomamba_server.opentelemetry_spans import OtlpTracer
    except ImportError as error:
        raise InvalidRequestError(
            f"{VARIABLES[0]} is set, but OpenTelemetry is not installed.",
            hint="Install it with: pip install 'cryomamba[otel]', or unset the variable.",
        ) from error
    _tracers[:] = [OtlpTracer(service)]


def shut_down_tracing() -> None:
    """Export the spans that are left, and record no more."""
    while _tracers:
        _tracers.pop().shut_down()


@contextmanager
def span(name: str, **attributes: Attribute | None) -> Iterator[Span]:
    """Record a span around the block, if spans are recorded at all.

    Parameters
    ----------
    name : str
    attributes
        None is left out.
    """
    if not _tracers:
        yield _UNRECORDED
        return
    begun = _tracers[0].begin(name, current_trace())
    error: BaseException | None = None
    try:
        for key, value in attributes.items():
            begun.set(key, value)
        with use_trace(replace(current_trace(), traceparent=begun.trace.traceparent)):
            yield begun
    except BaseException as raised:
        error = raised
        raise
    finally:
        begun.end(error)
