"""The AsyncAPI document: valid by the standard's own schema, and true of what a running gateway sends and accepts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import jsonschema
import numpy as np
import pytest

from cryomamba.errors import ErrorCode
from cryomamba.models.jobs import EventType, JobError
from cryomamba_gateway.asyncapi import document

if TYPE_CHECKING:
    from tests.gateway.conftest import Services, Worker

STANDARD = Path(__file__).parents[2] / "services/gateway/web/node_modules/@asyncapi/specs/schemas/3.0.0.json"
in_session = pytest.mark.asyncio(loop_scope="session")


def of_payload(name: str) -> jsonschema.Draft7Validator:
    described = document()
    payload = described["components"]["messages"][name]["payload"]
    return jsonschema.Draft7Validator({**payload, "components": described["components"]})


def test_the_document_is_valid_by_the_schema_of_the_standard() -> None:
    """The one that the AsyncAPI initiative publishes for version 3.0.0; each message is used and can be found."""
    if not STANDARD.is_file():
        pytest.skip("the page's packages are not installed ('make web' installs them)")
    described = document()
    standard = jsonschema.Draft7Validator(json.loads(STANDARD.read_text(encoding="utf-8")))
    standard.validate(described)
    assert not standard.is_valid({**described, "operations": {"fly": {"action": "fly"}}})
    used = {name for channel in described["channels"].values() for name in channel["messages"]}
    assert used == set(described["components"]["messages"])
    for operation in described["operations"].values():
        for reference in operation["messages"]:
            found: Any = described
            for part in reference["$ref"].removeprefix("#/").split("/"):
                found = found[part]


@in_session
async def test_it_is_served_to_everybody(services: Services) -> None:
    """As JSON with an ETag, beside the OpenAPI document."""
    reply = await services.http.get("/asyncapi.json")
    assert (reply.status_code, reply.json()) == (200, json.loads(json.dumps(document())))
    assert reply.headers["Content-Type"] == "application/json"
    again = await services.http.get("/asyncapi.json", headers={"If-None-Match": reply.headers["ETag"]})
    assert again.status_code == 304


@in_session
async def test_what_a_gateway_sends_is_as_described(services: Services, worker: Worker) -> None:
    """Every message about a job that is completed and about one that fails, and the answers to a client's own."""
    seen: list[dict[str, Any]] = []
    async with services.socket("/v1/ws") as socket:
        for message in ({"type": "ping"}, {"type": "subscribe", "job_id": "*"}, {"type": "nonsense"}):
            await socket.send(message)
        seen += await socket.read_until(lambda one: one["type"] == "error")
        done = await services.submit()
        await socket.send({"type": "subscribe", "job_id": done.job_id})
        seen += await socket.read_until(lambda one: one["type"] == "connected")
        claimed = await worker.claim()
        await worker.publish(claimed, np.ones((4, 4, 4), np.uint8))
        seen += await socket.read_until(lambda one: one["type"] == "preview")
        await worker.progress(claimed, 0.5)
        seen += await socket.read_until(lambda one: one["type"] == "progress")
        await worker.finish(claimed, {"mask.mrc": b"mask"})
        seen += await socket.read_until(lambda one: one["type"] == "job_completed")
        failed = await services.submit()
        await worker.fail(await worker.claim(), JobError(code=ErrorCode.ENGINE_FAILED, message="No.", attempt=1))
        seen += await socket.read_until(lambda one: one["type"] == "job_failed")
    for job in (done, failed):
        async with services.socket(f"/v1/ws/jobs/{job.job_id}?first_types=true") as socket:
            seen += [json.loads(raw) for raw in await socket.read_all()]
    types = {message["type"] for message in seen}
    assert {"pong", "subscribed", "link", "preview", "progress", "completed", "error"} <= types
    for message in seen:
        of_payload(message["type"]).validate(message)


def test_what_a_client_may_send_is_described() -> None:
    """Each kind of message, and none with a wrong field; every type of event is among what is sent."""
    accepted: list[dict[str, Any]] = [
        {"type": "ping"},
        {"type": "auth", "token": "t"},
        {"type": "ack", "seq": 4},
        {"type": "subscribe", "job_id": "*", "since": 3, "epoch": 5, "previews": False},
        {"type": "unsubscribe", "job_id": "0b9f5c1e"},
    ]
    for message in accepted:
        of_payload(message["type"]).validate(message)
        with pytest.raises(jsonschema.ValidationError):
            of_payload(message["type"]).validate({**message, "other": 1})
    assert set(get_args(EventType)) <= set(document()["components"]["messages"])
