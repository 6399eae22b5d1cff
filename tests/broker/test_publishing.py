"""Previews and events to subscribers: late joiners, slow readers, prefixes, and nonsense."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable

import numpy as np
import pytest
import zmq
import zmq.asyncio

from cryomamba.client.bus_requester import BusRequester
from cryomamba.errors import NotFoundError, ProtocolError
from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import JobEvent, JobRecord, Progress
from cryomamba.wire.constants import PREVIEW_OUT_HWM, PREVIEW_WIRE_MAX_BYTES
from cryomamba.wire.envelope import Envelope, EnvelopeFactory, decode, encode
from cryomamba.wire.messages import PREVIEW
from cryomamba.wire.preview import decode_frame, encode_frame
from cryomamba.wire.topics import ALL_EVENTS, event_topic, new_nonce, preview_topic, sync_topic
from cryomamba_broker.preview_cache import CachedFrame, PreviewCache
from cryomamba_broker.relay import AttemptFence, check_frame
from cryomamba_broker.server import Broker

Subscribe = Callable[..., zmq.asyncio.Socket]


class Camera:
    """Publishes preview frames as an inference service does."""

    def __init__(self, socket: zmq.asyncio.Socket) -> None:
        self.socket = socket
        self.stamp = EnvelopeFactory("camera")

    def parts(self, job_id: str, value: int, attempt: int = 1, side: int = 4) -> list[bytes]:
        mask = np.full((side, side, side), value, np.uint8)
        frame = PreviewFrame(job_id, mask, (1, 1, 1), mask.shape, (1.0, 1.0, 1.0), 0.5, "demo", attempt=attempt)
        body, spec, part = encode_frame(frame, codec="raw")
        topic = preview_topic(job_id)
        envelope = self.stamp.envelope(PREVIEW, body, ts=1.0, topic=topic, job=job_id, attempt=attempt, buffers=[spec])
        return [topic, encode(envelope), part]

    async def show(self, broker: Broker, job_id: str, value: int, attempt: int = 1, side: int = 4) -> None:
        """Publish a frame until the broker has kept it: a publisher cannot know when it is connected."""
        first = self.stamp.last_seq(preview_topic(job_id)) + 1
        cache = broker.core.cache
        while (kept := cache.get(job_id)) is None or kept.envelope.seq < first:
            await self.socket.send_multipart(self.parts(job_id, value, attempt, side))
            await asyncio.sleep(0)

    async def show_stale(self, broker: Broker, job_id: str, attempt: int) -> None:
        """Publish a frame until the broker has refused it."""
        while not broker.counters.frames_stale:
            await self.socket.send_multipart(self.parts(job_id, 1, attempt))
            await asyncio.sleep(0)


@pytest.fixture
def camera(broker: Broker, subscribe: Subscribe) -> Camera:
    return Camera(subscribe(broker.endpoints.preview_in, kind=zmq.PUB))


async def frame_from(socket: zmq.asyncio.Socket) -> tuple[bytes, PreviewFrame]:
    topic, header, part = await socket.recv_multipart()
    return topic, decode_frame(decode(header), part)


async def event_from(socket: zmq.asyncio.Socket) -> tuple[bytes, Envelope]:
    topic, header = await socket.recv_multipart()
    return topic, decode(header)


async def submitted(client: BusRequester) -> str:
    reply = await client.request("job.submit", {"volume": {"shape": [8, 8, 8]}, "engine": "demo"})
    return str(reply.body["job_id"])


async def test_a_late_joiner_of_an_idle_job_sees_the_last_frame(
    broker: Broker, camera: Camera, subscribe: Subscribe
) -> None:
    """Whoever joins after the last frame is sent it on a private topic, as it was published."""
    await camera.show(broker, "job", 7)
    wanted = sync_topic(preview_topic("job"), new_nonce())
    topic, frame = await frame_from(subscribe(broker.endpoints.preview_out, wanted))
    assert topic == wanted
    assert frame.job_id == "job"
    assert (frame.mask == 7).all()


async def test_the_newest_frame_can_be_asked_for(
    broker: Broker, camera: Camera, client: BusRequester, worker: BusRequester
) -> None:
    """The reply carries the frame's own fields, number and payload; without a frame there is a clear error."""
    job_id = await submitted(client)
    with pytest.raises(NotFoundError, match="no preview"):
        await client.request("preview.get", {"job": job_id})
    with pytest.raises(NotFoundError, match="no job"):
        await client.request("preview.get", {"job": "nobody"})
    await camera.show(broker, job_id, 3)
    reply = await client.request("preview.get", {"job": job_id})
    assert reply.envelope.job == job_id
    assert reply.body["seq"] >= 1
    assert reply.body["axes"] == "zyx"
    assert reply.parts == (bytes([0b11111111]) * 16,)


