"""Subscriptions: one pair of sockets, one queue for each watcher."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest_asyncio
import zmq
import zmq.asyncio

from cryomamba.access.visibility import Visibility
from cryomamba.client.bus_subscriber import BusMessage, BusSubscriber, Subscription
from cryomamba.endpoints import BusEndpoints
from cryomamba.models.events import ConnectionEvent
from cryomamba.testing import DEADLINE_S
from cryomamba.wire.envelope import EnvelopeFactory, encode
from cryomamba.wire.messages import PROGRESS, STATE
from cryomamba.wire.topics import event_topic, owned_topic, parse_topic, sync_topic


class Publisher:
    """The events and previews sockets of a broker."""

    def __init__(self) -> None:
        self.context = zmq.asyncio.Context()
        self.envelopes = EnvelopeFactory("broker")
        self.sockets = [self.context.socket(zmq.XPUB) for _ in range(2)]
        ports = []
        for socket in self.sockets:
            socket.setsockopt(zmq.LINGER, 0)
            ports.append(socket.bind_to_random_port("tcp://127.0.0.1"))
        events, previews = (f"tcp://127.0.0.1:{port}" for port in ports)
        self.endpoints = BusEndpoints(jobs=events, preview_in=events, preview_out=previews, events=events)

    async def subscribed(self) -> tuple[bool, bytes]:
        """Return the next change of the subscriptions to events."""
        raw = await self.sockets[0].recv()
        return raw[:1] == b"\x01", raw[1:]

    async def publish(self, topic: bytes, type_: str, **body: object) -> None:
        envelope = self.envelopes.envelope(type_, body, ts=1.0, job="j")
        await self.sockets[0].send_multipart([topic, encode(envelope)])

    def close(self) -> None:
        for socket in self.sockets:
            socket.close()
        self.context.term()


@pytest_asyncio.fixture
async def publisher() -> AsyncIterator[Publisher]:
    made = Publisher()
    yield made
    made.close()


@pytest_asyncio.fixture
async def subscriber(publisher: Publisher) -> AsyncIterator[BusSubscriber]:
    made = BusSubscriber(publisher.endpoints)
    yield made
    await made.close()


async def messages(subscription: Subscription, count: int) -> list[BusMessage]:
    """Return the next messages, without news of the connection."""
    found: list[BusMessage] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            received = await subscription.queue.get()
            assert received is not None
            if isinstance(received[0], BusMessage):
                found.append(received[0])
    return found


async def test_a_late_joiner_is_sent_the_present_state_alone(publisher: Publisher, subscriber: BusSubscriber) -> None:
    """On a private topic, which others do not read."""
    early = subscriber.subscribe("j", previews=False)
    topics = [await publisher.subscribed(), await publisher.subscribed()]
    assert topics[0] == (True, event_topic("j"))
    assert parse_topic(topics[1][1]).nonce == early.nonce
    late = subscriber.subscribe("j", previews=False)
    joined, private = await publisher.subscribed()
    assert (joined, private) == (True, sync_topic(event_topic("j"), late.nonce))
    await publisher.publish(private, STATE, n=1)
    await publisher.publish(event_topic("j"), STATE, n=2)
    assert [found.envelope.body["n"] for found in await messages(late, 2)] == [1, 2]
    assert [found.envelope.body["n"] for found in await messages(early, 1)] == [2]


async def test_states_are_never_dropped_and_progress_is_replaced(
    publisher: Publisher, subscriber: BusSubscriber
) -> None:
    """A slow watcher costs bounded memory and misses no change."""
    watcher, witness = (subscriber.subscribe("j", previews=False) for _ in range(2))
    for _ in range(3):
        await publisher.subscribed()
    for n in range(5):
        await publisher.publish(event_topic("j"), PROGRESS, n=n)
        await publisher.publish(event_topic("j"), STATE, n=n)
    # Who reads as fast as they come has seen the last, so the other's queue is complete.
    while (await messages(witness, 1))[0].envelope.body != {"n": 4}:
        pass
    await messages(witness, 1)
    unread = [found.envelope for found in await messages(watcher, 6)]
    assert [found.body["n"] for found in unread if found.type == STATE] == list(range(5))
    assert [found.body["n"] for found in unread if found.type == PROGRESS] == [4]


async def test_a_visibility_decides_what_all_means(publisher: Publisher, subscriber: BusSubscriber) -> None:
    """The events of everybody's jobs, or those of one owner's."""
    subscriber.subscribe_all(Visibility.of("ada"))
    assert await publisher.subscribed() == (True, owned_topic("ada"))


async def test_a_closed_subscription_gets_nothing_and_leaves_nothing(
    publisher: Publisher, subscriber: BusSubscriber
) -> None:
    """The sockets unsubscribe with the last who follows a topic; closing twice is no error."""
    first, second = (subscriber.subscribe("j", previews=False) for _ in range(2))
    for _ in range(3):
        await publisher.subscribed()
    first.close()
    first.close()
    assert await publisher.subscribed() == (False, sync_topic(event_topic("j"), first.nonce))
    second.close()
    assert {await publisher.subscribed(), await publisher.subscribed()} == {
        (False, event_topic("j")),
        (False, sync_topic(event_topic("j"), second.nonce)),
    }
    while (received := await second.queue.get()) is not None:
        assert isinstance(received[0], ConnectionEvent)


async def test_the_connection_and_a_restart_are_reported(publisher: Publisher, subscriber: BusSubscriber) -> None:
    """Another epoch is another process, although the connection may have held."""
    connection = subscriber.subscribe_connection()
    watcher = subscriber.subscribe("j", previews=False)
    async with asyncio.timeout(20):
        while subscriber.connection.status != "connected":
            assert await connection.queue.get() is not None
    for _ in range(2):
        await publisher.subscribed()
    await publisher.publish(event_topic("j"), STATE)
    publisher.envelopes = EnvelopeFactory("broker")
    await publisher.publish(event_topic("j"), STATE)
    await messages(watcher, 2)
    while (received := await connection.queue.get()) is not None:
        if isinstance(received[0], ConnectionEvent) and received[0].status == "restarted":
            break
    await subscriber.close()
    await subscriber.close()
    assert await watcher.queue.get() is None


def test_a_stalled_subscriber_survives_a_new_connection() -> None:
    """A process that has not read many frames when its connection is replaced is not ended by libzmq."""
    program = [sys.executable, "-m", "tests.sdk.client.stalled_subscriber"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=4 * DEADLINE_S, check=False)
    assert done.returncode == 0, done.stderr
