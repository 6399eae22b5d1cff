"""Owners on a locked bus: what one owner submits, lists, follows and reads excludes the jobs of others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import numpy as np
import pytest
import zmq
import zmq.asyncio
from tests.broker.locked_bus import DEMO, FILE, LockedBus

from cryomamba.access.keys import key_for
from cryomamba.access.roles import Role
from cryomamba.access.visibility import Visibility
from cryomamba.client import calls
from cryomamba.errors import CryoMambaError, NotFoundError
from cryomamba.models.events import ConnectionEvent, StateEvent
from cryomamba.models.files import FileRecord
from cryomamba.models.jobs import SubmitRequest, VolumeSource
from cryomamba.testing import wait_until_async
from cryomamba.volumes import inspect, write_volume
from cryomamba.wire.envelope import EnvelopeFactory, decode, encode
from cryomamba.wire.topics import event_topic, new_nonce, owned_topic, preview_topic, sync_topic
from cryomamba_server import retention
from cryomamba_server.uploaded_files import RECORD, VOLUME


async def all_of(socket: zmq.asyncio.Socket, until: bytes) -> list[bytes]:
    """Read topics until one comes that is sure to come last."""
    topics: list[bytes] = []
    async with asyncio.timeout(20):
        while not (topics and topics[-1].startswith(until)):
            topics.append((await socket.recv_multipart())[0])
    return topics


async def test_an_owner_cannot_be_chosen(bus: LockedBus) -> None:
    """A client's job is its key's owner's whatever it says; an administrator, as the gateway, says whose it is."""
    assert (await bus.bob.call(calls.submit_job(DEMO.model_copy(update={"owner": "ada"})))).owner == "bob"
    assert (await bus.admin.call(calls.submit_job(DEMO.model_copy(update={"owner": "carol"})))).owner == "carol"
    laptop = bus.transport(bus.key("laptop", owner="ada"))
    assert (await laptop.call(calls.submit_job(DEMO))).owner == "ada"


async def test_the_same_key_of_two_people(bus: LockedBus) -> None:
    """Two people may use the same client key, and neither learns of the other's job."""
    request = DEMO.model_copy(update={"client_key": "the-same"})
    first, again = await bus.ada.call(calls.submit_job(request)), await bus.ada.call(calls.submit_job(request))
    other = await bus.bob.call(calls.submit_job(request.model_copy(update={"name": "another"})))
    assert first.job_id == again.job_id != other.job_id


async def test_listings_tell_of_ones_own(bus: LockedBus) -> None:
    """Jobs, events and what a worker is at are told to those in whose sight they are, asked for or not."""
    job = (await bus.ada.call(calls.submit_job(DEMO))).job_id
    assert (await bus.claimed()).job_id == job
    own = (await bus.bob.call(calls.submit_job(DEMO))).job_id
    for caller in (bus.bob, bus.admin.on_behalf_of(Visibility.of("bob"))):
        page = await caller.call(calls.list_jobs(state=None, limit=10, cursor=None))
        assert {record.job_id for record in page.jobs} == {own}
    events = (await bus.bob.requester.request("events.since", {"n": 0})).body["events"]
    assert {event["job_id"] for event in events} == {own}
    assert [worker.job_id for worker in (await bus.bob.call(calls.server_info())).workers] == [None]
    assert [worker.job_id for worker in (await bus.admin.call(calls.server_info())).workers] == [job]


