"""Spans of the OpenTelemetry SDK, exported with OTLP over HTTP; imported only where they are wanted."""

from __future__ import annotations

from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from cryomamba._version import __version__
from cryomamba.wire.trace_context import TraceContext

_PROPAGATOR: Final = TraceContextTextMapPropagator()


class OtlpTracer:
    """Makes spans, and exports them in a thread of its own; what cannot be exported is dropped after a while."""

    def __init__(self, service: str) -> None:
        resource = Resource.create({SERVICE_NAME: f"cryomamba-{service}", SERVICE_VERSION: __version__})
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("cryomamba", __version__)

    def begin(self, name: str, trace: TraceContext) -> RecordedSpan:
        """Begin a span whose parent is named by a trace context, or which is the first of a new trace."""
        parent = Context()
        if trace.traceparent is not None:
            parent = _PROPAGATOR.extract({"traceparent": trace.traceparent}, parent)
        return RecordedSpan(self._tracer.start_span(name, parent), trace)

    def shut_down(self) -> None:
        """Export what is left."""
        self._provider.shutdown()


class RecordedSpan:
    """A span of the SDK.

    Attributes
    ----------
    trace : TraceContext
        The context of what is done inside the span.
    """

    def __init__(self, span: Span, trace: TraceContext) -> None:
        self._span = span
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, set_span_in_context(span, Context()))
        self.trace = TraceContext(trace.request_id, carrier.get("traceparent", trace.traceparent), trace.actor)
        self.set("request_id", trace.request_id)

    def rename(self, name: str) -> None:
        """Give it another name."""
        self._span.update_name(name)

    def set(self, name: str, value: str | float | bool | None) -> None:
        """Set an attribute."""
        if value is not None:
            self._span.set_attribute(name, value)

    def end(self, error: BaseException | None) -> None:
        """End it."""
        if isinstance(error, Exception):
            self._span.record_exception(error)
            self._span.set_status(Status(StatusCode.ERROR, type(error).__name__))
        self._span.end()
