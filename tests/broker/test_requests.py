"""Requests over the socket, as clients and workers send them."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import zmq
import zmq.asyncio

from cryomamba.client.bus_requester import BusRequester
from cryomamba.errors import (
    ConflictError,
    ErrorCode,
    InvalidRequestError,
    NotFoundError,
    UnavailableError,
    VolumeError,
    error_from_payload,
)
from cryomamba.models.jobs import JobRecord
from cryomamba.models.server import Activity, ServerInfo
from cryomamba.settings import Settings
from cryomamba.volumes import write_volume
from cryomamba.wire.constants import HEADER_MAX_BYTES
from cryomamba.wire.envelope import EnvelopeFactory, decode, encode
from cryomamba.wire.requests import REQUESTS, Claimed
from cryomamba_broker.server import Broker

Subscribe = Callable[..., zmq.asyncio.Socket]
Connect = Callable[..., BusRequester]
StartBroker = Callable[..., Awaitable[Broker]]

DEMO_JOB = {"volume": {"shape": [8, 8, 8]}, "engine": "demo"}


async def submitted(client: BusRequester, **fields: Any) -> JobRecord:
    return JobRecord.model_validate((await client.request("job.submit", {**DEMO_JOB, **fields})).body)


async def claim(worker: BusRequester, **fields: Any) -> Claimed:
    body = {"worker": "w", "engines": ["demo", "threshold"], **fields}
    return Claimed.model_validate((await worker.request("job.claim", body)).body)


async def test_a_job_goes_from_submit_to_completed(
    client: BusRequester, worker: BusRequester, settings: Settings
) -> None:
    """A waiting worker gets a job the moment it is submitted, and its artifact is read in pieces."""
    waiting = asyncio.create_task(claim(worker, wait_s=60))
    record = await submitted(client, params={"seconds": 1})
    got = await waiting
    assert got.job is not None
    assert (got.job.job_id, got.attempt) == (record.job_id, 1)
    lease = {"job": record.job_id, "worker": "w", "attempt": 1}
    assert (await worker.request("job.renew", lease)).body["cancel"] is False
    await worker.request("job.progress", {**lease, "progress": {"fraction": 0.5}})
    assert (await client.request("job.get", {"job": record.job_id})).body["progress"]["fraction"] == 0.5
    data = bytes(range(256)) * 8
    folder = settings.artifacts / record.job_id
    folder.mkdir(parents=True)
    (folder / "mask.mrc").write_bytes(data)
    artifact = {"name": "mask.mrc", "size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    await worker.request("job.finish", {**lease, "artifacts": [artifact]})
    done = JobRecord.model_validate((await client.request("job.get", {"job": record.job_id})).body)
    assert [event.type for event in done.history] == ["job_created", "job_started", "job_completed"]
    read = {"job": record.job_id, "name": "mask.mrc", "offset": 2000, "length": 1000}
    piece = await client.request("artifact.read", read)
    assert piece.parts == (data[2000:],)


async def test_only_listed_artifacts_are_read(client: BusRequester, worker: BusRequester, settings: Settings) -> None:
    """A file that the record does not list cannot be read, whatever its name is made of."""
    record = await submitted(client)
    folder = settings.artifacts / record.job_id
    folder.mkdir(parents=True)
    (folder / "other").write_bytes(b"secret")
    for name in ("other", "../../jobs.sqlite", "/etc/hostname", "."):
        with pytest.raises(NotFoundError):
            await client.request("artifact.read", {"job": record.job_id, "name": name, "offset": 0, "length": 10})


async def test_a_request_that_is_sent_again_is_executed_once(
    broker: Broker, worker: BusRequester, subscribe: Subscribe
) -> None:
    """The same message twice gives the same answer and one job."""
    raw = subscribe(broker.endpoints.jobs, kind=zmq.DEALER)
    message = encode(EnvelopeFactory("c").envelope("job.submit", DEMO_JOB, ts=0.0, owner="*"))
    await raw.send(message)
    first = decode(await raw.recv())
    await raw.send(message)
    again = decode(await raw.recv())
    assert first.body["job_id"] == again.body["job_id"]
    assert broker.counters.repeated == 1
    listed = await worker.request("job.list", {})
    assert len(listed.body["jobs"]) == 1


async def test_a_newer_claim_takes_the_place_of_the_older(connect: Connect, worker: BusRequester) -> None:
    """A worker that asks again gets the job on its last question, and nothing on the one before."""
    older = asyncio.create_task(claim(worker, wait_s=60))
    newer = asyncio.create_task(claim(connect("w"), wait_s=60))
    done, _ = await asyncio.wait({older, newer}, return_when=asyncio.FIRST_COMPLETED)
    (replaced,) = done
    assert replaced.result().job is None
    record = await submitted(connect())
    (last,) = {older, newer} - done
    got = (await last).job
    assert got is not None
    assert got.job_id == record.job_id


async def test_a_job_for_a_worker_that_is_gone_goes_to_the_next(
    broker: Broker, connect: Connect, client: BusRequester, worker: BusRequester, subscribe: Subscribe
) -> None:
    """A claim whose worker has left does not keep the job for a whole lease."""
    gone = subscribe(broker.endpoints.jobs, kind=zmq.DEALER)
    await gone.send(
        encode(
            EnvelopeFactory("g").envelope(
                "job.claim", {"worker": "g", "engines": ["demo"], "wait_s": 60}, ts=0, owner="*"
            )
        )
    )
    while broker.counters.requests < 2:
        await client.request("ping", {})
    gone.close(linger=0)
    record = await submitted(client)
    got = (await claim(worker, wait_s=60)).job
    assert got is not None
    assert got.job_id == record.job_id


async def test_an_unknown_engine_parameter_or_job_is_said_before_anything_is_queued(
    client: BusRequester, worker: BusRequester, tmp_path: Path
) -> None:
    """Each kind of wrong submit has its own code and a hint, and leaves no job behind."""
    (tmp_path / "not.mrc").write_bytes(b"no header")
    (tmp_path.parent / "outside.mrc").touch()
    (tmp_path / "link.mrc").symlink_to(tmp_path.parent / "outside.mrc")
    wrong: list[tuple[dict[str, Any], type[Exception], ErrorCode]] = [
        ({"engine": "magic"}, InvalidRequestError, ErrorCode.UNKNOWN_ENGINE),
        ({"params": {"second": 1}}, InvalidRequestError, ErrorCode.INVALID_PARAMETERS),
        ({"params": {"seconds": -1}}, InvalidRequestError, ErrorCode.INVALID_PARAMETERS),
        ({"params": {"seconds": float("nan")}}, InvalidRequestError, ErrorCode.INVALID_PARAMETERS),
        ({"params": {"seconds": b"1"}}, InvalidRequestError, ErrorCode.INVALID_PARAMETERS),
        ({"params": {"text": "x" * 20_000}}, InvalidRequestError, ErrorCode.TOO_LARGE),
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
            await submitted(client, **fields)
        assert getattr(caught.value, "code", None) is code, fields
    assert (await client.request("job.list", {})).body["jobs"] == []
    with pytest.raises(NotFoundError):
        await client.request("job.get", {"job": "nobody"})


async def test_voxels_that_are_not_numbers_are_found_at_submit(
    client: BusRequester, worker: BusRequester, tmp_path: Path
) -> None:
    """A NaN in the volume is a reason to refuse it before it is queued."""
    voxels = np.zeros((4, 4, 4), np.float32)
    voxels[1, 2, 3] = np.nan
    write_volume(tmp_path / "nan.mrc", voxels, voxel_size_A=10.0)
    with pytest.raises(VolumeError) as caught:
        await submitted(client, volume={"path": str(tmp_path / "nan.mrc")}, engine=None)
    assert caught.value.code is ErrorCode.VOLUME_NOT_FINITE


async def test_a_volume_is_described_by_its_header(client: BusRequester, worker: BusRequester, tmp_path: Path) -> None:
    """The record says what the file is, with the default engine where none was named."""
    write_volume(tmp_path / "tomo.mrc", np.zeros((3, 4, 5), np.float32), voxel_size_A=13.5)
    record = await submitted(client, volume={"path": str(tmp_path / "tomo.mrc")}, engine=None)
    assert record.engine == "threshold"
    assert record.volume.shape == (3, 4, 5)
    assert record.volume.voxel_size_A == (13.5, 13.5, 13.5)
    assert record.volume.path == str(tmp_path / "tomo.mrc")


async def test_without_any_worker_ever_a_submit_says_what_to_start(client: BusRequester) -> None:
    """Nothing is known of engines yet, so the client is told to start the inference service."""
    with pytest.raises(UnavailableError) as caught:
        await submitted(client)
    assert caught.value.code is ErrorCode.NO_WORKER
    assert "inference" in caught.value.hint


async def test_server_info_says_who_is_there(client: BusRequester, broker: Broker, worker: BusRequester) -> None:
    """Workers, engines, the default engine and the endpoints as bound are told in one call."""
    info = ServerInfo.model_validate((await client.request("server.info", {})).body)
    assert info.status == "ok"
    assert [engine.name for engine in info.engines] == ["demo", "threshold"]
    assert info.default_engine == "threshold"
    assert [found.worker for found in info.workers] == ["w"]
    assert info.endpoints == broker.endpoints.model_dump()
    assert info.epoch == broker.envelopes.epoch


async def test_activity_counts_what_waits_works_and_has_ended(client: BusRequester, worker: BusRequester) -> None:
    """Pending and running jobs are those of the store; ended ones are counted from the broker's start."""

    async def activity() -> Activity:
        return Activity.model_validate((await client.request("server.activity", {})).body)

    assert await activity() == Activity(workers=1, pending=0, running=0, oldest_pending_s=0, ended={})
    first, second = await submitted(client), await submitted(client)
    await claim(worker)
    now = await activity()
    assert (now.pending, now.running) == (1, 1)
    assert now.oldest_pending_s > 0
    for record in (first, second):
        await client.request("job.cancel", {"job": record.job_id})
    assert (await activity()).ended == {"cancelled": 1}


