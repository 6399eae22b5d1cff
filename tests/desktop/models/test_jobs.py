"""The table of jobs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from cryomamba.errors import ErrorCode
from cryomamba.models.jobs import JobError, JobEvent, JobState, Progress
from napari_cryomamba.models.jobs import JobKind, JobTable, duration
from napari_cryomamba.models.notifications import Level

if TYPE_CHECKING:
    from tests.desktop.conftest import RecordMaker


def test_other_peoples_jobs_are_hidden_by_default(make_record: RecordMaker) -> None:
    """The table shows them on request."""
    table = JobTable({"mine"})
    table.update(make_record("mine"))
    table.update(make_record("theirs"))
    assert [job.job_id for job in table.rows] == ["mine"]
    table.show_all = True
    assert {job.job_id for job in table.rows} == {"mine", "theirs"}


def test_an_older_record_changes_nothing(make_record: RecordMaker) -> None:
    """A record that arrives late does not restore an earlier state."""
    table = JobTable({"job-1"})
    table.update(make_record(state=JobState.COMPLETED, n=5))
    table.update(make_record(state=JobState.RUNNING, n=3))
    assert table.rows[0].record.state is JobState.COMPLETED


def test_progress_counts_for_the_running_attempt_only(make_record: RecordMaker) -> None:
    """Progress of an earlier attempt is ignored."""
    table = JobTable({"job-1"})
    table.update(make_record(attempt=2))
    assert not table.progress("job-1", 1, Progress(fraction=0.9))
    assert table.progress("job-1", 2, Progress(fraction=0.25, stage="segmenting", eta_s=75))
    job = table.rows[0]
    now = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
    found = (job.progress.fraction, job.state_text, job.time_text(now))
    assert found == (0.25, "Segmenting (attempt 2)", "1 min 15 s left")
    table.progress("job-1", 2, Progress(fraction=0.5, stage="segmenting", done_tiles=3, total_tiles=8))
    assert table.rows[0].state_text == "Segmenting: 3 of 8 tiles done (attempt 2)"
    assert not table.progress("unknown", 1, Progress())


def test_a_removed_job_stays_hidden(make_record: RecordMaker) -> None:
    """The server's next record does not list it again."""
    table = JobTable({"job-1"})
    table.update(make_record(state=JobState.COMPLETED))
    table.remove("job-1")
    table.update(make_record(state=JobState.COMPLETED, n=9))
    assert table.rows == []
    assert table.hidden == {"job-1"}


def test_a_failure_is_notified_with_its_hint(make_record: RecordMaker) -> None:
    """The last error becomes a notification and a line below the table."""
    table = JobTable({"job-1"})
    table.update(make_record())
    error = JobError(code=ErrorCode.OUT_OF_MEMORY, message="Memory ran out.", hint="Use fewer processes.")
    notifications = table.update(make_record(state=JobState.FAILED, n=3, errors=(error,)))
    assert [(n.level, n.text, n.hint) for n in notifications] == [
        (Level.ERROR, "Memory ran out.", "Use fewer processes.")
    ]
    assert table.rows[0].error_text == "Memory ran out. Use fewer processes."
    assert table.rows[0].can_retry
    assert not table.rows[0].can_cancel


def test_a_lost_attempt_is_notified(make_record: RecordMaker) -> None:
    """When a worker was lost, the user reads why the job starts again."""
    table = JobTable({"job-1"})
    first = make_record()
    table.update(first)
    lost = JobEvent(
        n=3,
        type="job_requeued",
        job_id="job-1",
        state=JobState.PENDING,
        attempt=1,
        at=first.updated_at,
        reason="its worker was lost",
    )
    again = make_record(state=JobState.PENDING, n=3)
    notifications = table.update(again.model_copy(update={"history": (*first.history, lost)}))
    assert [notification.level for notification in notifications] == [Level.WARNING]
    assert "its worker was lost" in notifications[0].text
    assert table.rows[0].state_text == "Waiting for attempt 2"


def test_old_jobs_are_not_notified(make_record: RecordMaker) -> None:
    """A desktop that starts does not announce jobs that ended before."""
    assert JobTable({"job-1"}).update(make_record(state=JobState.FAILED)) == []


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (75, "1 min 15 s"), (1800, "30 min"), (4805, "1 h 20 min")]
)
def test_durations_are_readable(seconds: float, text: str) -> None:
    """Short durations have seconds, long ones hours and minutes."""
    assert duration(seconds) == text


def test_an_upload_is_a_row_of_its_own(make_record: RecordMaker) -> None:
    """It shows its progress, can be cancelled, and retried when it failed; removed, it is gone."""
    table, row = JobTable(), f"{JobKind.UPLOAD}1"
    table.update(make_record(row, progress=Progress(stage="uploading"), history=()))
    job = table.rows[0]
    assert (job.state_text, job.can_cancel, job.kind) == ("Uploading", True, JobKind.UPLOAD)
    error = JobError(code=ErrorCode.UNAVAILABLE, message="Away.", hint="Wait.")
    [notification] = table.update(make_record(row, JobState.FAILED, n=3, errors=(error,), history=()))
    assert (notification.context, notification.text) == ("Uploading 'vesicles.mrc'", "Away.")
    assert table.rows[0].can_retry
    table.remove(row)
    assert table.rows == []
    assert table.hidden == set()


def test_another_server_has_other_jobs(make_record: RecordMaker) -> None:
    """When another server is connected, local jobs stay in the table."""
    table = JobTable(mine={"job-1"})
    table.update(make_record("job-1"))
    table.update(make_record(f"{JobKind.LOCAL}1"))
    table.drop_server_jobs()
    assert [job.job_id for job in table.rows] == [f"{JobKind.LOCAL}1"]
