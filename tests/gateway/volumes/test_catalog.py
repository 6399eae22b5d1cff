"""The images of a job over HTTP: new ones are there at once, and reading chunks does not ask the broker each time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from cryomamba.client import aconnect
from cryomamba.volumes import write_volume
from cryomamba_gateway.volumes import catalog

if TYPE_CHECKING:
    from tests.gateway.conftest import Services

pytestmark = pytest.mark.asyncio(loop_scope="session")

CHUNK = "0/c/0/0/0"


async def status(services: Services, path: str) -> int:
    """Ask the gateway."""
    return (await services.http.get(path)).status_code


@pytest.fixture
def endless_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the gateway remembers for some seconds is remembered for the whole test."""
    monkeypatch.setattr(catalog, "REMEMBERED_S", 3600.0)


@pytest.mark.usefixtures("endless_memory")
async def test_new_images_are_there_at_once(idle_services: Services, tmp_path: Path) -> None:
    """After a look at a running job, its mask is there as soon as it is completed, and a corrected one once added."""
    services = idle_services
    await services.start_broker()
    await services.start_gateway()
    worker = await services.start_worker()
    write_volume(tmp_path / "ts.mrc", np.zeros((8, 16, 16), np.float32), 10.0)
    write_volume(tmp_path / "mask.mrc", np.ones((8, 16, 16), np.int8), 10.0)
    write_volume(tmp_path / "corrected.mrc", np.zeros((8, 16, 16), np.int8), 10.0)
    job = await services.submit(volume={"path": str(tmp_path / "ts.mrc")}, engine="demo")
    base = f"/v1/zarr/0.5/jobs/{job.job_id}.ome.zarr"

    async def listed() -> list[str]:
        reply = await services.http.get(f"/v1/jobs/{job.job_id}/volumes")
        return [one["zarr_path"] for one in reply.json()["volumes"]]

    assert await listed() == [""]
    assert await status(services, f"{base}/{CHUNK}") == 200
    assert await status(services, f"{base}/labels/mask/{CHUNK}") != 200
    await worker.finish(await worker.claim(), {"mask.mrc": (tmp_path / "mask.mrc").read_bytes()})
    assert await status(services, f"{base}/labels/mask/{CHUNK}") == 200
    assert await listed() == ["", "labels/mask"]

    async with await aconnect(services.url) as client:
        await client.revise(job.job_id, tmp_path / "corrected.mrc")
    assert await status(services, f"/v1/jobs/{job.job_id}/volumes/mask_r1.mrc/slice") == 200
    assert await listed() == ["", "labels/mask", "labels/mask_r1"]


@pytest.mark.usefixtures("endless_memory")
async def test_chunks_are_read_without_asking_the_broker_again(idle_services: Services, tmp_path: Path) -> None:
    """After the images of a job were listed, its chunks and slices are there while the broker is not."""
    services = idle_services
    await services.start_broker()
    await services.start_gateway()
    await services.start_worker()
    write_volume(tmp_path / "ts.mrc", np.zeros((8, 16, 16), np.float32), 10.0)
    job = await services.submit(volume={"path": str(tmp_path / "ts.mrc")}, engine="demo")
    base = f"/v1/zarr/0.5/jobs/{job.job_id}.ome.zarr"
    assert await status(services, f"{base}/zarr.json") == 200
    await services.stop_broker()
    assert await status(services, f"{base}/{CHUNK}") == 200
    assert await status(services, f"/v1/jobs/{job.job_id}/volumes/tomogram/slice") == 200
