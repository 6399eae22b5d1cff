"""Jobs that run in this process, without panels."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from napari.components import ViewerModel

from cryomamba.models.jobs import JobState
from napari_cryomamba.app.controller import AppController
from napari_cryomamba.models.jobs import Job, JobKind

if TYPE_CHECKING:
    from tests.desktop.conftest import SubmissionMaker, WaitFor

pytestmark = pytest.mark.desktop


def newest(controller: AppController) -> Job:
    return controller.jobs.table.rows[0]


def state(controller: AppController) -> JobState:
    return newest(controller).record.state


def test_a_cancelled_job_ends_and_can_be_run_again(
    controller: AppController, make_submission: SubmissionMaker, wait_for: WaitFor
) -> None:
    """Cancelling ends the job and its thread; a retry runs it under the same id."""
    controller.jobs.run_locally(make_submission("demo", seconds=20.0))
    job_id = newest(controller).job_id
    assert newest(controller).kind is JobKind.LOCAL
    for _ in range(2):
        controller.jobs.cancel(job_id)
        wait_for(lambda: state(controller) is JobState.CANCELLED, controller.notifications)
        controller.jobs.retry(job_id)
        wait_for(lambda: state(controller) is JobState.RUNNING, controller.notifications)
    assert [row.job_id for row in controller.jobs.table.rows] == [job_id]
    controller.jobs.cancel(job_id)
    wait_for(lambda: state(controller) is JobState.CANCELLED, controller.notifications)
    wait_for(lambda: not any(JobKind.LOCAL in thread.name for thread in threading.enumerate()))


def test_jobs_are_listed_again_after_a_restart(
    controller: AppController, make_submission: SubmissionMaker, wait_for: WaitFor, settings_file: Any
) -> None:
    """The next session shows the job's mask over its tomogram; removing the job removes its files."""
    controller.jobs.run_locally(make_submission("threshold"))
    wait_for(lambda: state(controller) is JobState.COMPLETED, controller.notifications)
    controller.close()
    viewer = ViewerModel()
    again = AppController(viewer, file=settings_file)
    try:
        [job] = again.jobs.table.rows
        assert (job.record.name, job.record.state) == ("vesicles.mrc", JobState.COMPLETED)
        again.preview.show_job(job.job_id)
        overlays = again.preview.overlays
        [overlay] = wait_for(lambda: [o for o in overlays.values() if o.final], again.notifications)
        assert overlay.tomogram in viewer.layers
        again.jobs.remove(job.job_id)
        assert again.jobs.table.rows == []
        assert list(again.jobs.local.folder.iterdir()) == []
    finally:
        again.close()


def test_a_failed_job_keeps_its_reason(
    controller: AppController, make_submission: SubmissionMaker, wait_for: WaitFor
) -> None:
    """An engine that does not exist fails with a sentence, in the record and as a notification."""
    controller.jobs.run_locally(make_submission("no-such-engine"))
    wait_for(lambda: state(controller) is JobState.FAILED)
    [error] = newest(controller).record.errors
    assert "no-such-engine" in error.message
    assert controller.notifications.history.entries[-1].text == error.message
    assert newest(controller).can_retry


def test_few_jobs_run_at_a_time(controller: AppController, make_submission: SubmissionMaker, wait_for: WaitFor) -> None:
    """The third waits until another has ended; one that waits is cancelled at once and never begins."""
    jobs = [controller.jobs.local.start(make_submission("demo", seconds=60.0)).job_id for _ in range(4)]

    def states() -> list[JobState]:
        found = [controller.jobs.table.get(job_id) for job_id in jobs]
        return [job.record.state for job in found if job is not None]

    running, pending, cancelled = JobState.RUNNING, JobState.PENDING, JobState.CANCELLED
    wait_for(lambda: states() == [running, running, pending, pending], controller.notifications)
    controller.jobs.cancel(jobs[2])
    assert states()[2] is cancelled
    controller.jobs.cancel(jobs[0])
    wait_for(lambda: states() == [cancelled, running, cancelled, running], controller.notifications)
    for job_id in jobs:
        controller.jobs.cancel(job_id)
    wait_for(lambda: set(states()) == {cancelled}, controller.notifications)


def test_a_mask_does_not_appear_after_its_preview_was_removed(
    controller: AppController, viewer: Any, make_submission: SubmissionMaker, wait_for: WaitFor
) -> None:
    """Layers that the user removes while the finished mask is being opened stay removed."""
    controller.preview.job_completed.connect(lambda _record: viewer.layers.clear())
    drawn: list[str] = []
    controller.preview.frame_drawn.connect(drawn.append)
    controller.jobs.run_locally(make_submission("demo", seconds=0.5))
    wait_for(lambda: state(controller) is JobState.COMPLETED, controller.notifications)
    wait_for(lambda: not controller.tasks.is_busy, controller.notifications)
    assert drawn
    assert list(viewer.layers) == []