async def test_job_1_does_not_leak_into_job_10(broker: Broker, camera: Camera, subscribe: Subscribe) -> None:
    """A subscription is a byte prefix, and still a job's frames go to its followers alone."""
    one = subscribe(broker.endpoints.preview_out, preview_topic("job-1"), sync_topic(preview_topic("job-1"), "n"))
    await camera.show(broker, "job-10", 1)
    await camera.show(broker, "job-1", 2)
    _, frame = await frame_from(one)
    assert frame.job_id == "job-1"


async def test_a_slow_subscriber_gets_few_frames_and_can_have_the_newest(
    broker: Broker, camera: Camera, subscribe: Subscribe
) -> None:
    """Frames for a reader that does not read are dropped and not kept, and the newest is there when it asks."""
    slow = subscribe(broker.endpoints.preview_out, preview_topic("job"), hwm=1)
    # 96³ at 8 bits nearly fills a frame, so that the buffers of the system hold few of them.
    for value in range(128, 188):
        await camera.show(broker, "job", value, side=96)
    wanted = sync_topic(preview_topic("job"), new_nonce())
    _, newest = await frame_from(subscribe(broker.endpoints.preview_out, wanted))
    assert newest.mask.max() == 187
    got = 0
    while await slow.poll(200):
        await slow.recv_multipart()
        got += 1
    assert got < 40 + PREVIEW_OUT_HWM


async def test_frames_of_an_attempt_that_is_over_are_not_shown(
    broker: Broker, camera: Camera, client: BusRequester, worker: BusRequester
) -> None:
    """Once attempt 2 has begun, the frames of a zombie's attempt 1 go nowhere."""
    job_id = await submitted(client)
    for attempt in (1, 2):
        await worker.request("job.claim", {"worker": "w", "engines": ["demo"]})
        if attempt == 1:
            await worker.request("job.release", {"job": job_id, "worker": "w", "attempt": 1})
    await camera.show_stale(broker, job_id, 1)
    with pytest.raises(NotFoundError):
        await client.request("preview.get", {"job": job_id})
    await camera.show(broker, job_id, 2, attempt=2)
    assert (await client.request("preview.get", {"job": job_id})).envelope.attempt == 2


async def test_states_and_progress_are_published_in_order(
    broker: Broker, client: BusRequester, worker: BusRequester, subscribe: Subscribe
) -> None:
    """A follower of all events sees every change of a job with the record as it then is, without a gap."""
    everything = subscribe(broker.endpoints.events, ALL_EVENTS, sync_topic(ALL_EVENTS, "n"))
    _, head = await event_from(everything)
    assert (head.type, head.body) == ("bus.head", {"last": 0, "jobs": 0})
    job_id = await submitted(client)
    await worker.request("job.claim", {"worker": "w", "engines": ["demo"]})
    lease = {"job": job_id, "worker": "w", "attempt": 1}
    await worker.request("job.progress", {**lease, "progress": {"fraction": 0.25, "stage": "looking"}})
    await worker.request("job.finish", {**lease, "artifacts": []})
    got = [await event_from(everything) for _ in range(4)]
    assert [topic for topic, _ in got] == [event_topic(job_id)] * 4
    assert [envelope.seq for _, envelope in got] == [1, 2, 3, 4]
    assert [envelope.type for _, envelope in got] == ["job.state", "job.state", "job.progress", "job.state"]
    states = [envelope for _, envelope in got if envelope.type == "job.state"]
    assert [JobEvent.model_validate(state.body["event"]).n for state in states] == [1, 2, 3]
    for state in states:
        assert JobRecord.model_validate(state.body["record"]).state == state.body["event"]["state"]
    assert Progress.model_validate(got[2][1].body["progress"]).fraction == 0.25