async def test_anothers_volume_is_not_there(bus: LockedBus) -> None:
    """Neither an uploaded file nor the scores of a job can be borrowed, and a file without a record is nobody's."""
    folder = bus.broker.settings.uploads / "files" / FILE
    folder.mkdir(parents=True)
    write_volume(folder / VOLUME, np.zeros((4, 4, 4), np.float32), 10.0)
    job = (await bus.ada.call(calls.submit_job(DEMO))).job_id
    scores = bus.broker.settings.artifacts / job / "scores.mrc"
    scores.parent.mkdir(parents=True)
    write_volume(scores, np.zeros((4, 4, 4), np.float32), 10.0)
    for source in (VolumeSource(file_id=FILE), VolumeSource(job_id=job)):
        with pytest.raises(NotFoundError):
            await bus.bob.call(calls.submit_job(SubmitRequest(volume=source, engine="threshold")))
    record = FileRecord(
        file_id=FILE,
        filename="a.mrc",
        size_bytes=1,
        sha256="0" * 64,
        metadata=inspect(folder / VOLUME),
        owner="ada",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    (folder / RECORD).write_text(record.model_dump_json())
    with pytest.raises(NotFoundError):
        await bus.bob.call(calls.submit_job(SubmitRequest(volume=VolumeSource(file_id=FILE), engine="threshold")))
    assert (
        await bus.ada.call(calls.submit_job(SubmitRequest(volume=VolumeSource(file_id=FILE), engine="threshold")))
    ).owner == "ada"


async def test_an_eavesdropper_with_a_key_reads_nothing(bus: LockedBus) -> None:
    """Whatever a client subscribes to, events of another's jobs do not come: all, a prefix, the job, its sync topic."""
    job = (await bus.ada.call(calls.submit_job(DEMO))).job_id
    spy = bus.socket(bus.files["bob"], bus.broker.endpoints.events)
    tried = [b"", b"v", b"v1/", b"v1/event/", b"v1/owned/", owned_topic("ada"), b"sync/", event_topic(job)]
    tried += [event_topic(job)[:-1], owned_topic("ada", job), b"v1/event/" + job[:8].encode()]
    tried += [sync_topic(topic, "n") for topic in (event_topic(job), b"v1/event/", owned_topic("ada"))]
    for topic in tried:
        spy.subscribe(topic)
    # The broker reads a connection's subscriptions in order, so the answer to the last one comes after all refusals.
    last = sync_topic(owned_topic("bob"), new_nonce())
    spy.subscribe(last)
    assert await all_of(spy, last) == [last]
    await bus.ada.call(calls.cancel_job(job))
    own = (await bus.bob.call(calls.submit_job(DEMO))).job_id
    spy.subscribe(owned_topic("bob"))
    spy.subscribe(sync_topic(event_topic(own), "n"))
    topics = await all_of(spy, sync_topic(event_topic(own), "n"))
    await bus.admin.call(calls.cancel_job((await bus.ada.call(calls.submit_job(DEMO))).job_id))
    await bus.bob.call(calls.cancel_job(own))
    topics += await all_of(spy, owned_topic("bob", own))
    assert not [topic for topic in topics if own.encode() not in topic]


async def test_previews_are_for_their_owner(bus: LockedBus) -> None:
    """Frames, and the last one for late joiners, go to the job's owner and the administrator, and to nobody else."""
    await bus.ada.call(calls.submit_job(DEMO))
    job, stamp = await bus.claimed(), EnvelopeFactory("camera")
    camera = bus.socket(key_for(bus.broker.settings, Role.WORKER), bus.broker.endpoints.preview_in, zmq.PUB)
    await bus.show(camera, stamp, job)
    wanted = [preview_topic(job.job_id), sync_topic(preview_topic(job.job_id), "n")]
    keys = [bus.files["ada"], key_for(bus.broker.settings, Role.ADMIN), bus.files["bob"]]
    readers = [bus.socket(key, bus.broker.endpoints.preview_out) for key in keys]
    for reader in readers:
        for topic in [b"", b"v1/preview/", *wanted] if reader is readers[2] else wanted:
            reader.subscribe(topic)
    for reader in readers[:2]:
        assert (await all_of(reader, wanted[1]))[-1] == wanted[1]
        await bus.show(camera, stamp, job)
        assert (await all_of(reader, wanted[0]))[-1] == wanted[0]
    assert not await readers[2].poll(100)


async def test_all_that_is_ones_own_is_followed(bus: LockedBus) -> None:
    """The SDK's stream of all jobs is, with a client's key, that of its owner; the administrator's has every job."""
    async with contextlib.aclosing(bus.bob.watch_all()) as mine:
        await anext(event async for event in mine if isinstance(event, ConnectionEvent) and event.status == "connected")
        await bus.ada.call(calls.submit_job(DEMO))
        made = (await bus.bob.call(calls.submit_job(DEMO))).job_id
        assert (await anext(aiter(_states(mine)))).event.job_id == made
    job = (await bus.ada.call(calls.submit_job(DEMO))).job_id
    async with contextlib.aclosing(bus.ada.watch(job, previews=True)) as events:
        assert (await anext(aiter(_states(events)))).record.job_id == job
    with pytest.raises(CryoMambaError):
        async with contextlib.aclosing(bus.bob.watch(job, previews=True)) as events:
            await anext(aiter(_states(events)))


async def _states(events: AsyncIterator[object]) -> AsyncIterator[StateEvent]:
    async for event in events:
        if isinstance(event, StateEvent):
            yield event


@pytest.mark.parametrize("endpoint", ["events", "preview_out"])
async def test_a_shifted_subscription_opens_nothing(bus: LockedBus, endpoint: str) -> None:
    """A message that is no subscription does not let the next victim's subscription be made for its sender.

    In libzmq 4.3.5 it would: the message takes the place of a subscription in the list of connections to which they
    are added, but not in the list of those that are read.
    """
    where = getattr(bus.broker.endpoints, endpoint)
    job = (await bus.ada.call(calls.submit_job(DEMO))).job_id
    topic = event_topic(job) if endpoint == "events" else preview_topic(job)
    eves = [bus.socket(bus.key(f"eve{n}"), where, zmq.XSUB) for n in range(2)]
    monitor = eves[0].get_monitor_socket(zmq.Event.DISCONNECTED | zmq.Event.HANDSHAKE_FAILED_AUTH)
    for eve in eves:
        await eve.send(b"\x01" + (event_topic("nothing")))
    victim = bus.socket(bus.files["ada"], where)
    await eves[0].send(b"no subscription")
    victim.subscribe(topic)
    await eves[1].send(b"\x01" + event_topic("nothing"))
    seen = set()
    async with asyncio.timeout(20):
        while zmq.Event.HANDSHAKE_FAILED_AUTH not in seen:
            seen.add(zmq.utils.monitor.parse_monitor_message(await monitor.recv_multipart())["event"])
    eves[0].disable_monitor()
    monitor.close(linger=0)
    victim.subscribe(sync_topic(event_topic(job), "n"))
    if endpoint == "events":
        await all_of(victim, sync_topic(event_topic(job), "n"))

        async def told() -> bool:
            # Only what was published after the cut shows whether the subscription is there again.
            await bus.admin.call(calls.retry_job(job)) if (
                await bus.ada.call(calls.get_job(job))
            ).state == "cancelled" else await bus.ada.call(calls.cancel_job(job))
            return bool(await victim.poll(50))

        await wait_until_async(told, what="the victim to hear of its job again")
    assert not await eves[1].poll(100)


async def test_a_name_gives_no_claim_to_anothers_answers(bus: LockedBus) -> None:
    """A connection that takes a victim's routing id gets none of its answers."""
    first, second = (
        bus.socket(bus.files[name], bus.broker.endpoints.jobs, zmq.DEALER, routing_id=b"victim")
        for name in ("ada", "bob")
    )
    stamp = EnvelopeFactory("x")
    await first.send(encode(stamp.envelope("ping", {}, ts=1.0, owner="*")))
    async with asyncio.timeout(20):
        assert decode(await first.recv()).type == "reply"
    await second.send(encode(stamp.envelope("ping", {}, ts=1.0, owner="*")))
    await first.send(encode(stamp.envelope("server.info", {}, ts=1.0, owner="*")))
    async with asyncio.timeout(20):
        assert "engines" in decode(await first.recv()).body
    assert not await second.poll(100)


async def test_housekeeping_sees_every_job(bus: LockedBus) -> None:
    """'cryomamba gc' asks with the home's own key, so that no one's files seem to be nobody's."""
    jobs = {(await bus.ada.call(calls.submit_job(DEMO))).job_id, (await bus.bob.call(calls.submit_job(DEMO))).job_id}
    assert {record.job_id for record in await retention._all_jobs(bus.broker.settings)} == jobs
