"""Revisions of masks: stored with their job, for its owner only, over both transports."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import mrcfile
import numpy as np
import pytest
from tests import mask_flavours

from cryomamba.client import AsyncClient, aconnect
from cryomamba.engines.artifacts import revision_number
from cryomamba.errors import ConflictError, CryoMambaError, ErrorCode, InvalidRequestError, NotFoundError, VolumeError
from cryomamba.models.jobs import JobRecord
from cryomamba.volumes import LabelVolume, open_volume
from cryomamba_broker.store.revisions import REVISIONS_MAX
from cryomamba_server.tokens import Scope, TokenStore

if TYPE_CHECKING:
    from tests.gateway.conftest import Services, Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

SHAPE = (4, 6, 8)


@pytest.fixture
def folder(services: Services, tmp_path: Path) -> Path:
    """A folder that the services may read."""
    made = services.settings.roots[0] / tmp_path.name
    made.mkdir()
    return made


def mask_file(path: Path, label: float, shape: tuple[int, ...] = SHAPE, dtype: type = np.int8) -> Path:
    with mrcfile.new(path, np.full(shape, label, dtype), overwrite=True) as file:
        file.voxel_size = 10.0
    return path


async def completed(client: AsyncClient, worker: Worker, folder: Path) -> JobRecord:
    """A job whose mask is there."""
    record = await client.submit(shape=SHAPE)
    first = mask_file(folder / "first.mrc", 1).read_bytes()
    await worker.finish(await worker.claim(), {"mask.mrc": first})
    return await client.record(record.job_id)


@pytest.mark.parametrize("transport", ["gateway", "bus"])
async def test_a_revision_is_added_to_the_original(
    services: Services, worker: Worker, folder: Path, transport: str
) -> None:
    """Each new content is another file with its checksum; the same content again changes nothing."""
    url = services.url if transport == "gateway" else services.broker.endpoints.jobs
    uploads = (await services.http.get("/v1/files")).json()["files"]
    async with await aconnect(url) as client:
        job = await completed(client, worker, folder)
        edited, again = mask_file(folder / "a.mrc", 2), mask_file(folder / "b.mrc", 3, dtype=np.uint16)
        sent: list[tuple[int, int]] = []
        record = await client.revise(job.job_id, edited, note="holes filled", progress=lambda *far: sent.append(far))
        assert record.newest_mask == "mask_r1.mrc"
        assert (record.history[-1].type, record.history[-1].reason) == ("job_revised", "holes filled")
        assert transport == "bus" or sent[-1] == (edited.stat().st_size,) * 2
        await client.revise(job.job_id, edited)
        record = await client.revise(job.job_id, again)
        assert [artifact.name for artifact in record.revisions] == ["mask_r1.mrc", "mask_r2.mrc"]
        for path, artifact in zip((edited, again), record.revisions, strict=True):
            got = await client.download(job.job_id, artifact.name, folder / f"got-{artifact.name}")
            assert got.read_bytes() == path.read_bytes()
        first = await client.download(job.job_id, to=folder / "got.mrc")
        assert first.read_bytes() == (folder / "first.mrc").read_bytes()
    files = sorted(path.name for path in (services.settings.artifacts / job.job_id).iterdir())
    assert files == ["mask.mrc", "mask_r1.mrc", "mask_r2.mrc"]
    assert (await services.http.get("/v1/files")).json()["files"] == uploads


async def test_a_refused_file_is_called_by_its_own_name(services: Services, worker: Worker, folder: Path) -> None:
    """Whether it was uploaded or is read by its path: not by the name under which the server stores it."""
    densities = mask_file(folder / "tomogram.mrc", 0.5, dtype=np.float32)
    for url in (services.url, services.broker.endpoints.jobs):
        async with await aconnect(url) as client:
            job = await completed(client, worker, folder)
            with pytest.raises(VolumeError) as refused:
                await client.revise(job.job_id, densities)
        assert refused.value.message == "tomogram.mrc holds densities, not labels."


@pytest.mark.parametrize("transport", ["gateway", "bus"])
async def test_invalid_revisions_are_refused(services: Services, worker: Worker, folder: Path, transport: str) -> None:
    """Another shape, densities, a forbidden folder, an unfinished or unknown job: an error that changes nothing."""
    url = services.url if transport == "gateway" else services.broker.endpoints.jobs
    good = mask_file(folder / "good.mrc", 2)
    async with await aconnect(url) as client:
        job = await completed(client, worker, folder)
        with pytest.raises(VolumeError, match="4×6×9"):
            await client.revise(job.job_id, mask_file(folder / "wide.mrc", 1, (4, 6, 9)))
        with pytest.raises(VolumeError, match="densities"):
            await client.revise(job.job_id, mask_file(folder / "density.mrc", 0.5, dtype=np.float32))
        waiting = await client.submit(shape=SHAPE)
        with pytest.raises(ConflictError, match="pending"):
            await client.revise(waiting.job_id, good)
        with pytest.raises(NotFoundError):
            await client.revise("00000000-0000-0000-0000-000000000000", good)
    assert [path.name for path in (services.settings.artifacts / job.job_id).iterdir()] == ["mask.mrc"]


@pytest.mark.parametrize("transport", ["gateway", "bus"])
async def test_revisions_are_masks_as_everywhere(
    services: Services, worker: Worker, folder: Path, transport: str
) -> None:
    """A mask in any flavour is a revision, its bytes unchanged; others are refused in the same words as elsewhere."""
    url = services.url if transport == "gateway" else services.broker.endpoints.jobs
    async with await aconnect(url) as client:
        job = await completed(client, worker, folder)
        for number, flavour in enumerate(mask_flavours.GOOD):
            sent = mask_flavours.write(folder / f"{number}.mrc", flavour)
            record = await client.revise(job.job_id, sent)
            got = await client.download(job.job_id, record.newest_mask or "", folder / f"got-{number}.mrc")
            assert got.read_bytes() == sent.read_bytes()
        for flavour in mask_flavours.REFUSED:
            bad = mask_flavours.write(folder / "bad.mrc", flavour)
            with pytest.raises(VolumeError) as caught:
                await client.revise(job.job_id, bad)
            with open_volume(bad) as volume, pytest.raises(VolumeError) as locally:
                LabelVolume.of(volume)
            assert caught.value.code == ErrorCode.VOLUME_UNSUPPORTED
            assert caught.value.message.partition(" ")[2] == locally.value.message.partition(" ")[2]


async def test_a_path_must_be_in_an_allowed_input_directory(
    services: Services, worker: Worker, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The server copies no file from another folder, and none through a link."""
    outside = mask_file(tmp_path_factory.mktemp("elsewhere") / "m.mrc", 1)
    (folder / "link.mrc").symlink_to(outside)
    async with await aconnect(services.broker.endpoints.jobs) as client:
        job = await completed(client, worker, folder)
        for path in (outside, folder / "link.mrc"):
            with pytest.raises(InvalidRequestError) as caught:
                await client.revise(job.job_id, path)
            assert caught.value.code is ErrorCode.PATH_FORBIDDEN


