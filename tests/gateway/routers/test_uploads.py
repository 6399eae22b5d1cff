"""Uploads over HTTP, as curl and the client send them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from cryomamba.client import AsyncClient, aconnect
from cryomamba.client.upload import PART_BYTES
from cryomamba.errors import AccessError, CryoMambaError, ErrorCode, InvalidRequestError, VolumeError
from cryomamba.testing import wait_until_async
from cryomamba.volumes import write_volume
from cryomamba_server.tokens import Scope, TokenStore

if TYPE_CHECKING:
    from tests.gateway.conftest import Services, Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

UNKNOWN = "00000000-0000-4000-8000-000000000000"
CHUNK = 2048


@pytest.fixture
def tomogram(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A small volume, another one in each test."""
    path = tmp_path / "ts.mrc"
    rng = np.random.default_rng(sum(request.node.name.encode()))
    write_volume(path, rng.normal(size=(10, 16, 20)).astype(np.float32), 9.0)
    return path


@pytest.fixture
def content(tomogram: Path) -> bytes:
    """Its bytes."""
    return tomogram.read_bytes()


async def begin_upload(services: Services, content: bytes, **more: object) -> dict[str, Any]:
    fields = {"filename": "../ts.mrc", "total_size": len(content), "chunk_size": CHUNK, **more}
    reply = await services.http.post("/v1/uploads/init", json=fields)
    assert reply.status_code == 201, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def test_a_tomogram_in_parts_becomes_a_job(services: Services, worker: Worker, content: bytes) -> None:
    """Start, send out of order, check the status, complete, submit: with the documented status codes."""
    upload = await begin_upload(services, content)
    assert upload["filename"] == "ts.mrc"
    assert len(upload["chunk_urls"]) == upload["part_count"] == -(-len(content) // CHUNK)
    for index in reversed(range(1, upload["part_count"])):
        part = content[index * CHUNK :][:CHUNK]
        receipt = (await services.http.put(upload["chunk_urls"][index], content=part)).json()
        assert receipt["etag"] == hashlib.sha256(part).hexdigest()
        assert (receipt["part_number"], receipt["received_bytes"]) == (index, len(part))
    status = (await services.http.get(f"/v1/uploads/{upload['upload_id']}")).json()
    assert status["received_parts"] == list(range(1, upload["part_count"]))
    early = await services.http.post(f"/v1/uploads/{upload['upload_id']}/complete")
    assert (early.status_code, early.json()["details"]["missing_parts"]) == (409, [0])
    assert (await services.http.put(upload["chunk_urls"][0], content=content[:CHUNK])).status_code == 200
    assert (await services.http.put(upload["chunk_urls"][0], content=content[:CHUNK])).status_code == 200
    assert (await services.http.put(upload["chunk_urls"][0], content=bytes(CHUNK))).status_code == 409
    file = (await services.http.post(f"/v1/uploads/{upload['upload_id']}/complete")).json()
    assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert file["metadata"]["shape"] == [10, 16, 20]
    assert str(services.settings.home) not in str(file)
    assert file["file_id"] in {found["file_id"] for found in (await services.http.get("/v1/files")).json()["files"]}
    job = await services.submit(volume={"file_id": file["file_id"]})
    assert (job.volume.name, job.volume.shape, job.volume.path) == ("ts.mrc", (10, 16, 20), None)
    assert (await worker.claim()).volume.file_id == file["file_id"]
    assert (await services.http.delete(f"/v1/files/{file['file_id']}")).status_code == 204
    gone = await services.http.post("/v1/jobs", json={"volume": {"file_id": file["file_id"]}})
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")


async def test_an_interrupted_put_can_be_resumed(services: Services, tmp_path: Path) -> None:
    """With a checksum the received parts are kept: another client sends the rest, and a second PUT finds the file."""
    path = tmp_path / "large.mrc"
    write_volume(path, np.random.default_rng(6).normal(size=(20, 512, 512)).astype(np.float32), 9.0)
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    host, _, port = services.url.removeprefix("http://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = f"PUT /v1/files/large.mrc?sha256={digest} HTTP/1.1\r\nHost: {host}\r\n"
    head += f"Content-Length: {len(content)}\r\n\r\n"
    writer.write(head.encode() + content[: 2 * PART_BYTES + 1000])
    await writer.drain()
    upload = await begin_upload(services, content, chunk_size=PART_BYTES, sha256=digest)

    async def two_parts() -> bool:
        status = (await services.http.get(f"/v1/uploads/{upload['upload_id']}")).json()
        return bool(status["received_parts"] == [0, 1])

    await wait_until_async(two_parts, what="two parts to be there")
    writer.transport.abort()
    reported: list[int] = []
    async with await aconnect(services.url) as client:
        file = await client.upload(path, progress=lambda done, _total: reported.append(done))
    assert (file.file_id, file.sha256) == (upload["upload_id"], digest)
    assert reported[0] == 2 * PART_BYTES
    again = await services.http.put("/v1/files", params={"sha256": digest}, content=content)
    assert (again.status_code, again.json()["file_id"]) == (201, file.file_id)


async def test_a_file_in_one_request(services: Services, content: bytes) -> None:
    """A single PUT is enough; without a length, or if it is not a volume, nothing is kept."""
    reply = await services.http.put("/v1/files", params={"filename": "a/b.mrc"}, content=content)
    assert (reply.status_code, reply.json()["filename"]) == (201, "b.mrc")
    named = await services.http.put("/v1/files/tomo%20gram.mrc", content=content)
    assert (named.status_code, named.json()["filename"]) == (201, "tomo gram.mrc")
    before = (await services.http.get("/v1/files")).json()
    digest = {"sha256": "0" * 64}
    assert (await services.http.put("/v1/files", params=digest, content=content)).status_code == 409
    assert (await services.http.put("/v1/files", content=b"no volume")).status_code == 422

    async def chunked() -> AsyncIterator[bytes]:
        yield content

    assert (await services.http.put("/v1/files", content=chunked())).status_code == 400
    assert (await services.http.get("/v1/files")).json() == before
    assert not list((services.settings.uploads / "incoming").iterdir())


async def test_invalid_parts_are_refused(services: Services, content: bytes) -> None:
    """Each kind of invalid part has its status, and none leaves a trace."""
    upload = await begin_upload(services, content)
    urls = upload["chunk_urls"]
    assert (await services.http.put(urls[0], content=b"short")).status_code == 400
    assert (await services.http.put(urls[0], content=bytes(CHUNK + 1))).status_code == 413
    assert (await services.http.put(urls[0].replace("part/0", "part/99"), content=b"x")).status_code == 400
    assert (await services.http.put(urls[0].replace("part/0", "part/-1"), content=b"x")).status_code == 400
    assert (await services.http.put(urls[0].replace("part/0", "part/x"), content=b"x")).status_code == 404
    for name in (UNKNOWN, "..%2F..%2Fkeys", "%2e%2e", "a%00b", "incoming"):
        assert (await services.http.put(f"/v1/uploads/{name}/part/0", content=b"x")).status_code == 404
        assert (await services.http.get(f"/v1/uploads/{name}")).status_code == 404
        assert (await services.http.delete(f"/v1/files/{name}")).status_code == 404
    for wrong in (
        {"filename": "x"},
        {"filename": "", "total_size_bytes": 1},
        {"filename": "x", "total_size_bytes": 0},
        {"filename": "x", "total_size_bytes": 10, "path": "/etc"},
        {"filename": "x", "total_size_bytes": 10, "sha256": "zz"},
    ):
        assert (await services.http.post("/v1/uploads/init", json=wrong)).status_code == 400
    huge = {"filename": "x", "total_size_bytes": 10**15}
    assert (await services.http.post("/v1/uploads/init", json=huge)).status_code == 413
    assert (await services.http.get(f"/v1/uploads/{upload['upload_id']}")).json()["received_parts"] == []
    assert (await services.http.delete(f"/v1/uploads/{upload['upload_id']}")).status_code == 204
    assert (await services.http.get(f"/v1/uploads/{upload['upload_id']}")).status_code == 404


async def test_a_full_disk_is_reported_before_the_upload(idle_services: Services) -> None:
    """With status 507."""
    await idle_services.start_gateway(disk_reserve=2**60)
    body = {"filename": "x", "total_size_bytes": 1000}
    reply = await idle_services.http.post("/v1/uploads/init", json=body)
    assert (reply.status_code, reply.json()["code"]) == (507, "insufficient_storage")


async def connected(services: Services) -> AsyncClient:
    return await aconnect(services.url)


async def test_the_client_sends_a_file_once(
    services: Services, tomogram: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Progress reaches the whole size, the same file again is not sent, and a file that is not a volume is an error."""
    reported: list[tuple[int, int]] = []
    read: list[tuple[int, int, int]] = []
    size = len(content)
    monkeypatch.setattr("cryomamba.client.upload.READ_BYTES", size // 3)
    async with await connected(services) as client:
        first = await client.upload(
            tomogram,
            progress=lambda done, total: reported.append((done, total)),
            reading=lambda done, total: read.append((done, total, len(reported))),
        )
        assert [done for done, _, _ in read][:3] == [size // 3, 2 * (size // 3), 3 * (size // 3)]
        assert read[-1] == (size, size, 0)
        assert reported[0] == (0, size)
        assert reported[-1] == (size, size)
        assert first.sha256 == hashlib.sha256(content).hexdigest()
        assert await client.upload(tomogram) == first
        (tomogram.parent / "no.mrc").write_bytes(b"not a volume" * 200)
        with pytest.raises(VolumeError):
            await client.upload(tomogram.parent / "no.mrc")
        with pytest.raises(VolumeError):
            await client.upload(tomogram.parent / "missing.mrc")


async def test_an_upload_survives_restarts_of_gateway_and_client(
    idle_services: Services, tomogram: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the gateway was stopped, and with a client in another process, only the rest is sent."""
    monkeypatch.setattr("cryomamba.client.upload.PART_BYTES", CHUNK)
    services = idle_services
    total = len(content)
    sent: list[int] = []
    async with services.running(services.settings) as url:
        port = int(url.rpartition(":")[2])
        async with await aconnect(url) as client:
            halfway = asyncio.Event()

            def note(done: int, _total: int) -> None:
                if done >= total // 2:
                    halfway.set()

            going = asyncio.ensure_future(client.upload(tomogram, progress=note, parallel=1))
            await halfway.wait()
            going.cancel()
            await asyncio.gather(going, return_exceptions=True)
    settings = services.settings.model_copy(update={"gateway_port": port})
    async with await aconnect(f"http://127.0.0.1:{port}") as client:
        going = asyncio.ensure_future(client.upload(tomogram, progress=lambda done, _: sent.append(done)))
        await asyncio.wait({going}, timeout=0.2)
        async with services.running(settings):
            record = await going
    assert record.sha256 == hashlib.sha256(content).hexdigest()
    assert sent[0] >= total // 2


async def test_the_bus_accepts_no_files(services: Services, tomogram: Path) -> None:
    """A client on the bus gets a hint to use a gateway."""
    async with await aconnect(services.broker.endpoints.jobs) as client:
        with pytest.raises(InvalidRequestError):
            await client.upload(tomogram)


async def test_a_client_with_a_token(services_class: type[Services], tmp_path: Path, tomogram: Path) -> None:
    """It uploads, submits and follows a job; without a token the error says where to get one."""
    async with AsyncExitStack() as stack:
        services = services_class(tmp_path / "home", stack)
        stack.push_async_callback(services.stop_broker)
        token, _ = TokenStore(services.settings.keys).create("ada", [Scope.WRITE], days=1)
        await services.start_broker()
        await services.start_gateway()
        worker = await services.start_worker()
        async with await aconnect(services.url) as anonymous:
            with pytest.raises(AccessError) as caught:
                await anonymous.jobs()
            assert caught.value.code is ErrorCode.UNAUTHORIZED
            assert "CRYOMAMBA_TOKEN" in caught.value.hint
        client = await stack.enter_async_context(await aconnect(services.url, token=f" {token}\n"))
        file = await client.upload(tomogram)
        assert file.owner == "ada"
        job = await client.submit(file_id=file.file_id)
        assert job.record.owner == "ada"
        waiting = asyncio.ensure_future(job.wait())
        await worker.finish(await worker.claim(), {"mask.mrc": b"mask"})
        assert (await waiting).state == "completed"
        assert (await client.download(job.job_id, to=tmp_path / "mask.mrc")).read_bytes() == b"mask"
        with pytest.raises(CryoMambaError) as wrong:
            await aconnect(services.url, token="not a token")
        assert "not a token" not in str(wrong.value)
