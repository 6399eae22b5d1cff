"""Records of local jobs and uploads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryomamba.errors import ErrorCode, UnavailableError
from cryomamba.models.jobs import JobState
from napari_cryomamba.models.job_records import advance, fail, new_record
from napari_cryomamba.models.jobs import JobKind, JobTable, kind_of

if TYPE_CHECKING:
    from tests.desktop.conftest import SubmissionMaker


def test_each_state_adds_its_event(make_submission: SubmissionMaker) -> None:
    """The history of a local job reads like that of a server's, and the last record wins in the table."""
    record = new_record("local-1", make_submission("threshold", sigma_A=20.0))
    assert (record.name, record.engine, record.params) == ("vesicles.mrc", "threshold", {"sigma_A": 20.0})
    assert record.volume.shape == (48, 96, 96)
    table, records = JobTable(), [record]
    for state in (JobState.PENDING, JobState.RUNNING, JobState.COMPLETED):
        records.append(advance(records[-1], state, attempt=1))
    for found in records:
        table.update(found)
    assert [event.type for event in records[-1].history] == ["job_created", "job_started", "job_completed"]
    assert [event.n for event in records[-1].history] == [1, 2, 3]
    assert records[-1].completed_at is not None
    table.update(records[1])
    assert table.rows[0].record.state is JobState.COMPLETED


def test_a_failure_keeps_code_message_and_hint(make_submission: SubmissionMaker) -> None:
    """The error of an upload that broke off stands in its record."""
    running = advance(new_record("upload-1", make_submission("threshold")), JobState.RUNNING, attempt=1)
    failed = fail(running, UnavailableError("The connection was lost.", hint="Try again."))
    [error] = failed.errors
    assert (failed.state, error.code, error.attempt) == (JobState.FAILED, ErrorCode.UNAVAILABLE, 1)
    assert (error.message, error.hint) == ("The connection was lost.", "Try again.")


@pytest.mark.parametrize(
    ("job_id", "kind"),
    [
        ("local-7f", JobKind.LOCAL),
        ("upload-7f", JobKind.UPLOAD),
        ("0b9c", JobKind.SERVER),
        ("locality", JobKind.SERVER),
    ],
)
def test_the_id_names_where_a_job_runs(job_id: str, kind: JobKind) -> None:
    """Local jobs and uploads have a prefix, the server's jobs have none."""
    assert kind_of(job_id) is kind
