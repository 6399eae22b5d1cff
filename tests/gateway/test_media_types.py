"""Bodies of a media type or an encoding that a route does not accept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.gateway.conftest import Services, Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

JOB = "/v1/jobs/00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/jobs"),
        ("POST", f"{JOB}/threshold"),
        ("PUT", f"{JOB}/focus"),
        ("PUT", f"{JOB}/revisions"),
        ("POST", "/v1/uploads/init"),
    ],
)
@pytest.mark.parametrize("type_", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_json_under_another_name_is_refused(services: Services, method: str, path: str, type_: str) -> None:
    """With 415 and a message that names the header, before the body is looked at."""
    headers = {"Content-Type": type_} if type_ else {}
    reply = await services.http.request(method, path, content=b'{"name": "x"}', headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (415, "unsupported_media_type")
    assert "Content-Type" in reply.json()["message"]
    assert "application/json" in reply.json()["hint"]


async def test_json_is_accepted_under_each_of_its_names(services: Services, worker: Worker) -> None:
    """With a charset, in upper case, with a suffix; and no body needs no name."""
    for type_ in ("application/json; charset=utf-8", "Application/JSON", "application/merge-patch+json"):
        reply = await services.http.post("/v1/jobs", content=b"{}", headers={"Content-Type": type_})
        assert reply.status_code == 201, type_
    assert (await services.http.post("/v1/jobs", headers={"Content-Type": "text/plain"})).status_code == 201


async def test_a_compressed_body_is_refused(services: Services) -> None:
    """Of a request and of an upload; the message names the header."""
    for method, path in (("POST", "/v1/jobs"), ("PUT", "/v1/files/a.mrc")):
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        reply = await services.http.request(method, path, content=b"\x1f\x8b", headers=headers)
        assert (reply.status_code, reply.json()["code"]) == (415, "unsupported_media_type")
        assert "Content-Encoding" in reply.json()["message"]


async def test_a_form_is_not_a_file(services: Services) -> None:
    """A form with a file in it is refused with what to send instead; other types are ignored, as curl sends one."""
    form = await services.http.put("/v1/files/a.mrc", files={"file": b"x" * 2000})
    assert form.status_code == 415
    assert "curl -T" in form.json()["hint"]
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    raw = await services.http.put("/v1/files/a.mrc", content=b"x" * 2000, headers=headers)
    assert (raw.status_code, raw.json()["code"]) == (422, "volume_unreadable")


async def test_a_part_of_a_body_is_not_taken_for_the_whole(services: Services) -> None:
    """What 'curl -C -' sends to resume is refused (RFC 9110, section 14.5) instead of being stored."""
    headers = {"Content-Range": "bytes 1000-1999/2000"}
    reply = await services.http.put("/v1/files/a.mrc", content=b"x" * 1000, headers=headers)
    assert reply.status_code == 400
    assert "Content-Range" in reply.json()["message"]


async def test_a_value_that_does_not_fit_is_named_with_its_place(services: Services) -> None:
    """The header, the query parameter or the field of the body."""
    header = await services.http.post("/v1/jobs", headers={"Idempotency-Key": "a b"})
    assert header.json()["message"].startswith("The header 'Idempotency-Key' is not valid")
    query = await services.http.get("/v1/jobs?limit=0")
    assert query.json()["message"].startswith("The query parameter 'limit' is not valid")
    body = await services.http.post("/v1/jobs", json={"priority": 1000})
    assert body.json()["message"].startswith("The field 'priority' of the body is not valid")
