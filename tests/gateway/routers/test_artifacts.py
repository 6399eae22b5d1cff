"""Finished files: whole, in parts, resumed, and never anything else."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from tests.gateway.conftest import Services, Worker

CONTENT = bytes(range(256)) * 40

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def finished(services: Services, worker: Worker) -> str:
    job = await services.submit()
    await worker.finish(await worker.claim(), {"mask.mrc": CONTENT, "empty.bin": b""})
    return f"/v1/jobs/{job.job_id}/artifacts/mask.mrc"


async def test_a_file_comes_whole_with_its_hash(services: Services, worker: Worker) -> None:
    """The ETag is the SHA-256, and a browser takes it for a download."""
    reply = await services.http.get(await finished(services, worker))
    assert (reply.status_code, reply.content) == (200, CONTENT)
    assert reply.headers["ETag"] == f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    assert reply.headers["Accept-Ranges"] == "bytes"
    assert 'filename="mask.mrc"' in reply.headers["Content-Disposition"]


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [("bytes=0-9", 0, 10), ("bytes=10200-", 10200, None), ("bytes=-5", -5, None), ("BYTES=3-3", 3, 4)],
)
async def test_a_part_comes_as_206(
    services: Services, worker: Worker, wanted: str, start: int, stop: int | None
) -> None:
    """With the bytes that were asked for."""
    reply = await services.http.get(await finished(services, worker), headers={"Range": wanted})
    assert (reply.status_code, reply.content) == (206, CONTENT[start:stop])
    assert reply.headers["Content-Range"].endswith(f"/{len(CONTENT)}")


async def test_ranges_that_are_none_and_ranges_beyond_the_end(services: Services, worker: Worker) -> None:
    """Nonsense is ignored, as HTTP asks for; a range beyond the end is a 416 with the size."""
    path = await finished(services, worker)
    for nonsense in ("bytes", "lines=1-2", "bytes=x-y", "bytes=", "bytes=-", "bytes=5-2x"):
        reply = await services.http.get(path, headers={"Range": nonsense})
        assert (reply.status_code, len(reply.content)) == (200, len(CONTENT)), nonsense
    beyond = await services.http.get(path, headers={"Range": "bytes=999999-"})
    assert (beyond.status_code, beyond.json()["code"]) == (416, "range_not_satisfiable")
    assert beyond.headers["Content-Range"] == f"bytes */{len(CONTENT)}"


async def test_if_range_resumes_only_the_same_file(services: Services, worker: Worker) -> None:
    """The right ETag gives the rest, another one the whole file."""
    path = await finished(services, worker)
    etag = (await services.http.head(path)).headers["ETag"]
    rest = await services.http.get(path, headers={"Range": "bytes=10-", "If-Range": etag})
    assert (rest.status_code, rest.content) == (206, CONTENT[10:])
    whole = await services.http.get(path, headers={"Range": "bytes=10-", "If-Range": '"other"'})
    assert (whole.status_code, whole.content) == (200, CONTENT)


@pytest.mark.parametrize("name", ["other.bin", "..%2F..%2Fjobs.sqlite", "%2e%2e", "mask.mrc%00", "a\\b"])
async def test_only_listed_files_exist(services: Services, worker: Worker, name: str) -> None:
    """A file that lies beside the listed ones, or anywhere else, is not there."""
    path = (await finished(services, worker)).removesuffix("mask.mrc")
    (services.settings.artifacts / path.split("/")[3] / "other.bin").write_bytes(b"not listed")
    reply = await services.http.get(path + name)
    assert (reply.status_code, reply.json()["code"]) == (404, "not_found")


async def test_a_link_is_not_followed(services: Services, worker: Worker, tmp_path: Path) -> None:
    """A listed file that somebody replaced by a link to another is not sent."""
    path = await finished(services, worker)
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * len(CONTENT))
    stored = services.settings.artifacts / path.split("/")[3] / "mask.mrc"
    stored.unlink()
    stored.symlink_to(secret)
    reply = await services.http.get(path)
    assert (reply.status_code, reply.json()["code"]) == (404, "not_found")


async def test_files_of_another_machine_come_through_the_bus(
    services: Services, worker: Worker, tmp_path: Path
) -> None:
    """A gateway that does not share the broker's disk streams the file all the same."""
    path = await finished(services, worker)
    async with (
        services.other_gateway(tmp_path / "elsewhere") as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as http,
    ):
        reply = await http.get(path)
        assert (reply.status_code, reply.content) == (200, CONTENT)
        assert reply.headers["Accept-Ranges"] == "none"
        assert (await http.head(path)).headers["Content-Length"] == str(len(CONTENT))


async def test_an_empty_file_is_a_file(services: Services, worker: Worker) -> None:
    """No bytes, and no error."""
    path = (await finished(services, worker)).replace("mask.mrc", "empty.bin")
    reply = await services.http.get(path)
    assert (reply.status_code, reply.content) == (200, b"")
