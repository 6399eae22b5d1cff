"""The final frame and the final state come over two sockets; a watcher is shown the frame first, if it comes at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import pytest_asyncio

from cryomamba.client.bus_subscriber import BusMessage, Subscription
from cryomamba.client.bus_transport import BusTransport
from cryomamba.client.bus_watch import JobWatch
from cryomamba.errors import NotFoundError
from cryomamba.models.events import PreviewEvent
from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import JobEvent, JobRecord, JobState, VolumeSummary
from cryomamba.wire.envelope import EnvelopeFactory
from cryomamba.wire.messages import PREVIEW
from cryomamba.wire.preview import encode_frame

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EARLY = PreviewFrame("j", np.ones((2, 2, 2), np.uint8), (1, 1, 1), (2, 2, 2), (1, 1, 1), 0.5, "demo", {1: "a"}, seq=3)
FINAL = replace(EARLY, final=True, progress=1.0, seq=4)


def message(frame: PreviewFrame) -> BusMessage:
    body, spec, part = encode_frame(frame, codec="raw")
    return BusMessage(
        EnvelopeFactory("w").envelope(PREVIEW, body, ts=1.0, job="j", attempt=1, buffers=[spec]), b"", part
    )


def ended(state: JobState) -> JobRecord:
    """A job that has ended so."""
    end = JobEvent(n=1, type=f"job_{state}", job_id="j", state=state, attempt=1, at=NOW)
    volume = VolumeSummary(name="v", shape=(2, 2, 2), voxel_size_A=(1, 1, 1))
    return JobRecord(
        job_id="j",
        state=state,
        name="",
        engine="demo",
        params={},
        volume=volume,
        created_at=NOW,
        updated_at=NOW,
        history=(end,),
    )


@pytest_asyncio.fixture
async def transport() -> AsyncIterator[BusTransport]:
    """A transport that is never connected."""
    made = BusTransport("tcp://127.0.0.1:1")
    yield made
    await made.close()


async def shown(
    monkeypatch: pytest.MonkeyPatch,
    transport: BusTransport,
    kept: PreviewFrame | None,
    late: list[PreviewFrame],
    state: JobState,
    *,
    after: int = 2,
) -> list[bool]:
    """Whether each frame that the watcher is shown at the end is the final one."""

    async def preview(_: str) -> PreviewFrame:
        if kept is None:
            raise NotFoundError("There is no preview.")
        return kept

    monkeypatch.setattr(transport, "preview", preview)
    subscription = Subscription(())
    for frame in late:
        subscription.deliver(message(frame))
    watch = JobWatch(transport, "j", previews=True)
    watch._ledger.take(ended(state))
    watch._shown = after
    events = watch._last_preview(subscription)
    return [event.frame.final async for event in events if isinstance(event, PreviewEvent)]


@pytest.mark.parametrize(
    ("kept", "late", "state", "after", "expected"),
    [
        (EARLY, [FINAL], JobState.COMPLETED, 2, [False, True]),
        (FINAL, [], JobState.COMPLETED, 2, [True]),
        (EARLY, [], JobState.COMPLETED, 2, [False]),
        (EARLY, [FINAL], JobState.FAILED, 2, [False]),
        (None, [FINAL], JobState.COMPLETED, 2, [True]),
        (None, [], JobState.COMPLETED, 0, []),
    ],
)
async def test_a_final_frame_that_is_late_is_shown(
    monkeypatch: pytest.MonkeyPatch,
    transport: BusTransport,
    kept: PreviewFrame | None,
    late: list[PreviewFrame],
    state: JobState,
    after: int,
    expected: list[bool],
) -> None:
    """A completed job's last frame is waited for a moment; one that is there, or cannot come, is not."""
    assert await shown(monkeypatch, transport, kept, late, state, after=after) == expected