async def test_a_late_joiner_of_a_job_is_sent_its_state(
    broker: Broker, client: BusRequester, worker: BusRequester, subscribe: Subscribe
) -> None:
    """The snapshot on the private topic holds the newest event, the record, and the number to count on from."""
    job_id = await submitted(client)
    await client.request("job.cancel", {"job": job_id})
    wanted = sync_topic(event_topic(job_id), new_nonce())
    topic, snapshot = await event_from(subscribe(broker.endpoints.events, wanted))
    assert topic == wanted
    assert snapshot.seq == 2
    assert snapshot.body["event"]["type"] == "job_cancelled"
    assert JobRecord.model_validate(snapshot.body["record"]).job_id == job_id


async def test_random_bytes_on_every_socket_cost_counters_only(
    broker: Broker, client: BusRequester, camera: Camera, subscribe: Subscribe
) -> None:
    """After thousands of bytes of nonsense on all four sockets, and on bare TCP, the broker answers as before."""
    dice = random.Random(4)
    ends = broker.endpoints
    sockets = [
        subscribe(ends.jobs, kind=zmq.DEALER),
        camera.socket,
        subscribe(ends.preview_out, kind=zmq.XSUB),
        subscribe(ends.events, kind=zmq.XSUB),
    ]
    await camera.show(broker, "job", 1)
    before = broker.counters.malformed
    good = camera.parts("job", 1)
    for _ in range(100):
        junk = [dice.randbytes(dice.randrange(200)) for _ in range(dice.randrange(1, 4))]
        for socket in sockets:
            await socket.send_multipart(junk)
        mutated = good.copy()
        mutated[1] = mutated[1][: dice.randrange(len(mutated[1]))]
        await camera.socket.send_multipart(mutated)
        # A subscription to something that is no topic.
        await sockets[3].send(b"\x01sync/" + dice.randbytes(20))
        assert (await client.request("ping", {})).body["protocol"] == 1
    host, _, port = ends.jobs.removeprefix("tcp://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(os.urandom(4096))
    writer.close()
    await reader.read()
    while broker.counters.malformed < before + 200:
        await client.request("ping", {})
    await camera.show(broker, "job", 2)


def test_a_preview_message_is_checked_without_its_voxels() -> None:
    """Topic, header and size must fit together, or the message goes no further."""
    camera = Camera(zmq.asyncio.Socket.__new__(zmq.asyncio.Socket))
    good = camera.parts("job", 1)
    assert check_frame([zmq.Frame(part) for part in good])[0] == "job"
    other = camera.parts("another", 1)
    for wrong in (
        good[:2],
        [*good, b""],
        [b"v1/preview/", *good[1:]],
        [b"v1/event/job/", *good[1:]],
        [b"sync/n/v1/preview/job/", *good[1:]],
        [good[0], other[1], good[2]],
        [good[0], good[1], bytes(PREVIEW_WIRE_MAX_BYTES + 1)],
    ):
        with pytest.raises(ProtocolError):
            check_frame([zmq.Frame(part) for part in wrong])


def test_the_cache_keeps_the_newest_frames_within_its_bytes() -> None:
    """One frame per job; the bytes never exceed the bound, and what was used last stays."""
    envelope = EnvelopeFactory("c").envelope(PREVIEW, {}, ts=0.0)

    def frame(nbytes: int) -> CachedFrame:
        return CachedFrame(envelope, b"", memoryview(bytes(nbytes)))

    cache = PreviewCache(max_bytes=5 * frame(1000).nbytes)
    for number in range(100):
        cache.put(f"job-{number % 7}", frame(1000))
        assert cache.nbytes <= cache.max_bytes
    assert len(cache) == 5
    oldest = next(f"job-{n}" for n in range(7) if cache.get(f"job-{n}") is not None)
    cache.get(oldest)
    cache.put("new", frame(1000))
    assert cache.get(oldest) is not None
    cache.put("huge", frame(cache.max_bytes))
    assert cache.get("huge") is None
    assert cache.nbytes == 0


def test_the_fence_forgets_old_jobs_but_not_new_ones() -> None:
    """The table of attempts is bounded."""
    fence = AttemptFence()
    for number in range(20_000):
        fence.advance(str(number), 2)
    assert fence.is_stale("19999", 1)
    assert not fence.is_stale("19999", 2)
    assert not fence.is_stale("0", 1)
    assert fence.is_stale("19999", None)