async def test_cancelling_a_running_job_reaches_its_worker(client: BusRequester, worker: BusRequester) -> None:
    """A renewal that waits is answered at once, and the worker's error ends the job; cancelling twice is no error."""
    record = await submitted(client)
    await claim(worker)
    lease = {"job": record.job_id, "worker": "w", "attempt": 1}
    waiting = asyncio.create_task(worker.request("job.renew", {**lease, "wait_s": 60}, timeout=50))
    for _ in range(2):
        assert (await client.request("job.cancel", {"job": record.job_id})).body["cancel_requested"]
    assert (await waiting).body["cancel"]
    # A worker that says what it knows waits again, for something else that is new.
    again = {**lease, "wait_s": 60, "cancelling": True}
    waiting = asyncio.create_task(worker.request("job.renew", again, timeout=50))
    await client.request("job.focus", {"job": record.job_id, "position": [4, 5, 6]})
    assert (await waiting).body == {"cancel": True, "lease_s": 30.0, "focus": [4, 5, 6]}
    error = {"code": "cancelled", "message": "Stopped."}
    ended = await worker.request("job.fail", {**lease, "error": error})
    assert ended.body["state"] == "cancelled"
    assert (await client.request("job.cancel", {"job": record.job_id})).body["state"] == "cancelled"
    assert (await client.request("job.retry", {"job": record.job_id})).body["state"] == "pending"


