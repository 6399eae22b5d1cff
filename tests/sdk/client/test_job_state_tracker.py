"""Each state change is reported once and in order, whatever was lost, repeated or overtaken on the way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cryomamba.client.job_state_tracker import JobStateTracker
from cryomamba.models.events import StateEvent
from cryomamba.models.jobs import JobEvent, JobRecord, JobState, VolumeSummary

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WALK = [
    ("job_created", JobState.PENDING),
    ("job_started", JobState.RUNNING),
    ("job_requeued", JobState.PENDING),
    ("job_started", JobState.RUNNING),
    ("job_completed", JobState.COMPLETED),
]
HISTORY = [
    JobEvent(n=10 + 3 * i, type=type_, job_id="j", state=state, attempt=i, at=NOW + timedelta(seconds=i))
    for i, (type_, state) in enumerate(WALK)
]


def snapshot(length: int) -> JobRecord:
    """The job as it stood after so many events."""
    return JobRecord(
        job_id="j",
        state=HISTORY[length - 1].state,
        name="",
        engine="demo",
        params={},
        volume=VolumeSummary(name="v", shape=(1, 1, 1), voxel_size_A=(1, 1, 1)),
        created_at=NOW,
        updated_at=NOW,
        history=tuple(HISTORY[:length]),
    )


@given(st.lists(st.integers(1, len(HISTORY)), max_size=12))
def test_every_change_once_and_in_order(lengths: list[int]) -> None:
    """After any sequence of snapshots that ends with the last, all changes since the first were reported, once each."""
    tracker = JobStateTracker()
    numbers: list[int] = []
    for length in [*lengths, len(HISTORY)]:
        for event in tracker.update(snapshot(length)):
            assert isinstance(event, StateEvent)
            numbers.append(event.event.n)
    first = (lengths or [len(HISTORY)])[0]
    assert numbers == [event.n for event in HISTORY[first - 1 :]]
    assert tracker.ended


def test_an_older_snapshot_does_not_undo_the_end() -> None:
    """A late message from before the end leaves the job ended."""
    tracker = JobStateTracker()
    tracker.update(snapshot(len(HISTORY)))
    assert tracker.update(snapshot(2)) == []
    assert tracker.ended
