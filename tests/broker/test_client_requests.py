"""Requests of clients: submit, describe, refuse, delete."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.broker.jobs import claim_job, submit_job

from cryomamba.client.bus_requester import BusRequester
from cryomamba.errors import ConflictError, ErrorCode, InvalidRequestError, NotFoundError, UnavailableError, VolumeError
from cryomamba.models.server import Activity, ServerInfo
from cryomamba.settings import Settings
from cryomamba.volumes import write_volume
from cryomamba_broker.server import Broker

StartBroker = Callable[..., Awaitable[Broker]]


async def test_a_wrong_submit_is_refused_before_it_is_queued(
    client: BusRequester, worker: BusRequester, tmp_path: Path
) -> None:
    """Each kind of error has its own code and a hint, and no job is created."""
    (tmp_path / "not.mrc").write_bytes(b"no header")
    (tmp_path.parent / "outside.mrc").touch()
    (tmp_path / "link.mrc").symlink_to(tmp_path.parent / "outside.mrc")
    wrong: list[tuple[dict[str, Any], type[Exception], ErrorCode]] = [
        ({"engine": "magic"}, InvalidRequestError, ErrorCode.UNKNOWN_ENGINE),
        ({"params": {"second": 1}}, InvalidRequestError, ErrorCode.INVALID_PARAMETERS),
        ({"params": {"seconds": -1}}, InvalidRequestError, ErrorCode.INVALID_PARAMETERS),
        ({"params": {"seconds": float("nan")}}, InvalidRequestError, ErrorCode.INVALID_PARAMETERS),
        ({"params": {"seconds": b"1"}}, InvalidRequestError, ErrorCode.INVALID_PARAMETERS),
        ({"params": {"text": "x" * 25_000}}, InvalidRequestError, ErrorCode.TOO_LARGE),
        ({"engine": "threshold"}, InvalidRequestError, ErrorCode.BAD_REQUEST),
        ({"volume": {"shape": [0, 4, 4]}}, InvalidRequestError, ErrorCode.BAD_REQUEST),
        ({"volume": {"shape": [4, 4, 10**9]}}, InvalidRequestError, ErrorCode.BAD_REQUEST),
        ({"volume": {"file_id": "abc"}}, NotFoundError, ErrorCode.NOT_FOUND),
        ({"volume": {"path": str(tmp_path / "none.mrc")}}, VolumeError, ErrorCode.VOLUME_NOT_FOUND),
        ({"volume": {"path": str(tmp_path / "not.mrc")}}, VolumeError, ErrorCode.VOLUME_UNREADABLE),
        ({"volume": {"path": "/etc/hostname"}}, InvalidRequestError, ErrorCode.PATH_FORBIDDEN),
        ({"volume": {"path": str(tmp_path / "link.mrc")}}, InvalidRequestError, ErrorCode.PATH_FORBIDDEN),
        ({"volume": {"path": "\0"}}, InvalidRequestError, ErrorCode.PATH_FORBIDDEN),
    ]
    for fields, kind, code in wrong:
        with pytest.raises(kind) as caught:
            await submit_job(client, **fields)
        assert getattr(caught.value, "code", None) is code, fields
    assert (await client.request("job.list", {})).body["jobs"] == []
    with pytest.raises(NotFoundError):
        await client.request("job.get", {"job": "nobody"})


async def test_voxels_that_are_not_numbers_are_found_at_submit(
    client: BusRequester, worker: BusRequester, tmp_path: Path
) -> None:
    """A volume with NaN voxels is refused before the job is queued."""
    voxels = np.zeros((4, 4, 4), np.float32)
    voxels[1, 2, 3] = np.nan
    write_volume(tmp_path / "nan.mrc", voxels, voxel_size_A=10.0)
    with pytest.raises(VolumeError) as caught:
        await submit_job(client, volume={"path": str(tmp_path / "nan.mrc")}, engine=None)
    assert caught.value.code is ErrorCode.VOLUME_NOT_FINITE


async def test_a_volume_is_described_by_its_header(client: BusRequester, worker: BusRequester, tmp_path: Path) -> None:
    """The record has the shape and voxel size of the file, and the default engine where none was named."""
    write_volume(tmp_path / "tomo.mrc", np.zeros((3, 4, 5), np.float32), voxel_size_A=13.5)
    record = await submit_job(client, volume={"path": str(tmp_path / "tomo.mrc")}, engine=None)
    assert record.engine == "threshold"
    assert record.volume.shape == (3, 4, 5)
    assert record.volume.voxel_size_A == (13.5, 13.5, 13.5)
    assert record.volume.path == str(tmp_path / "tomo.mrc")


async def test_a_submit_before_any_worker_has_connected_is_refused(client: BusRequester) -> None:
    """No engine is known yet; the hint is to have an inference service started."""
    with pytest.raises(UnavailableError) as caught:
        await submit_job(client)
    assert caught.value.code is ErrorCode.NO_WORKER
    assert "inference" in caught.value.hint


async def test_server_info_lists_workers_and_engines(
    client: BusRequester, broker: Broker, worker: BusRequester
) -> None:
    """Workers, engines, the default engine and the actual endpoints come in one reply."""
    info = ServerInfo.model_validate((await client.request("server.info", {})).body)
    assert info.status == "ok"
    assert [engine.name for engine in info.engines] == ["demo", "threshold"]
    assert info.default_engine == "threshold"
    assert [found.worker for found in info.workers] == ["w"]
    assert info.endpoints == broker.endpoints.model_dump()
    assert info.epoch == broker.envelopes.epoch


async def test_activity_counts_pending_running_and_ended_jobs(client: BusRequester, worker: BusRequester) -> None:
    """Pending and running jobs are those of the store; ended ones are counted from the broker's start."""

    async def activity() -> Activity:
        return Activity.model_validate((await client.request("server.activity", {})).body)

    assert await activity() == Activity(workers=1, pending=0, running=0, oldest_pending_s=0, ended={})
    first, second = await submit_job(client), await submit_job(client)
    await claim_job(worker)
    now = await activity()
    assert (now.pending, now.running) == (1, 1)
    assert now.oldest_pending_s > 0
    for record in (first, second):
        await client.request("job.cancel", {"job": record.job_id})
    assert (await activity()).ended == {"cancelled": 1}


