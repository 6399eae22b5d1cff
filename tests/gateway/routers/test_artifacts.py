"""Output files: whole, in ranges, resumed, and no other files."""

from __future__ import annotations

import hashlib
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest

from cryomamba.testing import DEADLINE_S
from cryomamba.volumes import write_volume
from cryomamba_server.audit import AUDIT

if TYPE_CHECKING:
    from tests.gateway.conftest import Services, Worker

CONTENT = bytes(range(256)) * 40

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def finished(services: Services, worker: Worker) -> str:
    job = await services.submit()
    await worker.finish(await worker.claim(), {"mask.mrc": CONTENT, "empty.bin": b""})
    return f"/v1/jobs/{job.job_id}/artifacts/mask.mrc"


async def test_a_whole_file_has_its_checksum(services: Services, worker: Worker) -> None:
    """The ETag is the SHA-256, and a browser downloads the file."""
    reply = await services.http.get(await finished(services, worker))
    assert (reply.status_code, reply.content) == (200, CONTENT)
    assert reply.headers["ETag"] == f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    assert reply.headers["Accept-Ranges"] == "bytes"
    assert reply.headers["Content-Disposition"] == 'attachment; filename="mask.mrc"'


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_file_is_saved_under_the_name_of_its_tomogram(
    services: Services, worker: Worker, tmp_path: Path, elsewhere: bool
) -> None:
    """As the command line names it, also in other scripts, and by a gateway that has to fetch the file."""
    write_volume(tmp_path / "Zelle ä.rec", np.zeros((4, 8, 8), np.float32), 10.0)
    content = (tmp_path / "Zelle ä.rec").read_bytes()
    uploaded = await services.http.put("/v1/files", params={"filename": "Zelle ä.rec"}, content=content)
    job = await services.submit(volume={"file_id": uploaded.json()["file_id"]}, engine="demo")
    files = {"mask.mrc": "", "mask.nii.gz": "", "scores.mrc": "_scores", "stats.json": "_stats", "picks.star": ""}
    await worker.finish(await worker.claim(), dict.fromkeys(files, CONTENT))
    async with AsyncExitStack() as stack:
        http = services.http
        if elsewhere:
            url = await stack.enter_async_context(services.other_gateway(tmp_path / "elsewhere"))
            http = await stack.enter_async_context(httpx.AsyncClient(base_url=url, trust_env=False, timeout=DEADLINE_S))
        record = (await http.get(f"/v1/jobs/{job.job_id}")).json()
        named = {artifact["name"]: artifact["download_name"] for artifact in record["artifacts"]}
        for name, feature in files.items():
            reply = await http.get(f"/v1/jobs/{job.job_id}/artifacts/{name}")
            ending = name.partition(".")[2]
            assert reply.headers["Content-Disposition"] == (
                f"attachment; filename*=utf-8''Zelle%20%C3%A4__demo{feature}.{ending}"
            )
            assert named[name] == f"Zelle ä__demo{feature}.{ending}"


@pytest.mark.parametrize(
    "range_", [None, "bytes=0-", "bytes=1-", "bytes= 0-", "BYTES=0-", "bytes=-10000", "bytes=0001-", "chars=0-1", "x"]
)
async def test_every_download_is_in_the_audit_log(
    services: Services, worker: Worker, caplog: pytest.LogCaptureFixture, range_: str | None
) -> None:
    """However its range is written, and wherever it begins."""
    caplog.set_level("INFO", AUDIT)
    path = await finished(services, worker)
    reply = await services.http.get(path, headers={} if range_ is None else {"Range": range_})
    assert reply.status_code in {200, 206}
    found = [record for record in caplog.records if record.name == AUDIT and "artifact.download" in record.getMessage()]
    assert [vars(record)["job_id"] for record in found] == [path.split("/")[3]]


@pytest.mark.parametrize(
    ("expected", "start", "stop"),
    [("bytes=0-9", 0, 10), ("bytes=10200-", 10200, None), ("bytes=-5", -5, None), ("BYTES=3-3", 3, 4)],
)
async def test_a_range_is_sent_with_206(
    services: Services, worker: Worker, expected: str, start: int, stop: int | None
) -> None:
    """With exactly the requested bytes."""
    reply = await services.http.get(await finished(services, worker), headers={"Range": expected})
    assert (reply.status_code, reply.content) == (206, CONTENT[start:stop])
    assert reply.headers["Content-Range"].endswith(f"/{len(CONTENT)}")