async def test_the_view_of_a_client_reaches_the_worker(client: BusRequester, worker: BusRequester) -> None:
    """A focus that was set before comes with the claim, one that is set during the work ends the wait of a renewal."""
    record = await submitted(client)
    await client.request("job.focus", {"job": record.job_id, "position": [1, 2, 3]})
    assert (await claim(worker)).focus == (1, 2, 3)
    lease = {"job": record.job_id, "worker": "w", "attempt": 1, "focus": [1, 2, 3]}
    waiting = asyncio.create_task(worker.request("job.renew", {**lease, "wait_s": 60}, timeout=50))
    await client.request("job.focus", {"job": record.job_id, "position": [4, 5, 6]})
    assert (await waiting).body["focus"] == [4, 5, 6]


async def test_a_renewal_that_waits_ends_with_its_attempt(client: BusRequester, worker: BusRequester) -> None:
    """It is answered as soon as the attempt is over, so that it does not hold a place in the broker."""
    record = await submitted(client)
    await claim(worker)
    lease = {"job": record.job_id, "worker": "w", "attempt": 1}
    waiting = asyncio.create_task(worker.request("job.renew", {**lease, "wait_s": 60}, timeout=50))
    await worker.request("job.finish", {**lease, "artifacts": []})
    with pytest.raises(ConflictError) as caught:
        await waiting
    assert caught.value.code is ErrorCode.STALE_ATTEMPT


