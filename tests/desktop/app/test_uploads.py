"""Uploads: how far they are, and what a row of the table says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryomamba.errors import ErrorCode
from cryomamba.models.jobs import JobError, JobState, Progress
from napari_cryomamba.app.uploads import TransferProgress
from napari_cryomamba.models.jobs import JobKind, JobTable

if TYPE_CHECKING:
    from tests.desktop.conftest import RecordMaker


def test_the_time_to_go_counts_what_was_sent_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server had before says nothing of the line; the last byte is always told."""
    clock = iter([10.0, 11.0, 11.01, 11.02])
    monkeypatch.setattr("napari_cryomamba.app.uploads.time.monotonic", lambda: next(clock))
    told: list[Progress] = []
    meter = TransferProgress(told.append, "uploading")
    meter(500, 1000)
    meter(600, 1000)
    meter(601, 1000)
    meter(1000, 1000)
    assert [progress.fraction for progress in told] == [0.5, 0.6, 1.0]
    assert told[0].eta_s is None
    assert told[1].eta_s == pytest.approx(4.0)
    assert told[2].stage == "uploading"


def test_an_upload_is_a_row_until_its_job_is_there(make_record: RecordMaker) -> None:
    """It says what it does, can be cancelled, and tried again when it broke off; removed, it is gone."""
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


def test_leaving_a_server_keeps_what_is_of_this_desktop(make_record: RecordMaker) -> None:
    """Local jobs stay in the table when another server is talked to, others go."""
    table = JobTable(mine={"job-1"})
    table.update(make_record("job-1"))
    table.update(make_record(f"{JobKind.LOCAL}1"))
    table.drop_server_jobs()
    assert [job.job_id for job in table.rows] == [f"{JobKind.LOCAL}1"]
