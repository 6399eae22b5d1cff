"""The final frame and the final state come over two sockets; a follower yields the frame first, if it comes at all."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from tests.sdk.client.records import record

from cryomamba.client.bus_subscriber import BusMessage, Subscription
from cryomamba.client.bus_watch import JobWatch, decode_message
from cryomamba.client.job_follower import JobFollower, Published
from cryomamba.errors import NotFoundError, UnavailableError
from cryomamba.models.events import ConnectionEvent, PreviewEvent, StateEvent
from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import JobRecord
from cryomamba.wire.envelope import EnvelopeFactory
from cryomamba.wire.messages import PREVIEW, STATE
from cryomamba.wire.preview import encode_frame

EARLY = PreviewFrame(
    "a-job", np.ones((2, 2, 2), np.uint8), (1, 1, 1), (2, 2, 2), (1, 1, 1), 0.5, "demo", {1: "a"}, ts=3.0
)
FINAL = replace(EARLY, final=True, progress=1.0, ts=4.0)


def preview(frame: PreviewFrame) -> BusMessage:
    body, spec, part = encode_frame(frame, codec="raw")
    envelope = EnvelopeFactory("w").envelope(PREVIEW, body, ts=frame.ts, job="a-job", attempt=1, buffers=[spec])
    return BusMessage(envelope, b"", part)


def state(job: JobRecord) -> BusMessage:
    body = {"event": job.history[-1].model_dump(mode="json"), "record": job.model_dump(mode="json")}
    return BusMessage(EnvelopeFactory("b").envelope(STATE, body, ts=1.0, job="a-job"), b"")


@dataclass
class Source:
    """A job whose messages have all arrived already."""

    job: JobRecord
    subscription: Subscription
    kept: PreviewFrame | None = None

    async def subscribe(self, job_id: str, *, previews: bool) -> Subscription:  # noqa: ARG002 (the protocol's)
        return self.subscription

    async def record(self, job_id: str) -> JobRecord:  # noqa: ARG002
        return self.job

    async def last_frame(self, job_id: str) -> BusMessage:  # noqa: ARG002
        if self.kept is None:
            raise NotFoundError("There is no preview.")
        return preview(self.kept)


def source(
    *received: BusMessage | ConnectionEvent, job: JobRecord | None = None, kept: PreviewFrame | None = None
) -> Source:
    subscription = Subscription(())
    for message in received:
        if isinstance(message, BusMessage):
            subscription.deliver(message)
        else:
            subscription.queue.put(message)
    return Source(job or record("pending", "running"), subscription, kept)


def seen(frame: PreviewFrame) -> str:
    return "final" if frame.final else "early"


async def story(found: Source) -> list[str]:
    """Follow a job to its end and name what was yielded."""
    follower, received = JobFollower(found, "a-job", previews=True), []
    async for item in follower.items():
        match item:
            case JobRecord():
                received.append(f"is {item.state}")
            case StateEvent():
                received.append(str(item.event.state))
            case Published():
                received.append(seen(decode_message(item.message)))
            case ConnectionEvent():
                received.append(item.status)
    return received


COMPLETED = record("pending", "running", "completed")
FAILED = record("pending", "running", "failed")


@pytest.mark.parametrize(
    ("first", "end", "late", "kept", "expected"),
    [
        ([EARLY], COMPLETED, [FINAL], EARLY, ["early", "final", "completed"]),
        ([EARLY], COMPLETED, [], FINAL, ["early", "final", "completed"]),
        ([EARLY], COMPLETED, [], EARLY, ["early", "completed"]),
        ([EARLY], FAILED, [FINAL], EARLY, ["early", "failed"]),
        ([EARLY], COMPLETED, [FINAL], None, ["early", "final", "completed"]),
        ([EARLY, FINAL], COMPLETED, [], FINAL, ["final", "completed"]),
        ([], COMPLETED, [], None, ["completed"]),
    ],
)
async def test_the_final_frame_comes_before_the_final_state(
    first: list[PreviewFrame], end: JobRecord, late: list[PreviewFrame], kept: PreviewFrame | None, expected: list[str]
) -> None:
    """A frame that is a moment late is waited for, one that the broker keeps is fetched, and none is yielded twice."""
    found = source(*map(preview, first), state(end), kept=kept)
    for frame in late:
        # Without a key, so that it does not replace the early one.
        found.subscription.queue.put(preview(frame))
    assert await story(found) == ["is running", *expected]


async def test_a_job_that_has_ended_is_yielded_with_its_last_frame() -> None:
    """Its record first, so that a gateway can greet its client with it; its final state last."""
    assert await story(source(job=COMPLETED, kept=FINAL)) == ["is completed", "final", "completed"]


async def test_states_that_were_missed_are_made_up_for() -> None:
    """A record carries its history, so each change comes once and in order."""
    assert await story(source(state(COMPLETED), state(COMPLETED), job=record("pending"))) == [
        "is pending",
        "running",
        "completed",
    ]


async def test_a_closed_subscription_can_be_continued() -> None:
    """The follower of a gateway whose broker has moved subscribes anew and repeats nothing."""
    found = source(ConnectionEvent("lost", "Away."))
    found.subscription.queue.close()
    follower = JobFollower(found, "a-job", previews=False)
    first = [item async for item in follower.items()]
    assert not follower.states.ended
    found.subscription = source(state(COMPLETED)).subscription
    second = [item async for item in follower.items()]
    assert [type(item) for item in first] == [JobRecord, ConnectionEvent]
    assert [item.event.state for item in second if isinstance(item, StateEvent)] == ["completed"]
    assert len(second) == 1


async def test_a_client_that_is_closed_ends_its_watch_with_an_error() -> None:
    """Otherwise a job that still runs would look as if it had ended."""
    found = source(preview(EARLY))
    found.subscription.queue.close()
    events = JobWatch(found, "a-job", previews=True).events()
    assert isinstance(await anext(events), StateEvent)
    assert isinstance(await anext(events), PreviewEvent)
    with pytest.raises(UnavailableError):
        await anext(events)