async def test_a_stale_attempt_is_told_so(client: BusRequester, worker: BusRequester) -> None:
    """A worker that speaks of an attempt that is over learns it from the code of the error."""
    record = await submitted(client)
    await claim(worker)
    with pytest.raises(ConflictError) as caught:
        await worker.request("job.finish", {"job": record.job_id, "worker": "w", "attempt": 7, "artifacts": []})
    assert caught.value.code is ErrorCode.STALE_ATTEMPT


@pytest.mark.parametrize("type_", sorted(REQUESTS))
async def test_every_request_refuses_fields_that_it_does_not_know(client: BusRequester, type_: str) -> None:
    """A typing error in a field's name is an error, in every request."""
    with pytest.raises(InvalidRequestError):
        await client.request(type_, {"mistyped": 1})


async def test_messages_that_are_no_requests_cost_a_counter_and_are_answered_where_they_can_be(
    broker: Broker, client: BusRequester, subscribe: Subscribe
) -> None:
    """Another version, an unknown type and a header with an id get an error; the rest is counted."""
    raw = subscribe(broker.endpoints.jobs, kind=zmq.DEALER)
    fields = {"v": 9, "type": "ping", "id": "i1", "src": "x", "epoch": 0, "seq": 0, "ts": 0.0}
    await raw.send(msgpack.packb(fields))
    newer = decode(await raw.recv())
    assert (newer.type, newer.corr) == ("error", "i1")
    assert error_from_payload(newer.body).code is ErrorCode.PROTOCOL
    await raw.send(msgpack.packb({**fields, "v": 1, "type": "job.destroy", "id": "i2"}))
    assert decode(await raw.recv()).corr == "i2"
    await raw.send(msgpack.packb({"id": "i3", "junk": "x" * HEADER_MAX_BYTES}))
    assert decode(await raw.recv()).body["code"] == "too_large"
    for junk in (b"", b"\xc1", b"\x93\x01", msgpack.packb([1, 2])):
        await raw.send(junk)
    await raw.send_multipart([b"", b"two parts"])
    while broker.counters.malformed < 7:
        await client.request("ping", {})


async def test_a_disk_without_room_refuses_jobs(start_broker: StartBroker) -> None:
    """Below the reserve a submit is refused as such, to be tried again later, and leaves no job."""
    broker = await start_broker(disk_reserve=2**62)
    channel = BusRequester(broker.endpoints.jobs, src="c")
    try:
        engine = {"name": "demo", "summary": "s", "parameters": {"type": "object"}, "needs_volume": False}
        hello = {"worker": "w", "host": "here", "pid": 1, "version": "0", "engines": [engine]}
        await channel.request("worker.hello", hello)
        with pytest.raises(UnavailableError) as refused:
            await submitted(channel)
        assert refused.value.code is ErrorCode.INSUFFICIENT_STORAGE
        assert refused.value.retryable
        assert (await channel.request("job.list", {})).body["jobs"] == []
    finally:
        await channel.close()


async def test_room_is_counted_as_the_engine_needs_it(start_broker: StartBroker, tmp_path: Path) -> None:
    """A volume for which an engine's files have no room is refused; an engine that writes less may have it."""
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
        # A second one has room as well, but not a third: what the waiting ones will write is not there any more.
        await channel.request("job.submit", {"volume": volume, "engine": "mask"})
        with pytest.raises(UnavailableError) as third:
            await channel.request("job.submit", {"volume": volume, "engine": "mask"})
        assert third.value.details["promised_bytes"] == 2 * voxels
        assert "earlier jobs" in (third.value.hint or "")
        await channel.request("job.cancel", {"job": first.body["job_id"]})
        await channel.request("job.submit", {"volume": volume, "engine": "mask"})
    finally:
        await channel.close()


async def test_a_job_is_forgotten_only_when_it_has_ended(
    client: BusRequester, worker: BusRequester, settings: Settings
) -> None:
    """A waiting job cannot be deleted; an ended one goes with its files and events, and repeating says it is gone."""
    record = await submitted(client)
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
