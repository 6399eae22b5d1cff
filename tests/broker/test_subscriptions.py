"""Which subscriptions a locked bus accepts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import zmq
import zmq.asyncio
from tests.broker.locked_bus import DEMO, LockedBus

from cryomamba.access.keys import key_for
from cryomamba.access.roles import Role
from cryomamba.client import calls
from cryomamba.errors import CryoMambaError
from cryomamba.models.events import ConnectionEvent, StateEvent
from cryomamba.testing import wait_until_async
from cryomamba.wire.envelope import EnvelopeFactory
from cryomamba.wire.topics import event_topic, new_nonce, owned_topic, preview_topic, sync_topic
from cryomamba_broker import topic_count


async def all_of(socket: zmq.asyncio.Socket, until: bytes) -> list[bytes]:
    """Read topics until one arrives that must be the last."""
    topics: list[bytes] = []
    async with asyncio.timeout(20):
        while not (topics and topics[-1].startswith(until)):
            topics.append((await socket.recv_multipart())[0])
    return topics


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


async def test_a_client_follows_all_jobs_of_its_owner(bus: LockedBus) -> None:
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


async def test_a_key_cannot_fill_the_memory_with_topics(bus: LockedBus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Subscriptions beyond the limit are ignored; others are served, and so is the owner once the socket is closed."""
    monkeypatch.setattr(topic_count, "TOPICS_MAX", 50)
    spy = bus.socket(bus.files["bob"], bus.broker.endpoints.events)
    # In the order of their bytes, in which ZeroMQ asks again if it has to connect again.
    topics = [sync_topic(owned_topic("bob"), f"n{number:02}") for number in range(60)]
    for topic in topics:
        spy.subscribe(topic)
    answered = await all_of(spy, topics[49])
    other = bus.socket(bus.files["ada"], bus.broker.endpoints.events)
    wanted = sync_topic(owned_topic("ada"), "n")
    other.subscribe(wanted)
    assert await all_of(other, wanted) == [wanted]
    while await spy.poll(100):
        answered += (await spy.recv_multipart())[:1]
    assert set(answered) == set(topics[:50])
    spy.close(linger=0)

    async def is_served() -> bool:
        again = bus.socket(bus.files["bob"], bus.broker.endpoints.events)
        again.subscribe(topics[-1])
        found = bool(await again.poll(500))
        again.close(linger=0)
        return found

    await wait_until_async(is_served, what="a subscription to be accepted again")


async def test_topics_that_are_ignored_take_no_memory_either(bus: LockedBus, monkeypatch: pytest.MonkeyPatch) -> None:
    """ZeroMQ remembers each topic that a connection has asked for: beyond twice the limit the connection is ended.

    It counts neither whether the topic is permitted nor who says to have given it up without ever having had it.
    """
    monkeypatch.setattr(topic_count, "TOPICS_MAX", 50)
    spy = bus.socket(bus.files["bob"], bus.broker.endpoints.events, zmq.XSUB)
    monitor = spy.get_monitor_socket(zmq.Event.DISCONNECTED)
    for number in range(120):
        await spy.send(b"\x01" + owned_topic("ada", f"made-up-{number}"))
        await spy.send(b"\x00" + owned_topic("bob", f"never-had-{number}"))
    async with asyncio.timeout(20):
        await monitor.recv_multipart()
    spy.disable_monitor()
    monitor.close(linger=0)
    spy.close(linger=0)
    other = bus.socket(bus.files["ada"], bus.broker.endpoints.events)
    wanted = sync_topic(owned_topic("ada"), "n")
    other.subscribe(wanted)
    assert await all_of(other, wanted) == [wanted]


@pytest.mark.slow
async def test_requests_do_not_wait_for_leaving_subscribers(bus: LockedBus) -> None:
    """When many connections with many topics end at once, a request is answered long before the events go on.

    ZeroMQ looks through all topics for each of them, in the thread that uses the socket.
    """
    peers, topics, key = 100, 100, bus.admin_key
    assert key is not None
    context = zmq.Context()
    context.set(zmq.MAX_SOCKETS, peers + 8)
    crowd = [context.socket(zmq.SUB) for _ in range(peers)]
    for number, peer in enumerate(crowd):
        key.secure(peer)
        for topic in range(topics):
            peer.subscribe(owned_topic("ada", f"{number}-{topic}-".ljust(30, "x")))
        peer.subscribe(sync_topic(owned_topic("ada"), f"n{number}"))
        peer.connect(bus.broker.endpoints.events)
    # A connection's subscriptions are handled in order, so the answer to the last one comes after all of them.
    for peer in crowd:
        assert await asyncio.to_thread(peer.poll, 20_000)
    ada = bus.socket(bus.files["ada"], bus.broker.endpoints.events)
    ada.subscribe(sync_topic(owned_topic("ada"), "before"))
    await ada.recv_multipart()
    for peer in crowd:
        peer.close(linger=0)
    await asyncio.to_thread(context.term)
    ada.subscribe(sync_topic(owned_topic("ada"), "after"))
    events = asyncio.ensure_future(ada.recv_multipart())
    await bus.bob.call(calls.submit_job(DEMO))
    assert not events.done()
    async with asyncio.timeout(60):
        assert (await events)[0] == sync_topic(owned_topic("ada"), "after")


async def _states(events: AsyncIterator[object]) -> AsyncIterator[StateEvent]:
    async for event in events:
        if isinstance(event, StateEvent):
            yield event


@pytest.mark.parametrize("endpoint", ["events", "preview_out"])
async def test_a_shifted_subscription_opens_nothing(bus: LockedBus, endpoint: str) -> None:
    """A message that is not a subscription does not redirect the next subscription of another peer to its sender.

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

        async def received() -> bool:
            # Only what was published after the cut shows whether the subscription is there again.
            await bus.admin.call(calls.retry_job(job)) if (
                await bus.ada.call(calls.get_job(job))
            ).state == "cancelled" else await bus.ada.call(calls.cancel_job(job))
            return bool(await victim.poll(50))

        await wait_until_async(received, what="the victim to get events again")
    assert not await eves[1].poll(100)
