"""The error envelope, the request id and the limits: every error has the same form."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import httpx
import pytest

from cryomamba.testing import DEADLINE_S

if TYPE_CHECKING:
    from tests.gateway.conftest import Services, Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

FIELDS = {"code", "message", "hint", "retryable", "details", "request_id"}
JSON = {"Content-Type": "application/json"}


def assert_envelope(reply: httpx.Response, status: int, code: str) -> None:
    assert (reply.status_code, reply.json()["code"]) == (status, code), reply.text
    assert set(reply.json()) == FIELDS
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.json()["request_id"] == reply.headers["X-Request-ID"]
    assert "Traceback" not in reply.text
    assert "/home" not in reply.text


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/v1/jobs/", 404, "not_found"),
        ("GET", "/v1/uploads/1", 404, "not_found"),
        ("PATCH", "/v1/jobs", 405, "method_not_allowed"),
        ("TRACE", "/v1/healthz", 405, "method_not_allowed"),
        ("PUT", "/v1/jobs/x", 405, "method_not_allowed"),
        ("DELETE", "/jobs/x/artifacts/y", 405, "method_not_allowed"),
    ],
)
async def test_unknown_routes_and_methods(services: Services, method: str, path: str, status: int, code: str) -> None:
    """A 405 lists the accepted methods."""
    reply = await services.http.request(method, path)
    assert_envelope(reply, status, code)
    if status == 405:
        assert method not in reply.headers["Allow"]


async def test_allow_names_the_methods_of_all_routes(services: Services) -> None:
    """Routes with the same path count as one."""
    assert (await services.http.patch("/v1/jobs/x")).headers["Allow"] == "DELETE, GET, HEAD"
    # An artifact's link has the same shape, with one parameter more.
    assert (await services.http.patch("/v1/files/x/zarr-link")).headers["Allow"] == "POST"
    assert (await services.http.patch("/jobs")).headers["Allow"] == "GET, POST"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"text"',
        b"NaN",
        b"\xff\xfe",
        b'{"priority": NaN}',
        b'{"name": "\\ud800"}',
        b'{"\\ud800": 1}',
        b'{"priority": 1e400}',
        b'{"priority": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"volume": {"shape": [1, 2, 3], "voxel_size_A": [Infinity, 1, 1]}}',
    ],
)
async def test_invalid_bodies(services: Services, body: bytes) -> None:
    """Text that is not JSON, not Unicode or not of the schema is a bad request."""
    assert_envelope(await services.http.post("/v1/jobs", content=body, headers=JSON), 400, "bad_request")


@pytest.mark.parametrize("params", [b'{"x": NaN}', b'{"x": "\\ud800"}', b'{"x": ' + b"9" * 30 + b"}"])
async def test_parameters_that_the_bus_cannot_carry(services: Services, params: bytes) -> None:
    """They are refused before they are sent."""
    body = b'{"params": ' + params + b"}"
    assert_envelope(await services.http.post("/v1/jobs", content=body, headers=JSON), 422, "invalid_parameters")


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_body_beyond_the_limit_is_refused(services: Services, streamed: bool) -> None:
    """With or without Content-Length."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 65536

    content = pieces() if streamed else b" " * (1024 * 1024 + 1)
    assert_envelope(await services.http.post("/v1/jobs", content=content, headers=JSON), 413, "too_large")


async def test_a_valid_request_id_is_kept(services: Services) -> None:
    """Any other is replaced, not echoed."""
    for sane in ("abc-123", "A.b_c"):
        reply = await services.http.get("/v1/healthz", headers={"X-Request-ID": sane})
        assert reply.headers["X-Request-ID"] == sane
    for odd in ("with blank", "x" * 129, "<script>", ""):
        reply = await services.http.get("/v1/healthz", headers={"X-Request-ID": odd})
        assert reply.headers["X-Request-ID"] not in {odd, ""}


async def test_a_page_of_another_origin_cannot_change_anything(services: Services, worker: Worker) -> None:
    """A page of another site could send a simple POST; its Origin header identifies it."""
    reply = await services.http.post("/v1/jobs", headers={"Origin": "https://evil.example"})
    assert_envelope(reply, 403, "forbidden")
    assert (await services.http.post("/v1/jobs", headers={"Origin": services.url})).status_code == 201


@pytest.mark.parametrize("raw", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000])
async def test_malformed_http_gets_the_envelope_too(services: Services, raw: bytes) -> None:
    """Malformed requests and oversized headers end the connection, not the gateway."""
    host, port = services.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(raw)
    async with asyncio.timeout(DEADLINE_S):
        answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"x-request-id: " in head
    assert json.loads(body)["code"] == "bad_request"
    assert (await services.http.get("/v1/healthz")).status_code == 200
