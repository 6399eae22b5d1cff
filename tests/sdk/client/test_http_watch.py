"""From the messages of a gateway's WebSocket to events, without sockets."""

from __future__ import annotations

from typing import Any

import numpy as np
from tests.sdk.client.records import record

from cryomamba.client.http_watch import AllReader, JobReader
from cryomamba.client.job_state_tracker import JobStateTracker
from cryomamba.models.events import ConnectionEvent, PreviewEvent, ProgressEvent, StateEvent
from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import JobRecord


def said(type_: str, data: JobRecord | dict[str, Any]) -> dict[str, Any]:
    plain = data.model_dump(mode="json") if isinstance(data, JobRecord) else data
    return {"type": type_, "job_id": "a-job", "seq": 0, "timestamp": "", "data": plain}


def preview(seq: int) -> PreviewFrame:
    return PreviewFrame("a-job", np.zeros((1, 1, 1), np.uint8), (1, 1, 1), (1, 1, 1), (1.0, 1.0, 1.0), 0, "", seq=seq)


def test_each_state_is_reported_once_and_the_last_one_last() -> None:
    """Over two connections, with repeats, a gap, and a job that ended between them."""
    reader = JobReader(JobStateTracker(), previews=True)
    events = [
        *reader.read(said("connected", record("pending"))),
        *reader.read(said("job_created", record("pending"))),
        *reader.read(preview(1)),
        *reader.read(said("connected", record("pending", "running", "completed"))),
        *reader.read(preview(4)),
    ]
    assert not reader.ended
    events += reader.read(said("job_completed", record("pending", "running", "completed")))
    assert reader.ended
    assert [e.event.type for e in events if isinstance(e, StateEvent)] == [
        "job_created",
        "job_started",
        "job_completed",
    ]
    assert [e.skipped for e in events if isinstance(e, PreviewEvent)] == [0, 2]
    assert isinstance(events[-1], StateEvent)


def test_other_messages_become_events_or_nothing() -> None:
    """Progress, link, and types that a newer gateway may send."""
    reader = JobReader(JobStateTracker(), previews=False)
    (far,) = reader.read(said("progress", {"attempt": 2, "fraction": 0.5}))
    assert isinstance(far, ProgressEvent)
    assert (far.attempt, far.progress.fraction) == (2, 0.5)
    (lost,) = reader.read(said("link", {"status": "lost", "message": "Away.", "retry_s": 1.5}))
    assert lost == ConnectionEvent("lost", "Away.", 1.5)
    assert reader.read(said("of_the_future", {})) == []
    assert reader.read(preview(1)) == []


def test_all_jobs_are_followed_from_where_the_gateway_says_on() -> None:
    """The connection is reported only then; events before that number, or received already, are not repeated."""
    reader = AllReader()
    assert reader.read({"type": "opened"}) == reader.read(said("link", {"status": "connected"})) == []
    running = record("pending", "running", "completed")
    first, second, third = (event.n for event in running.history)
    (link,) = reader.read({"type": "subscribed", "seq": first})
    assert isinstance(link, ConnectionEvent)
    assert link.status == "connected"
    found = [reader.read({**said("job_started", running), "seq": number}) for number in (first, second, second)]
    assert [[event.event.n for event in events if isinstance(event, StateEvent)] for events in found] == [
        [],
        [second],
        [],
    ]
    reader.read({"type": "subscribed", "seq": third})
    assert reader.last == second
    # The start of the broker to which the number belongs; after another one, it may be another event's.
    reader.read({"type": "subscribed", "seq": third, "data": {"epoch": 7}})
    assert reader.epoch == 7
    (restarted,) = reader.read({"type": "error", "job_id": "*", "data": {"message": "Anew.", "hint": "List again."}})
    assert restarted == ConnectionEvent("restarted", "Anew. List again.")
    # A restored server counts on from a lower number; what it sends from there on is new.
    reader.read({"type": "subscribed", "seq": first})
    assert len(reader.read({**said("job_started", running), "seq": second})) == 1