async def test_only_the_owner_may_revise(services_class: type[Services], tmp_path: Path) -> None:
    """Jobs and uploads of another owner do not exist, and the scope 'read' is not enough."""
    async with AsyncExitStack() as stack:
        services = services_class(tmp_path / "home", stack)
        stack.push_async_callback(services.stop_broker)
        tokens = TokenStore(services.settings.keys)
        keys = {
            (who, scope): tokens.create(who, [scope], days=1)[0]
            for who, scope in (("ada", Scope.WRITE), ("ada", Scope.READ), ("bob", Scope.WRITE))
        }
        await services.start_broker()
        await services.start_gateway()
        worker = await services.start_worker()
        clients = {
            key: await stack.enter_async_context(await aconnect(services.url, token=token))
            for key, token in keys.items()
        }
        ada, bob = clients["ada", Scope.WRITE], clients["bob", Scope.WRITE]
        job = await completed(ada, worker, tmp_path)
        edited = mask_file(tmp_path / "a.mrc", 2)
        with pytest.raises(NotFoundError):
            await bob.revise(job.job_id, edited)
        with pytest.raises(CryoMambaError) as caught:
            await clients["ada", Scope.READ].revise(job.job_id, edited)
        assert caught.value.code is ErrorCode.FORBIDDEN
        others = await bob.upload(mask_file(tmp_path / "b.mrc", 3))
        headers = {"Authorization": f"Bearer {keys['ada', Scope.WRITE]}"}
        body = {"file_id": others.file_id}
        reply = await services.http.put(f"/v1/jobs/{job.job_id}/revisions", json=body, headers=headers)
        assert reply.status_code == 404
        assert (await ada.revise(job.job_id, edited)).newest_mask == "mask_r1.mrc"


async def test_revisions_are_limited(services: Services, worker: Worker, folder: Path) -> None:
    """A job has a maximum number of revisions."""
    async with await aconnect(services.broker.endpoints.jobs) as client:
        job = await completed(client, worker, folder)
        for number in range(REVISIONS_MAX):
            await client.revise(job.job_id, mask_file(folder / "m.mrc", number))
        with pytest.raises(ConflictError, match="the maximum"):
            await client.revise(job.job_id, mask_file(folder / "m.mrc", 100))


async def test_names_of_revisions() -> None:
    """Only names that a revision can have count as one."""
    names = {"mask_r1.mrc": 1, "mask_r12.mrc": 12, "mask.mrc": None, "mask_r0.mrc": None, "mask_r01.mrc": None}
    assert {name: revision_number(name) for name in names} == names
