"""Trained models over HTTP: who may do what, what is refused, and what jobs and workers make of it."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio
from tests.trained_models import SIDECAR

from cryomamba.client.bus_requester import BusRequester
from cryomamba.engines.info import EngineInfo
from cryomamba.errors import ErrorCode
from cryomamba.models.model_listing import OfferedModel
from cryomamba.wire.requests import WorkerHello
from cryomamba_gateway import model_registry
from cryomamba_inference import model_announcer

if TYPE_CHECKING:
    from tests.gateway.access.conftest import SecuredServices

pytestmark = pytest.mark.asyncio(loop_scope="session")

NET = EngineInfo(
    name="onnx",
    summary="Runs networks.",
    parameters={"type": "object", "properties": {"model": {"type": "string", "choices_from": "models"}}},
    needs_volume=False,
)
LICENCE = "CC-BY-NC-4.0"


def archive(licence: str = "", files: Mapping[str, bytes] = MappingProxyType({})) -> bytes:
    """Return a zip archive of a model, with further files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as content:
        content.writestr("net/model.toml", SIDECAR.format(title="Membranes", licence=licence))
        content.writestr("net/net.onnx", b"weights")
        for name, text in files.items():
            content.writestr(name, text)
    return packed.getvalue()


async def send(http: httpx.AsyncClient, content: bytes, filename: str = "net.zip") -> str:
    """Send the parts of an upload, without completing it, and return its id."""
    begin = {"filename": filename, "total_size_bytes": len(content)}
    status = (await http.post("/v1/uploads/init", json=begin)).json()
    reply = await http.put(f"/v1/uploads/{status['upload_id']}/part/0", content=content)
    assert reply.status_code == 200, reply.text
    return str(status["upload_id"])


async def add(http: httpx.AsyncClient, name: str, content: bytes, **body: Any) -> httpx.Response:
    """Add a model."""
    upload = await send(http, content, body.pop("filename", "net.zip"))
    return await http.post("/v1/models", json={"upload_id": upload, "name": name, **body})


async def names(http: httpx.AsyncClient) -> list[str]:
    """Return the names of all models."""
    return [model["name"] for model in (await http.get("/v1/models")).json()["models"]]


@pytest_asyncio.fixture(loop_scope="session")
async def worker(secured: SecuredServices, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[BusRequester]:
    """A worker that has the models of the data directory, and announces a change at once."""
    monkeypatch.setattr(model_announcer, "_LOOK_S", 0.02)
    services = secured.services
    async with AsyncExitStack() as stack:
        requester = BusRequester(services.broker.endpoints.jobs, src="net-worker")
        stack.push_async_callback(requester.close)
        hello = WorkerHello(worker="net-worker", host="here", pid=1, version="0", engines=(NET,))
        epoch = (await requester.request("worker.hello", hello)).body["epoch"]
        announcer = model_announcer.ModelAnnouncer("net-worker", services.settings, lambda: epoch)
        announcing = asyncio.create_task(announcer.run(requester))
        yield requester
        announcing.cancel()
        await asyncio.gather(announcing, return_exceptions=True)
        await requester.request("worker.models", {"worker": "net-worker", "models": []})


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_registry, "ANNOUNCED_S", 3.0)


async def test_a_model_is_added_by_an_administrator_and_seen_by_all(
    secured: SecuredServices, worker: BusRequester
) -> None:
    """With the worker that has it, its checksum and labels; others may not add or remove."""
    admin, ada = secured.admin, secured.ada
    for person in (ada, secured.reader):
        refused = await person.post("/v1/models", json={"upload_id": "x", "name": "net"})
        assert refused.status_code == 403
        assert (await person.delete("/v1/models/net")).status_code == 403
    added = await add(admin, "net", archive())
    assert added.status_code == 201, added.text
    model = OfferedModel.model_validate(added.json())
    assert (model.labels, model.voxel_size_A, model.licence_accepted) == ({1: "membrane"}, (10.0, 10.0, 10.0), True)
    assert added.json()["workers"] == ["net-worker"]
    for person in (ada, secured.reader):
        assert await names(person) == ["net"]
        assert (await person.get("/v1/models/net")).json() == added.json()
    async with secured.client(None) as nobody:
        assert (await nobody.get("/v1/models")).status_code == 401
    assert (await ada.get("/v1/models/other")).status_code == 404
    assert (await admin.delete("/v1/models/net")).status_code == 204
    assert await names(ada) == []
    assert (await admin.delete("/v1/models/net")).status_code == 404


