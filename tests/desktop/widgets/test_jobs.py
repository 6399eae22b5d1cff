"""The table of jobs and its buttons, over controllers that are connected to nothing."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from qtpy.QtCore import Qt

from cryomamba.errors import ErrorCode
from cryomamba.models.jobs import JobError, JobState, Progress
from cryomamba.volumes import VolumeWarning
from napari_cryomamba.app.controller import AppController
from napari_cryomamba.net.messages import JobChanged, JobProgressed
from napari_cryomamba.widgets.job_table import COLUMNS
from napari_cryomamba.widgets.jobs import JobsPanel
from napari_cryomamba.widgets.layout import scrolled

if TYPE_CHECKING:
    from tests.desktop.conftest import FrameMaker, RecordMaker

pytestmark = pytest.mark.desktop


@pytest.fixture
def jobs(controller: AppController, qtbot: Any) -> JobsPanel:
    found = JobsPanel(controller.jobs, controller.preview, controller.frames, controller.server, controller.downloads)
    qtbot.addWidget(found)
    controller.jobs.table.adopt("job-1")
    return found


def row(jobs: JobsPanel) -> list[str]:
    return [str(jobs.model.data(jobs.model.index(0, column))) for column in range(len(COLUMNS))]


def test_a_row_shows_name_engine_state_and_time_left(
    jobs: JobsPanel, controller: AppController, make_record: RecordMaker
) -> None:
    """The row follows the job's progress and has its start and parameters; a local job is marked."""
    begin = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
    controller.on_message(JobChanged(make_record(started_at=begin, params={"high": 140})))
    progress = Progress(fraction=0.25, stage="segmenting", eta_s=75)
    controller.on_message(JobProgressed("job-1", 1, progress))
    started = f"{begin.astimezone():%d %b %H:%M}"
    found = row(jobs)
    assert found.pop(COLUMNS.index("Time")).endswith(" min, 1 min 15 s left")
    assert found == ["vesicles", "25 %", "Segmenting", started, "membrane", "high 140"]
    assert jobs.status.text().startswith("Segmenting · ")
    controller.on_message(JobChanged(make_record("local-1", JobState.COMPLETED, n=9)))
    assert "membrane (local)" in {
        jobs.model.data(jobs.model.index(number, COLUMNS.index("Engine"))) for number in range(2)
    }


def test_a_name_cannot_reverse_a_row_or_bring_markup(
    jobs: JobsPanel, controller: AppController, make_record: RecordMaker
) -> None:
    """Control characters and marks of direction are escaped in the row, its tooltip and the error; tags are text."""
    name, shown = "a\u202eb\x1b[2J\nc", r"a\u202eb\x1b[2J\nc"
    error = JobError(code=ErrorCode.ENGINE_FAILED, message=name, hint="<b>x</b>", attempt=1)
    controller.on_message(JobChanged(make_record(state=JobState.FAILED, name=name, errors=(error,))))
    assert row(jobs)[0] == shown
    assert shown in jobs.model.data(jobs.model.index(0, 0), Qt.ItemDataRole.ToolTipRole)
    assert "\x1b" not in jobs.error.text()
    assert "\u202e" not in jobs.error.text()
    assert jobs.error.textFormat() == Qt.TextFormat.PlainText


def test_nothing_overlaps_where_the_window_is_low(
    jobs: JobsPanel, controller: AppController, make_record: RecordMaker, qtbot: Any
) -> None:
    """In a scroll area that is lower than the panel, its parts stand one below the other."""
    error = JobError(code=ErrorCode.ENGINE_FAILED, message="It broke. " * 30, hint="Repair it.", attempt=1)
    controller.on_message(JobChanged(make_record(state=JobState.FAILED, n=3, errors=(error,))))
    area = scrolled(jobs)
    qtbot.addWidget(area)
    area.resize(380, 220)
    area.show()
    qtbot.waitExposed(area)
    parts = [jobs.table, jobs.show_button, jobs.error, jobs.show_all]
    qtbot.waitUntil(lambda: jobs.table.height() >= jobs.table.minimumHeight())
    for above, below in itertools.pairwise(parts):
        assert above.geometry().bottom() < below.geometry().top()
    area.takeWidget()


def test_a_failed_job_shows_its_error_and_can_be_removed(
    jobs: JobsPanel, controller: AppController, make_record: RecordMaker, settings_file: Any
) -> None:
    """The error stands below the table; a removed job is not listed at the next start."""
    error = JobError(code=ErrorCode.ENGINE_FAILED, message="It broke.", hint="Repair it.", attempt=1)
    controller.on_message(JobChanged(make_record()))
    assert jobs.cancel_button.isEnabled()
    assert not jobs.remove_button.isEnabled()
    controller.on_message(JobChanged(make_record(state=JobState.FAILED, n=3, errors=(error,))))
    assert jobs.error.text() == "It broke. Repair it."
    assert jobs.retry_button.isEnabled()
    jobs.remove_button.click()
    assert controller.jobs.table.rows == []
    assert settings_file.load().hidden_jobs == ["job-1"]


def test_a_completed_job_shows_what_should_be_checked(
    jobs: JobsPanel, controller: AppController, make_record: RecordMaker
) -> None:
    """Warnings with what to try and what the engine decided stand below the table, and the warnings in the messages."""
    controller.on_message(JobChanged(make_record()))
    assert jobs.warnings.isHidden()
    assert "Contrast" not in jobs.details.text()
    warning = VolumeWarning(code="mask_empty", message="The mask is empty.", hint="Check the contrast.")
    found = {"warnings": (warning,), "estimates": {"contrast": "dark", "contrast_margin": 0.05}}
    controller.on_message(JobChanged(make_record(state=JobState.COMPLETED, n=3, **found)))
    assert jobs.warnings.text() == "⚠ The mask is empty. Check the contrast."
    assert "Contrast: dark" in jobs.details.text()
    assert "margin 0.05" in jobs.details.text()
    assert ("The mask is empty.", "Check the contrast.") in {
        (entry.text, entry.hint) for entry in controller.notifications.history.entries
    }


def test_the_line_below_tells_how_the_preview_arrives(
    jobs: JobsPanel, controller: AppController, make_record: RecordMaker, make_frame: FrameMaker
) -> None:
    """Age and counts of the watched job's frames are shown, and nothing for a job that is not watched."""
    controller.on_message(JobChanged(make_record()))
    assert jobs.preview.text() == ""
    jobs.show_button.click()
    controller.frames["job-1"].put(make_frame())
    controller.preview.draw("job-1")
    assert "1 shown · 0 skipped" in jobs.preview.text()


def test_the_menu_of_a_job_offers_what_is_possible(
    jobs: JobsPanel, controller: AppController, make_record: RecordMaker
) -> None:
    """A running job can be cancelled and not removed; its parameters can be used again."""
    assert jobs.make_menu() is None
    record = make_record(params={"high": 140})
    controller.on_message(JobChanged(record))
    wanted: list[object] = []
    jobs.parameters_requested.connect(wanted.append)
    menu = jobs.make_menu()
    assert menu is not None
    actions = {action.text().replace("&", ""): action for action in menu.actions()}
    assert actions["Cancel"].isEnabled()
    assert not actions["Remove"].isEnabled()
    actions["Use these parameters"].trigger()
    assert wanted == [record]