async def test_a_full_disk_refuses_jobs(start_broker: StartBroker) -> None:
    """Below the reserve a submit is refused with a retryable error, and no job is created."""
    broker = await start_broker(disk_reserve=2**62)
    channel = BusRequester(broker.endpoints.jobs, src="c")
    try:
        engine = {"name": "demo", "summary": "s", "parameters": {"type": "object"}, "needs_volume": False}
        hello = {"worker": "w", "host": "here", "pid": 1, "version": "0", "engines": [engine]}
        await channel.request("worker.hello", hello)
        with pytest.raises(UnavailableError) as refused:
            await submit_job(channel)
        assert refused.value.code is ErrorCode.INSUFFICIENT_STORAGE
        assert refused.value.retryable
        assert (await channel.request("job.list", {})).body["jobs"] == []
    finally:
        await channel.close()


async def test_disk_space_is_reserved_as_the_engine_needs_it(start_broker: StartBroker, tmp_path: Path) -> None:
    """A job is refused where the engine's files do not fit on the disk; one whose engine writes less is accepted."""
    voxels = 1024**3
    # Room for two and a half bytes a voxel: far from one and from five, whatever others write meanwhile.
    broker = await start_broker(disk_reserve=max(0, shutil.disk_usage(tmp_path).free - voxels * 5 // 2))
    channel = BusRequester(broker.endpoints.jobs, src="c")
    try:
        pieces = {"type": "boolean", "produces": "instances"}
        parameters = {"type": "object", "properties": {"pieces": pieces}}
        engines = [
            {"name": name, "summary": "s", "parameters": parameters, "needs_volume": False, **more}
            for name, more in (("mask", {}), ("scores", {"disk_per_voxel": 5}))
        ]
        hello = {"worker": "w", "host": "here", "pid": 1, "version": "0", "engines": engines}
        await channel.request("worker.hello", hello)
        volume = {"shape": [1024, 1024, 1024]}
        first = await channel.request("job.submit", {"volume": volume, "engine": "mask"})
        with pytest.raises(UnavailableError) as refused:
            await channel.request("job.submit", {"volume": volume, "engine": "scores"})
        assert refused.value.code is ErrorCode.INSUFFICIENT_STORAGE
        assert refused.value.details["needed_bytes"] == 5 * voxels + broker.settings.disk_reserve
        with pytest.raises(UnavailableError) as asked:
            await channel.request("job.submit", {"volume": volume, "engine": "mask", "params": {"pieces": True}})
        assert asked.value.details["needed_bytes"] == 3 * voxels + broker.settings.disk_reserve
        # A second job fits as well, but not a third: the space for the pending ones is reserved.
        await channel.request("job.submit", {"volume": volume, "engine": "mask"})
        with pytest.raises(UnavailableError) as third:
            await channel.request("job.submit", {"volume": volume, "engine": "mask"})
        assert third.value.details["promised_bytes"] == 2 * voxels
        assert "earlier jobs" in (third.value.hint or "")
        await channel.request("job.cancel", {"job": first.body["job_id"]})
        await channel.request("job.submit", {"volume": volume, "engine": "mask"})
    finally:
        await channel.close()


async def test_only_a_job_that_has_ended_can_be_deleted(
    client: BusRequester, worker: BusRequester, settings: Settings
) -> None:
    """A pending job cannot be deleted; an ended one is deleted with its files and events, and then not found."""
    record = await submit_job(client)
    with pytest.raises(ConflictError):
        await client.request("job.delete", {"job": record.job_id})
    await client.request("job.cancel", {"job": record.job_id})
    folder = settings.artifacts / record.job_id
    folder.mkdir(parents=True)
    (folder / "mask.mrc").write_bytes(b"1")
    assert (await client.request("job.delete", {"job": record.job_id})).body["state"] == "cancelled"
    assert not folder.exists()
    assert (await client.request("events.since", {"n": 0})).body["events"] == []
    with pytest.raises(NotFoundError):
        await client.request("job.delete", {"job": record.job_id})
