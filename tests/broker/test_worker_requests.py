"""Requests of workers: claim, renew, steer, end."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable

import pytest
import zmq
import zmq.asyncio
from tests.broker.jobs import claim_job, submit_job

from cryomamba.client.bus_requester import BusRequester
from cryomamba.errors import ConflictError, ErrorCode, InvalidRequestError
from cryomamba.models.jobs import JobRecord
from cryomamba.settings import Settings
from cryomamba.wire.envelope import EnvelopeFactory, encode
from cryomamba_broker.server import Broker

Subscribe = Callable[..., zmq.asyncio.Socket]
Connect = Callable[..., BusRequester]


async def test_a_job_goes_from_submit_to_completed(
    client: BusRequester, worker: BusRequester, settings: Settings
) -> None:
    """A pending claim is answered when a job is submitted, and the finished file is read in chunks."""
    waiting = asyncio.create_task(claim_job(worker, wait_s=60))
    record = await submit_job(client, params={"seconds": 1})
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


async def test_a_newer_claim_replaces_the_older(connect: Connect, worker: BusRequester) -> None:
    """A worker that claims again gets the job in reply to its last claim, and nothing to the one before."""
    older = asyncio.create_task(claim_job(worker, wait_s=60))
    newer = asyncio.create_task(claim_job(connect("w"), wait_s=60))
    done, _ = await asyncio.wait({older, newer}, return_when=asyncio.FIRST_COMPLETED)
    (replaced,) = done
    assert replaced.result().job is None
    record = await submit_job(connect())
    (last,) = {older, newer} - done
    got = (await last).job
    assert got is not None
    assert got.job_id == record.job_id


async def test_a_job_for_a_worker_that_is_gone_goes_to_the_next(
    broker: Broker, connect: Connect, client: BusRequester, worker: BusRequester, subscribe: Subscribe
) -> None:
    """A claim whose worker has disconnected does not hold the job for a whole lease."""
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
    record = await submit_job(client)
    got = (await claim_job(worker, wait_s=60)).job
    assert got is not None
    assert got.job_id == record.job_id


async def test_cancelling_a_running_job_reaches_its_worker(client: BusRequester, worker: BusRequester) -> None:
    """A renewal that waits is answered at once, and the worker's error ends the job; cancelling twice is no error."""
    record = await submit_job(client)
    await claim_job(worker)
    lease = {"job": record.job_id, "worker": "w", "attempt": 1}
    waiting = asyncio.create_task(worker.request("job.renew", {**lease, "wait_s": 60}, timeout=50))
    for _ in range(2):
        assert (await client.request("job.cancel", {"job": record.job_id})).body["cancel_requested"]
    assert (await waiting).body["cancel"]
    # A worker that says what it knows waits again, for something else that is new.
    again = {**lease, "wait_s": 60, "cancelling": True}
    waiting = asyncio.create_task(worker.request("job.renew", again, timeout=50))
    await client.request("job.focus", {"job": record.job_id, "position": [4, 5, 6]})
    expected = {"cancel": True, "lease_s": 30.0, "focus": [4, 5, 6], "strokes": 0, "painted": None}
    assert (await waiting).body == expected
    error = {"code": "cancelled", "message": "Stopped."}
    ended = await worker.request("job.fail", {**lease, "error": error})
    assert ended.body["state"] == "cancelled"
    assert (await client.request("job.cancel", {"job": record.job_id})).body["state"] == "cancelled"
    assert (await client.request("job.retry", {"job": record.job_id})).body["state"] == "pending"


async def test_the_focus_reaches_the_worker(client: BusRequester, worker: BusRequester) -> None:
    """A focus that was set before comes with the claim, one that is set during the work ends the wait of a renewal."""
    record = await submit_job(client)
    await client.request("job.focus", {"job": record.job_id, "position": [1, 2, 3]})
    assert (await claim_job(worker)).focus == (1, 2, 3)
    lease = {"job": record.job_id, "worker": "w", "attempt": 1, "focus": [1, 2, 3]}
    waiting = asyncio.create_task(worker.request("job.renew", {**lease, "wait_s": 60}, timeout=50))
    await client.request("job.focus", {"job": record.job_id, "position": [4, 5, 6]})
    assert (await waiting).body["focus"] == [4, 5, 6]


def strokes(*at: int) -> dict[str, object]:
    return {"shape": [8, 8, 8], "labels": ["background", "ball"], "lines": [{"label": 1, "points": [list(at)]}]}


