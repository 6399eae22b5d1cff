"""Traces of a real stack: spans of all services, received with OTLP, hang together from the HTTP request on."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from cryomamba.client import aconnect
from cryomamba.testing import DEADLINE_S, Stack, wait_until

pytestmark = [pytest.mark.system, pytest.mark.slow]
trace_service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT_ID = "00f067aa0ba902b7"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"

Spans = dict[tuple[str, str], tuple[str, str]]


class Receiver(ThreadingHTTPServer):
    """A collector that keeps the spans of one trace: by service and name, their own id and their parent's."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.spans: Spans = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def keep(self, body: bytes) -> None:
        for resource in trace_service.ExportTraceServiceRequest.FromString(body).resource_spans:
            named = {one.key: one.value.string_value for one in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    if span.trace_id.hex() == TRACE_ID:
                        self.spans[named["service.name"], span.name] = (span.span_id.hex(), span.parent_span_id.hex())


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.keep(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A running collector."""
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def test_spans_lead_from_the_request_to_the_attempt(make_stack: Callable[..., Stack], receiver: Receiver) -> None:
    """The client's trace goes on in the gateway, the broker and the worker, each the child of the one before."""
    stack = make_stack(**{ENDPOINT: receiver.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}).start().wait_ready()
    headers = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"}
    body = {"engine": "demo", "volume": {"shape": [8, 8, 8]}, "params": {"seconds": 0}}
    async with httpx.AsyncClient(base_url=stack.http_url, trust_env=False, timeout=DEADLINE_S) as http:
        created = (await http.post("/v1/jobs", json=body, headers=headers)).json()
    async with await aconnect(stack.http_url) as client:
        await (await client.job(created["job_id"])).wait()
    expected = [
        ("cryomamba-gateway", "POST /v1/jobs"),
        ("cryomamba-broker", "job.submit"),
        ("cryomamba-inference", "attempt"),
        ("cryomamba-broker", "job.finish"),
    ]
    wait_until(lambda: set(expected) <= set(receiver.spans), what="all spans")
    parent = PARENT_ID
    for service_and_name in expected:
        own, its_parent = receiver.spans[service_and_name]
        assert its_parent == parent, service_and_name
        parent = own


@pytest.mark.parametrize("endpoint", ["", "http://127.0.0.1:9"])
def test_opentelemetry_is_imported_only_where_it_is_wanted(endpoint: str) -> None:
    """Without an endpoint a service does not load the SDK."""
    code = (
        "import sys; from cryomamba_server.tracing import configure_tracing, shut_down_tracing, span\n"
        "configure_tracing(service='broker')\n"
        "with span('x'): pass\n"
        "print(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    )
    env = {ENDPOINT: endpoint, "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True, timeout=DEADLINE_S
    )
    assert done.stdout.strip() == str(bool(endpoint))
