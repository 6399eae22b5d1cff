"""How a tomogram gets to the server: by its path, or by an upload where the server cannot see it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import pytest_asyncio

from cryomamba.client import AsyncClient, aconnect, calls
from cryomamba.client.submit import submit
from cryomamba.errors import ConflictError, ErrorCode, InvalidRequestError, NotFoundError, VolumeError
from cryomamba.models.base import Record
from cryomamba.models.jobs import JobState, SubmitRequest, VolumeSource
from cryomamba.models.masks import MaskSource
from cryomamba.volumes import write_volume

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.gateway.conftest import Services, Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def gateway(services: Services, worker: Worker) -> AsyncIterator[AsyncClient]:
    async with await aconnect(services.url) as client:
        yield client


@pytest.fixture
def make_tomogram() -> Callable[..., Path]:
    """Write a small tomogram into a folder, of other content in each."""

    def make(folder: Path, shape: tuple[int, int, int] = (4, 6, 8)) -> Path:
        folder.mkdir(exist_ok=True)
        path = folder / "t1.mrc"
        write_volume(path, np.random.default_rng(len(folder.name)).standard_normal(shape, np.float32), 10.0)
        return path

    return make


async def test_a_file_that_the_server_can_read_is_not_uploaded(
    gateway: AsyncClient, services: Services, make_tomogram: Callable[..., Path]
) -> None:
    """It is submitted by its absolute path."""
    path = make_tomogram(services.settings.home.parent / "seen")
    job = await gateway.submit(path)
    assert job.record.volume.path == str(path)
    assert job.record.volume.shape == (4, 6, 8)


async def test_a_file_that_the_server_cannot_read_is_uploaded(
    gateway: AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_tomogram: Callable[..., Path]
) -> None:
    """By default, with progress; 'never' raises what the server said, and a relative path works."""
    path = make_tomogram(tmp_path / "hidden")
    monkeypatch.chdir(path.parent)
    sent: list[tuple[int, int]] = []
    with pytest.raises(InvalidRequestError) as refused:
        await gateway.submit("t1.mrc", upload="never")
    assert refused.value.code is ErrorCode.PATH_FORBIDDEN
    job = await gateway.submit("t1.mrc", name="mine", progress=lambda done, total: sent.append((done, total)))
    file = next(file for file in await gateway.files() if file.file_id == job.record.volume.file_id)
    assert (file.filename, job.name) == ("t1.mrc", "mine")
    assert sent[-1] == (file.size_bytes, file.size_bytes)
    await job.cancel()
    await gateway.delete(file)
    assert file.file_id not in {found.file_id for found in await gateway.files()}


async def test_always_uploads(gateway: AsyncClient, services: Services, make_tomogram: Callable[..., Path]) -> None:
    """Also a file that the server could read."""
    job = await gateway.submit(make_tomogram(services.settings.home.parent / "both"), upload="always")
    assert job.record.volume.file_id is not None


async def test_another_file_under_the_same_path_is_noticed(
    gateway: AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch, make_tomogram: Callable[..., Path]
) -> None:
    """Its shape tells: the job on the wrong file is cancelled, and the right one is uploaded if that is allowed."""
    path = make_tomogram(services.settings.home.parent / "elsewhere", (4, 6, 8))
    real = gateway.transport.call

    async def replaced(call: calls.Call[Record]) -> Record:
        # Between the look at the header here and the server's, as if the folder were another one there.
        if call.http is not None and call.http.method == "POST" and "path" in str(call.http.json):
            make_tomogram(path.parent, (5, 6, 8))
        return await real(call)

    monkeypatch.setattr(gateway.transport, "call", replaced)
    with pytest.raises(ConflictError) as other:
        await gateway.submit(path, upload="never")
    assert other.value.code is ErrorCode.VOLUME_NOT_FOUND
    assert (await gateway.jobs(limit=1))[0].state is JobState.CANCELLED


async def test_a_missing_file_is_reported(gateway: AsyncClient, services: Services, tmp_path: Path) -> None:
    """By the server, whose path it may be; by this machine if it is to be uploaded."""
    with pytest.raises(VolumeError) as missing:
        await gateway.submit(services.settings.home.parent / "nothing.mrc")
    assert missing.value.code is ErrorCode.VOLUME_NOT_FOUND
    with pytest.raises(VolumeError):
        await gateway.submit(tmp_path / "nothing.mrc", upload="always")


async def test_a_direct_connection_takes_no_files(
    services: Services, tmp_path: Path, make_tomogram: Callable[..., Path]
) -> None:
    """'always' is refused with the way out; 'auto' raises what the broker said."""
    path = make_tomogram(tmp_path / "hidden")
    async with await aconnect(services.broker.endpoints.jobs) as bus:
        with pytest.raises(InvalidRequestError, match="gateway"):
            await bus.submit(path, upload="always")
        with pytest.raises(InvalidRequestError) as refused:
            await bus.submit(path)
        assert refused.value.code is ErrorCode.PATH_FORBIDDEN
        with pytest.raises(InvalidRequestError, match="gateway"):
            await bus.files()


def write_mask(folder: Path, shape: tuple[int, int, int] = (4, 6, 8), voxel_A: float = 10.0) -> Path:
    folder.mkdir(exist_ok=True)
    write_volume(folder / "lamella.mrc", np.ones(shape, np.float32), voxel_A)
    return folder / "lamella.mrc"


async def test_a_mask_goes_the_same_ways_as_the_tomogram(
    client: AsyncClient, services: Services, worker: Worker, tmp_path: Path, make_tomogram: Callable[..., Path]
) -> None:
    """By its path where the server can read it; else it alone is uploaded, over HTTP, or refused, over the bus."""
    seen = services.settings.home.parent / "masked"
    path, mask = make_tomogram(seen), write_mask(seen)
    job = await client.submit(path, within=mask)
    assert job.record.within is not None
    assert (job.record.within.name, job.record.within.path) == ("lamella.mrc", str(mask))
    hidden = write_mask(tmp_path / "hidden")
    if not client.transport.takes_files:
        with pytest.raises(InvalidRequestError) as refused:
            await client.submit(path, within=hidden)
        assert refused.value.code is ErrorCode.PATH_FORBIDDEN
        return
    job = await client.submit(path, within=hidden)
    assert job.record.volume.path == str(path)
    assert job.record.within is not None
    assert job.record.within.file_id in {file.file_id for file in await client.files()}
    both = await client.submit(make_tomogram(tmp_path / "hidden"), within=hidden)
    assert both.record.volume.file_id is not None
    assert both.record.within is not None
    known = await client.submit(path, within=MaskSource(file_id=both.record.within.file_id))
    assert known.record.within == both.record.within


async def test_a_mask_that_does_not_fit_is_refused(
    client: AsyncClient, services: Services, worker: Worker, make_tomogram: Callable[..., Path]
) -> None:
    """Another shape or voxel size, densities, a missing file and a job without a mask make no job."""
    seen = services.settings.home.parent / "unfit"
    path, newest = make_tomogram(seen), (await client.jobs(limit=1))[:1]
    for shape, voxel_A, message in (((4, 6, 9), 10.0, "4 × 6 × 9 voxels"), ((4, 6, 8), 20.0, "20 × 20 × 20 Å")):
        with pytest.raises(InvalidRequestError, match=message) as refused:
            await client.submit(path, within=write_mask(seen, shape, voxel_A))
        assert refused.value.code is ErrorCode.INVALID_PARAMETERS
        assert refused.value.hint
        assert refused.value.details["fields"][0]["field"] == "within"
    with pytest.raises(VolumeError, match="densities"):
        await client.submit(path, within=path)
    with pytest.raises(VolumeError) as missing:
        await client.submit(path, within=seen / "nothing.mrc")
    assert missing.value.code is ErrorCode.VOLUME_NOT_FOUND
    pending = await client.submit(path)
    with pytest.raises(NotFoundError, match="has no mask"):
        await client.submit(path, within=MaskSource(job_id=pending.job_id))
    await pending.cancel()
    assert [job.job_id for job in (await client.jobs(limit=2))[1:]] == [job.job_id for job in newest]


async def test_a_job_without_a_mask_is_sent_as_before() -> None:
    """An older server, which refuses unknown fields, is sent none."""
    request = SubmitRequest(volume=VolumeSource(shape=(8, 8, 8)))
    assert "within" not in request.model_dump(mode="json")
    http = calls.submit_job(request).http
    assert http is not None
    assert http.json is not None
    assert "within" not in http.json


async def test_a_submit_that_is_cancelled_leaves_no_job(gateway: AsyncClient) -> None:
    """Whoever presses Ctrl-C while the request is on its way has submitted nothing."""
    request = SubmitRequest(volume=VolumeSource(shape=(8, 8, 8)), client_key="cancelled")
    submitting = asyncio.ensure_future(submit(gateway.transport, request))
    await asyncio.sleep(0)
    submitting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await submitting
    newest = (await gateway.jobs(limit=1))[0]
    assert newest.state is JobState.CANCELLED