async def paint(client: BusRequester, record: JobRecord, *at: int) -> JobRecord:
    body = {"job": record.job_id, "strokes": strokes(*at)}
    return JobRecord.model_validate((await client.request("job.strokes", body)).body)


async def test_strokes_reach_the_worker(client: BusRequester, worker: BusRequester) -> None:
    """Strokes that were replaced before come with the claim, those during the work end the wait of a renewal; the same
    strokes again change nothing, and the record has the last ones."""
    record = await submit_job(client, params={"strokes": strokes(1, 1, 1)})
    await paint(client, record, 2, 2, 2)
    claimed = await claim_job(worker)
    assert claimed.job is not None
    assert claimed.job.params["strokes"]["lines"][0]["points"] == [[2, 2, 2]]
    lease = {"job": record.job_id, "worker": "w", "attempt": 1, "strokes": claimed.strokes}
    waiting = asyncio.create_task(worker.request("job.renew", {**lease, "wait_s": 60}, timeout=50))
    assert (await paint(client, record, 2, 2, 2)).params == claimed.job.params
    await paint(client, record, 3, 3, 3)
    renewed = (await waiting).body
    assert (renewed["strokes"], renewed["painted"]["lines"][0]["points"]) == (2, [[3, 3, 3]])
    assert (await worker.request("job.renew", {**lease, "strokes": 2})).body["painted"] is None


async def test_a_result_of_older_strokes_is_not_taken(client: BusRequester, worker: BusRequester) -> None:
    """A job whose strokes change while its files are published is queued again, and the attempt does not count."""
    record = await submit_job(client, params={"strokes": strokes(1, 1, 1)})
    await claim_job(worker)
    await paint(client, record, 2, 2, 2)
    lease = {"job": record.job_id, "worker": "w", "attempt": 1}
    again = JobRecord.model_validate((await worker.request("job.finish", {**lease, "artifacts": []})).body)
    assert again.state == "pending"
    assert "Strokes were added" in again.history[-1].reason
    claimed = await claim_job(worker)
    body = {**lease, "attempt": claimed.attempt, "artifacts": [], "strokes": claimed.strokes}
    assert (await worker.request("job.finish", body)).body["state"] == "completed"
    with pytest.raises(ConflictError, match="takes no more strokes"):
        await paint(client, record, 3, 3, 3)


@pytest.mark.usefixtures("worker")
async def test_strokes_that_do_not_fit_the_job_are_refused(client: BusRequester) -> None:
    """A job without strokes, a tomogram of another shape, or damaged strokes: a sentence, and nothing changes."""
    painted = await submit_job(client, params={"strokes": strokes(1, 1, 1)})
    with pytest.raises(InvalidRequestError, match="without strokes"):
        await paint(client, await submit_job(client), 1, 1, 1)
    body = {"job": painted.job_id, "strokes": {**strokes(1, 1, 1), "shape": [9, 8, 8]}}
    with pytest.raises(InvalidRequestError, match="another shape"):
        await client.request("job.strokes", body)
    for broken in ({**strokes(1, 1, 1), "voxels": "?"}, strokes(1, 1, 8)):
        with pytest.raises(InvalidRequestError, match="invalid"):
            await client.request("job.strokes", {"job": painted.job_id, "strokes": broken})
        with pytest.raises(InvalidRequestError, match="strokes cannot be used"):
            await submit_job(client, params={"strokes": broken})


async def test_a_renewal_that_waits_ends_with_its_attempt(client: BusRequester, worker: BusRequester) -> None:
    """It is answered as soon as the attempt has ended, so that it does not occupy the broker."""
    record = await submit_job(client)
    await claim_job(worker)
    lease = {"job": record.job_id, "worker": "w", "attempt": 1}
    waiting = asyncio.create_task(worker.request("job.renew", {**lease, "wait_s": 60}, timeout=50))
    await worker.request("job.finish", {**lease, "artifacts": []})
    with pytest.raises(ConflictError) as caught:
        await waiting
    assert caught.value.code is ErrorCode.STALE_ATTEMPT


async def test_a_stale_attempt_is_refused(client: BusRequester, worker: BusRequester) -> None:
    """Requests for an attempt that has ended get an error with the code 'stale_attempt'."""
    record = await submit_job(client)
    await claim_job(worker)
    with pytest.raises(ConflictError) as caught:
        await worker.request("job.finish", {"job": record.job_id, "worker": "w", "attempt": 7, "artifacts": []})
    assert caught.value.code is ErrorCode.STALE_ATTEMPT
