"""The relay of preview frames: late joiners, slow readers, prefixes, and frames of ended attempts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import zmq
import zmq.asyncio
from tests.broker.frame_publisher import FramePublisher
from tests.broker.jobs import submit_job

from cryomamba.client.bus_requester import BusRequester
from cryomamba.errors import NotFoundError, ProtocolError
from cryomamba.models.frames import PreviewFrame
from cryomamba.wire.constants import PREVIEW_OUT_HWM, PREVIEW_WIRE_MAX_BYTES
from cryomamba.wire.envelope import decode
from cryomamba.wire.preview import decode_frame
from cryomamba.wire.topics import new_nonce, preview_topic, sync_topic
from cryomamba_broker.preview_relay import AttemptFence, check_frame
from cryomamba_broker.server import Broker

Subscribe = Callable[..., zmq.asyncio.Socket]


async def frame_from(socket: zmq.asyncio.Socket) -> tuple[bytes, PreviewFrame]:
    topic, header, part = await socket.recv_multipart()
    return topic, decode_frame(decode(header), part)


async def test_a_late_joiner_of_an_idle_job_sees_the_last_frame(
    broker: Broker, frames: FramePublisher, subscribe: Subscribe
) -> None:
    """Whoever joins after the last frame is sent it on a private topic, as it was published."""
    await frames.publish(broker, "job", 7)
    wanted = sync_topic(preview_topic("job"), new_nonce())
    topic, frame = await frame_from(subscribe(broker.endpoints.preview_out, wanted))
    assert topic == wanted
    assert frame.job_id == "job"
    assert (frame.mask == 7).all()


async def test_the_newest_frame_can_be_asked_for(
    broker: Broker, frames: FramePublisher, client: BusRequester, worker: BusRequester
) -> None:
    """The reply carries the frame's own fields, number and payload; without a frame there is a clear error."""
    job_id = (await submit_job(client)).job_id
    with pytest.raises(NotFoundError, match="no preview"):
        await client.request("preview.get", {"job": job_id})
    with pytest.raises(NotFoundError, match="no job"):
        await client.request("preview.get", {"job": "nobody"})
    await frames.publish(broker, job_id, 3)
    reply = await client.request("preview.get", {"job": job_id})
    assert reply.envelope.job == job_id
    assert reply.body["seq"] >= 1
    assert reply.body["axes"] == "zyx"
    assert reply.parts == (bytes([0b11111111]) * 16,)


async def test_job_1_does_not_leak_into_job_10(broker: Broker, frames: FramePublisher, subscribe: Subscribe) -> None:
    """A subscription is a byte prefix, and still a job's frames go to its followers alone."""
    one = subscribe(broker.endpoints.preview_out, preview_topic("job-1"), sync_topic(preview_topic("job-1"), "n"))
    await frames.publish(broker, "job-10", 1)
    await frames.publish(broker, "job-1", 2)
    _, frame = await frame_from(one)
    assert frame.job_id == "job-1"


async def test_a_slow_subscriber_gets_few_frames_and_can_have_the_newest(
    broker: Broker, frames: FramePublisher, subscribe: Subscribe
) -> None:
    """Frames for a reader that does not read are dropped and not kept, and the newest is there when it asks."""
    slow = subscribe(broker.endpoints.preview_out, preview_topic("job"), hwm=1)
    # 96³ at 8 bits nearly fills a frame, so that the buffers of the system hold few of them.
    for value in range(128, 188):
        await frames.publish(broker, "job", value, side=96)
    wanted = sync_topic(preview_topic("job"), new_nonce())
    _, newest = await frame_from(subscribe(broker.endpoints.preview_out, wanted))
    assert newest.mask.max() == 187
    got = 0
    while await slow.poll(200):
        await slow.recv_multipart()
        got += 1
    assert got < 40 + PREVIEW_OUT_HWM


async def test_frames_of_an_attempt_that_is_over_are_not_shown(
    broker: Broker, frames: FramePublisher, client: BusRequester, worker: BusRequester
) -> None:
    """Once attempt 2 has begun, the frames of a zombie's attempt 1 go nowhere."""
    job_id = (await submit_job(client)).job_id
    for attempt in (1, 2):
        await worker.request("job.claim", {"worker": "w", "engines": ["demo"]})
        if attempt == 1:
            await worker.request("job.release", {"job": job_id, "worker": "w", "attempt": 1})
    await frames.publish_stale(broker, job_id, 1)
    with pytest.raises(NotFoundError):
        await client.request("preview.get", {"job": job_id})
    await frames.publish(broker, job_id, 2, attempt=2)
    assert (await client.request("preview.get", {"job": job_id})).envelope.attempt == 2


def test_a_preview_message_is_checked_without_its_voxels() -> None:
    """Topic, header and size must fit together, or the message goes no further."""
    frames = FramePublisher(zmq.asyncio.Socket.__new__(zmq.asyncio.Socket))
    good = frames.parts("job", 1)
    assert check_frame([zmq.Frame(part) for part in good])[0] == "job"
    other = frames.parts("another", 1)
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


def test_the_fence_forgets_old_jobs_but_not_new_ones() -> None:
    """The table of attempts is bounded."""
    fence = AttemptFence()
    for number in range(20_000):
        fence.advance(str(number), 2)
    assert fence.is_stale("19999", 1)
    assert not fence.is_stale("19999", 2)
    assert not fence.is_stale("0", 1)
    assert fence.is_stale("19999", None)