async def test_a_licence_is_accepted_before_the_first_job(secured: SecuredServices, worker: BusRequester) -> None:
    """A job is refused until somebody who may submit jobs accepts the licence as it is stated; then it is queued."""
    await add(secured.admin, "net", archive(LICENCE))
    job = {"volume": {"shape": [8, 8, 8]}, "engine": "onnx", "params": {"model": "net"}}
    refused = await secured.ada.post("/v1/jobs", json=job)
    assert (refused.status_code, refused.json()["code"]) == (422, "licence_not_accepted")
    url = "/v1/models/net/accept-licence"
    assert (await secured.reader.post(url, json={"licence": LICENCE})).status_code == 403
    assert (await secured.ada.post(url, json={"licence": "MIT"})).status_code == 409
    assert (await secured.ada.post(url, json={"licence": LICENCE})).json()["licence_accepted"] is True
    submitted = await secured.ada.post("/v1/jobs", json=job)
    assert submitted.status_code == 201, submitted.text
    needed = await secured.admin.delete("/v1/models/net")
    assert needed.status_code == 409
    assert needed.json()["details"]["jobs"] == [submitted.json()["job_id"]]
    assert (await secured.ada.get("/v1/jobs", params={"model": "net"})).json()["jobs"] != []
    await secured.ada.delete(f"/v1/jobs/{submitted.json()['job_id']}")
    assert (await secured.admin.delete("/v1/models/net")).status_code == 204
    gone = await secured.ada.post("/v1/jobs", json=job)
    assert (gone.status_code, gone.json()["code"]) == (422, "unknown_model")


async def test_what_is_no_model_is_refused_and_leaves_nothing(secured: SecuredServices) -> None:
    """Bombs, names that leave the folder, damaged archives and archives without a model; the upload stays usable."""
    hostile = {
        "bomb": archive(files={"zeros": bytes(40 << 20)}),
        "slip": archive(files={"../../evil": b"x"}),
        "cut": archive()[:-30],
        "none": b"PK no archive",
    }
    for name, content in hostile.items():
        reply = await add(secured.admin, name, content)
        assert reply.status_code in {400, 413}, (name, reply.text)
        assert reply.json()["hint"]
    single = await add(secured.admin, "single", b"weights", filename="net.onnx")
    assert (single.status_code, single.json()["code"]) == (400, ErrorCode.BAD_REQUEST)
    for name in ("../net", "a/b", ".net", "net\n", ""):
        assert (await add(secured.admin, name, archive())).status_code == 400
    unknown = {"upload_id": "0b9f5c1e-6f0a-4f3e-9a57-3c1f6f7f2a10", "name": "net"}
    assert (await secured.admin.post("/v1/models", json=unknown)).status_code == 404
    models = secured.services.settings.own_models
    assert [path.name for path in models.iterdir() if path.name != ".checksums"] == []
    assert not list(secured.services.settings.home.rglob("evil"))
    assert await names(secured.ada) == []
    refused = await send(secured.admin, archive())
    assert (await secured.admin.post("/v1/models", json={"upload_id": refused, "name": "."})).status_code == 400
    assert (await secured.admin.post("/v1/models", json={"upload_id": refused, "name": "net"})).status_code == 201
    assert (await secured.admin.get(f"/v1/uploads/{refused}")).status_code == 404
    assert (await secured.admin.delete("/v1/models/net")).status_code == 204


async def test_an_upload_of_somebody_else_or_an_incomplete_one_is_no_model(secured: SecuredServices) -> None:
    """An administrator may use every upload, but only one whose parts are all there."""
    begin = {"filename": "net.zip", "total_size_bytes": 10}
    status = (await secured.ada.post("/v1/uploads/init", json=begin)).json()
    body = {"upload_id": status["upload_id"], "name": "net"}
    reply = await secured.admin.post("/v1/models", json=body)
    assert (reply.status_code, reply.json()["details"]["missing_parts"]) == (409, [0])
    await secured.ada.delete(f"/v1/uploads/{status['upload_id']}")


async def test_of_two_that_add_one_name_one_succeeds(secured: SecuredServices) -> None:
    """The other one gets a conflict, and the model is whole."""
    replies = await asyncio.gather(*(add(secured.admin, "net", archive(str(n))) for n in range(3)))
    assert sorted(reply.status_code for reply in replies) == [201, 409, 409]
    assert await names(secured.admin) == ["net"]
    assert (await secured.admin.delete("/v1/models/net")).status_code == 204