async def test_invalid_ranges_and_ranges_beyond_the_end(services: Services, worker: Worker) -> None:
    """An invalid range is ignored, as HTTP demands; one beyond the end is a 416 with the size."""
    path = await finished(services, worker)
    for nonsense in ("bytes", "lines=1-2", "bytes=x-y", "bytes=", "bytes=-", "bytes=5-2x"):
        reply = await services.http.get(path, headers={"Range": nonsense})
        assert (reply.status_code, len(reply.content)) == (200, len(CONTENT)), nonsense
    beyond = await services.http.get(path, headers={"Range": "bytes=999999-"})
    assert (beyond.status_code, beyond.json()["code"]) == (416, "range_not_satisfiable")
    assert beyond.headers["Content-Range"] == f"bytes */{len(CONTENT)}"


async def test_if_range_resumes_only_the_same_file(services: Services, worker: Worker) -> None:
    """With the right ETag the rest is sent, with another the whole file."""
    path = await finished(services, worker)
    etag = (await services.http.head(path)).headers["ETag"]
    rest = await services.http.get(path, headers={"Range": "bytes=10-", "If-Range": etag})
    assert (rest.status_code, rest.content) == (206, CONTENT[10:])
    whole = await services.http.get(path, headers={"Range": "bytes=10-", "If-Range": '"other"'})
    assert (whole.status_code, whole.content) == (200, CONTENT)


async def test_a_file_that_the_client_has_is_not_sent_again(services: Services, worker: Worker) -> None:
    """If-None-Match with its ETag gives 304, with HEAD too; another ETag the file."""
    path = await finished(services, worker)
    etag = (await services.http.head(path)).headers["ETag"]
    for method in ("GET", "HEAD"):
        same = await services.http.request(method, path, headers={"If-None-Match": f'"other", {etag}'})
        assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", etag)
    other = await services.http.get(path, headers={"If-None-Match": '"other"'})
    assert (other.status_code, other.content) == (200, CONTENT)


async def test_a_file_that_is_not_the_expected_one_is_refused(services: Services, worker: Worker) -> None:
    """If-Match with another ETag, or a weak one, gives 412 and names the header; with the right one it is sent."""
    path = await finished(services, worker)
    etag = (await services.http.head(path)).headers["ETag"]
    for right in (etag, f'"other", {etag}', "*"):
        assert (await services.http.get(path, headers={"If-Match": right})).content == CONTENT
    for wrong in ('"other"', f"W/{etag}"):
        refused = await services.http.get(path, headers={"If-Match": wrong, "Range": "bytes=10-"})
        assert (refused.status_code, refused.json()["code"]) == (412, "precondition_failed")
        assert "If-Match" in refused.json()["message"]


@pytest.mark.parametrize("name", ["other.bin", "..%2F..%2Fjobs.sqlite", "%2e%2e", "mask.mrc%00", "a\\b"])
async def test_only_listed_files_exist(services: Services, worker: Worker, name: str) -> None:
    """Other files beside the listed ones, or elsewhere, do not exist."""
    path = (await finished(services, worker)).removesuffix("mask.mrc")
    (services.settings.artifacts / path.split("/")[3] / "other.bin").write_bytes(b"not listed")
    reply = await services.http.get(path + name)
    assert (reply.status_code, reply.json()["code"]) == (404, "not_found")


async def test_a_link_is_not_followed(services: Services, worker: Worker, tmp_path: Path) -> None:
    """A listed file that was replaced with a link is not sent."""
    path = await finished(services, worker)
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * len(CONTENT))
    stored = services.settings.artifacts / path.split("/")[3] / "mask.mrc"
    stored.unlink()
    stored.symlink_to(secret)
    reply = await services.http.get(path)
    assert (reply.status_code, reply.json()["code"]) == (404, "not_found")


async def test_files_of_another_machine_are_sent_over_the_bus(
    services: Services, worker: Worker, tmp_path: Path
) -> None:
    """A gateway without access to the broker's disk streams the file."""
    path = await finished(services, worker)
    async with (
        services.other_gateway(tmp_path / "elsewhere") as url,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=DEADLINE_S) as http,
    ):
        reply = await http.get(path)
        assert (reply.status_code, reply.content) == (200, CONTENT)
        assert reply.headers["Accept-Ranges"] == "none"
        assert (await http.head(path)).headers["Content-Length"] == str(len(CONTENT))


async def test_an_empty_file_is_sent(services: Services, worker: Worker) -> None:
    """No bytes, and no error."""
    path = (await finished(services, worker)).replace("mask.mrc", "empty.bin")
    reply = await services.http.get(path)
    assert (reply.status_code, reply.content) == (200, b"")
