"""Workers that administrators drain, resume and remove, and jobs that workers hand back."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import numpy as np
import pytest
from tests.broker.conftest import DEMO, THRESHOLD, Connect, StartBroker
from tests.broker.jobs import claim_job, submit_job
from tests.broker.locked_bus import ENGINES, LockedBus

from cryomamba.access.roles import Role
from cryomamba.access.visibility import Visibility
from cryomamba.client import worker_calls
from cryomamba.client.bus_requester import BusRequester
from cryomamba.errors import AccessError, ConflictError, ErrorCode, NotFoundError
from cryomamba.models.jobs import JobRecord, JobState
from cryomamba.settings import Settings
from cryomamba.volumes import write_volume
from cryomamba.wire.requests import WorkerHello
from cryomamba_broker.server import Broker

NOT_FOUND = {"code": "volume_not_found", "message": "There is no file t1.mrc."}


async def register(connect: Connect, name: str, **fields: object) -> BusRequester:
    """Connect one more worker that offers 'demo' and 'threshold'."""
    channel = connect(name)
    hello = WorkerHello.model_validate(
        {"worker": name, "host": name, "pid": 1, "version": "0", "engines": (DEMO, THRESHOLD), **fields}
    )
    await channel.request("worker.hello", hello)
    return channel


async def record_of(client: BusRequester, job_id: str) -> JobRecord:
    return JobRecord.model_validate((await client.request("job.get", {"job": job_id})).body)


async def fail(worker: BusRequester, name: str, job: JobRecord, attempt: int, error: dict[str, str]) -> None:
    await worker.request("job.fail", {"job": job.job_id, "worker": name, "attempt": attempt, "error": error})


async def test_a_drained_worker_ends_its_job_and_takes_no_other(
    broker: Broker, client: BusRequester, worker: BusRequester
) -> None:
    """Its lease goes on, its next claim brings nothing; resumed, it gets the job that has waited."""
    first, second = await submit_job(client), await submit_job(client)
    held = await claim_job(worker)
    drained = (await client.request("worker.drain", {"worker": "w"})).body
    assert (drained["drained"], drained["job_id"]) == (True, first.job_id)
    await worker.request("job.finish", {"job": first.job_id, "worker": "w", "attempt": held.attempt, "artifacts": []})
    assert (await claim_job(worker, wait_s=0)).job is None
    waiting = await record_of(client, second.job_id)
    assert (waiting.queue_position, "drained" in waiting.blocked_reason) == (None, True)
    claim = asyncio.create_task(claim_job(worker, wait_s=60))
    await client.request("worker.resume", {"worker": "w"})
    got = (await claim).job
    assert got is not None
    assert got.job_id == second.job_id


async def test_a_worker_stays_drained_when_the_broker_restarts(start_broker: StartBroker, settings: Settings) -> None:
    """Its name stays the same, and so does what an administrator has decided about it."""
    for state in (None, "drained", "drained"):
        broker = await start_broker()
        channel = BusRequester(broker.endpoints.jobs, src="w")
        hello = WorkerHello(worker="w", host="here", pid=1, version="0", engines=(DEMO,))
        await channel.request("worker.hello", hello)
        listed = (await channel.request("worker.list", {})).body["workers"]
        assert [one["drained"] for one in listed] == [state is not None]
        await channel.request("worker.drain", {"worker": "w"})
        await channel.close()
        await broker.__aexit__(None, None, None)


async def test_the_job_of_a_removed_worker_is_requeued_at_once(
    client: BusRequester, worker: BusRequester, connect: Connect
) -> None:
    """Another worker gets it without waiting for the lease, and nothing that the removed one sends is accepted."""
    other = await register(connect, "other")
    record = await submit_job(client)
    attempt = (await claim_job(worker)).attempt
    renewal = asyncio.create_task(
        worker.request("job.renew", {"job": record.job_id, "worker": "w", "attempt": attempt, "wait_s": 60}, timeout=60)
    )
    removed = (await client.request("worker.remove", {"worker": "w"})).body
    assert removed == {"worker": "w", "job_id": record.job_id, "key": ""}
    with pytest.raises(ConflictError):
        await renewal
    reply = await other.request("job.claim", {"worker": "other", "engines": ["demo"], "wait_s": 5})
    assert reply.body["job"]["job_id"] == record.job_id
    assert (await record_of(client, record.job_id)).history[-2].reason == "Its worker was removed by an administrator."
    for type_, body in (
        ("job.claim", {"worker": "w", "engines": ["demo"], "wait_s": 0}),
        ("worker.hello", {"worker": "w", "host": "here", "pid": 1, "version": "0", "engines": []}),
        ("job.finish", {"job": record.job_id, "worker": "w", "attempt": attempt, "artifacts": []}),
    ):
        with pytest.raises(AccessError, match="was removed"):
            await worker.request(type_, body)
    assert [one["worker"] for one in (await client.request("worker.list", {})).body["workers"]] == ["other"]


async def test_the_key_of_a_removed_worker_no_longer_claims(bus: LockedBus, caplog: pytest.LogCaptureFixture) -> None:
    """A key of its own is revoked; that of the data directory, which other workers use, is not. Both are audited."""
    caplog.set_level(logging.INFO, logger="cryomamba.audit")
    node = bus.transport(bus.key("node7", Role.WORKER))
    hello = WorkerHello(worker="n", host="node7", pid=1, version="0", engines=ENGINES)
    await node.requester.request("worker.hello", hello)
    assert (await bus.admin.call(worker_calls.remove_worker("n"))).key == "node7"
    for name in ("n", "another"):
        with pytest.raises(AccessError) as caught:
            await node.requester.request("job.claim", {"worker": name, "engines": ["demo"], "wait_s": 0})
        assert caught.value.code is ErrorCode.UNAUTHORIZED
    assert (await bus.admin.call(worker_calls.remove_worker("w"))).key == ""
    with pytest.raises(AccessError, match="was removed"):
        await bus.worker.requester.request("job.claim", {"worker": "w", "engines": ["demo"], "wait_s": 0})
    done = [one.__dict__ for one in caplog.records if one.__dict__.get("action") == "worker.remove"]
    assert [(one["worker"], one["actor"], one["outcome"]) for one in done] == [
        ("n", "admin", "done"),
        ("w", "admin", "done"),
    ]


async def test_only_administrators_learn_of_and_decide_about_workers(bus: LockedBus) -> None:
    """Neither a client nor a worker may, nor an administrator on behalf of one owner."""
    asked = (worker_calls.list_workers(), worker_calls.drain_worker("w"), worker_calls.remove_worker("w"))
    for caller in (bus.ada, bus.worker, bus.admin.on_behalf_of(Visibility.of("ada"))):
        for call in asked:
            with pytest.raises(AccessError):
                await caller.call(call)
    assert [one.worker for one in (await bus.admin.call(worker_calls.list_workers())).workers] == ["w"]
    assert not (await bus.admin.call(worker_calls.list_workers())).workers[0].drained
    with pytest.raises(NotFoundError):
        await bus.admin.call(worker_calls.drain_worker("nobody"))


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    path = tmp_path / "t1.mrc"
    write_volume(path, np.zeros((4, 4, 4), np.float32), 10.0)
    return path


async def test_a_job_goes_to_a_worker_that_sees_its_file(
    client: BusRequester, worker: BusRequester, connect: Connect, volume: Path
) -> None:
    """A worker that does not see it hands the job back once; it costs no attempt, and another worker gets it."""
    record = await submit_job(client, volume={"path": str(volume)}, engine="threshold", params={})
    got = await claim_job(worker, engines=("threshold",))
    assert got.job is not None
    await fail(worker, "w", got.job, got.attempt, NOT_FOUND)
    assert (await claim_job(worker, engines=("threshold",), wait_s=0)).job is None
    waiting = await record_of(client, record.job_id)
    assert (waiting.state, waiting.errors) == (JobState.PENDING, ())
    assert waiting.history[-1].reason == "The worker w cannot access t1.mrc."
    assert waiting.blocked_reason.startswith(f"No worker can access {volume}:")
    other = await register(connect, "other")
    assert (await record_of(client, record.job_id)).queue_position == 1
    reply = await other.request("job.claim", {"worker": "other", "engines": ["threshold"], "wait_s": 5})
    assert reply.body["job"]["job_id"] == record.job_id


async def test_a_job_whose_file_is_gone_fails(client: BusRequester, worker: BusRequester, volume: Path) -> None:
    """If the broker does not see it either, no worker can."""
    record = await submit_job(client, volume={"path": str(volume)}, engine="threshold", params={})
    got = await claim_job(worker, engines=("threshold",))
    assert got.job is not None
    await asyncio.to_thread(volume.unlink)
    await fail(worker, "w", got.job, got.attempt, NOT_FOUND)
    assert (await record_of(client, record.job_id)).state is JobState.FAILED


async def test_a_job_that_runs_out_of_memory_goes_to_a_worker_with_more(client: BusRequester, connect: Connect) -> None:
    """On the largest worker it fails."""
    small = await register(connect, "small", memory_bytes=8 * 10**9)
    record = await submit_job(client)
    got = JobRecord.model_validate(
        (await small.request("job.claim", {"worker": "small", "engines": ["demo"], "wait_s": 5})).body["job"]
    )
    large = await register(connect, "large", memory_bytes=64 * 10**9)
    error = {"code": "out_of_memory", "message": "The machine ran out of memory."}
    await fail(small, "small", got, 1, error)
    assert (await record_of(client, record.job_id)).state is JobState.PENDING
    again = await large.request("job.claim", {"worker": "large", "engines": ["demo"], "wait_s": 5})
    assert again.body["job"]["job_id"] == record.job_id
    await fail(large, "large", got, 2, error)
    assert (await record_of(client, record.job_id)).state is JobState.FAILED


async def test_a_job_for_a_device_goes_to_a_worker_that_has_it(
    client: BusRequester, connect: Connect, volume: Path
) -> None:
    """A worker without a graphics processor hands the job back while there is another one; the last one fails it."""
    one, two = await register(connect, "one"), await register(connect, "two")
    record = await submit_job(client, volume={"path": str(volume)}, engine="threshold", params={"device": "gpu"})
    error = {"code": "invalid_parameters", "message": "PyTorch finds no graphics processor with CUDA here."}
    got = JobRecord.model_validate(
        (await one.request("job.claim", {"worker": "one", "engines": ["threshold"], "wait_s": 5})).body["job"]
    )
    await fail(one, "one", got, 1, error)
    assert (await two.request("job.claim", {"worker": "two", "engines": ["threshold"], "wait_s": 5})).body["job"]
    await fail(two, "two", got, 2, error)
    assert (await record_of(client, record.job_id)).state is JobState.FAILED


async def test_the_record_says_which_engine_is_missing(
    client: BusRequester, worker: BusRequester, broker: Broker, volume: Path
) -> None:
    """A job whose engine no connected worker has says so."""
    record = await submit_job(client, engine="threshold", volume={"path": str(volume)})
    hello = WorkerHello(worker="w", host="here", pid=1, version="0", engines=(DEMO,))
    await worker.request("worker.hello", hello)
    assert (await record_of(client, record.job_id)).blocked_reason == "No worker has the engine 'threshold'."
    broker.core.workers.prune(broker.core.clock.steady() + 10_000)
    assert (await record_of(client, record.job_id)).blocked_reason == "No worker is connected."
