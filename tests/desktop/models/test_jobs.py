"""The table of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryomamba.errors import ErrorCode
from cryomamba.models.jobs import JobError, JobEvent, JobState, Progress
from napari_cryomamba.models.jobs import JobTable, duration
from napari_cryomamba.models.notifications import Level

if TYPE_CHECKING:
    from tests.desktop.conftest import RecordMaker


def test_only_own_jobs_show_unless_all_are_wanted(make_record: RecordMaker) -> None:
    """Other people's jobs stay out of the table until they are asked for."""
    table = JobTable({"mine"})
    table.update(make_record("mine"))
    table.update(make_record("theirs"))
    assert [job.job_id for job in table.rows] == ["mine"]
    table.show_all = True
    assert {job.job_id for job in table.rows} == {"mine", "theirs"}


def test_an_older_record_changes_nothing(make_record: RecordMaker) -> None:
    """A record that comes late does not bring back a state that has passed."""
    table = JobTable({"job-1"})
    table.update(make_record(state=JobState.COMPLETED, n=5))
    table.update(make_record(state=JobState.RUNNING, n=3))
    assert table.rows[0].record.state is JobState.COMPLETED


def test_progress_counts_for_the_running_attempt_only(make_record: RecordMaker) -> None:
    """Progress of an attempt that was given up does not move the bar."""
    table = JobTable({"job-1"})
    table.update(make_record(attempt=2))
    assert not table.progress("job-1", 1, Progress(fraction=0.9))
    assert table.progress("job-1", 2, Progress(fraction=0.25, stage="segmenting", eta_s=75))
    job = table.rows[0]
    assert (job.progress.fraction, job.state_text, job.eta_text) == (0.25, "Segmenting (attempt 2)", "1 min 15 s")
    assert not table.progress("unknown", 1, Progress())


def test_a_removed_job_stays_away_and_is_remembered(make_record: RecordMaker) -> None:
    """What was taken out of the table is not listed again by the server's next word."""
    table = JobTable({"job-1"})
    table.update(make_record(state=JobState.COMPLETED))
    table.remove("job-1")
    table.update(make_record(state=JobState.COMPLETED, n=9))
    assert table.rows == []
    assert table.hidden == {"job-1"}


def test_a_failure_is_told_with_its_hint(make_record: RecordMaker) -> None:
    """The last error becomes a message and a line under the table."""
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


def test_a_lost_attempt_is_told_while_the_job_goes_on(make_record: RecordMaker) -> None:
    """When a worker dies, the person reads why the job starts again."""
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


def test_first_sight_of_an_old_job_tells_nothing(make_record: RecordMaker) -> None:
    """A desktop that starts does not announce what ended long ago."""
    assert JobTable({"job-1"}).update(make_record(state=JobState.FAILED)) == []


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (75, "1 min 15 s"), (1800, "30 min"), (4805, "1 h 20 min")]
)
def test_times_to_go_read_well(seconds: float, text: str) -> None:
    """Times are given in the words people use."""
    assert duration(seconds) == text
