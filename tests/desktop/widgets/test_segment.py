"""The panel that starts jobs, over controllers that are connected to nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.layers import Layer

from cryomamba.errors import InvalidRequestError
from cryomamba.models.jobs import JobState
from cryomamba.volumes import open_volume, write_volume
from napari_cryomamba.app.controller import AppController
from napari_cryomamba.app.revisions import save_mask
from napari_cryomamba.layers.tomogram import open_tomogram
from napari_cryomamba.models.jobs import JobKind
from napari_cryomamba.widgets.segment import SegmentPanel

if TYPE_CHECKING:
    from tests.desktop.conftest import RecordMaker, WaitFor

pytestmark = pytest.mark.desktop


@pytest.fixture
def segment(controller: AppController, viewer: Any, phantom_file: Path, qtbot: Any, wait_for: WaitFor) -> SegmentPanel:
    """The panel with an open tomogram and the engines of this process."""
    found = make_panel(controller, viewer, qtbot)
    viewer.add_layer(Layer.create(*open_tomogram(phantom_file).layer()))
    wait_for(lambda: controller.jobs.local_engines, controller.notifications)
    found.engine.setCurrentText("threshold")
    return found


def make_panel(controller: AppController, viewer: Any, qtbot: Any) -> SegmentPanel:
    app = controller
    found = SegmentPanel(viewer, app.jobs, app.server, app.preferences, app.tasks, app.models)
    qtbot.addWidget(found)
    return found


def test_a_wrong_value_is_explained_at_its_field(segment: SegmentPanel) -> None:
    """A sentence stands below it, and no job can be started, until the value is right."""
    name, editor = next((n, e) for n, e in segment.form.editors.items() if e.field.optional)
    editor.editor.setText("not a number")
    assert not editor.problem.isHidden()
    assert not segment.local_button.isEnabled()
    editor.editor.setText("")
    assert editor.problem.isHidden()
    assert segment.local_button.isEnabled()
    fields = [{"field": f"params.{name}", "problem": "Too odd."}]
    segment.show_rejection(InvalidRequestError("No.", details={"fields": fields}))
    assert editor.problem.text() == "Too odd."


def test_without_a_server_jobs_run_on_this_computer(
    segment: SegmentPanel, controller: AppController, wait_for: WaitFor
) -> None:
    """The button for the server says why it is disabled; the other one starts a local job."""
    assert not segment.submit_button.isEnabled()
    assert "Run on this computer" in segment.submit_button.toolTip()
    segment.name.setText("mine")
    segment.local_button.click()
    [job] = controller.jobs.table.rows
    assert (job.kind, job.record.name, job.record.engine) == (JobKind.LOCAL, "mine", "threshold")
    wait_for(lambda: controller.jobs.table.rows[0].record.state.final, controller.notifications)


def test_engine_and_parameters_come_back_at_the_next_start(
    segment: SegmentPanel, controller: AppController, viewer: Any, qtbot: Any
) -> None:
    """What was entered for the last job is in the form again; a button resets it to the defaults."""
    segment.form.editors["sigma_A"].editor.setValue(33)
    segment.local_button.click()
    again = make_panel(controller, viewer, qtbot)
    assert again.engine.currentText() == "threshold"
    assert again.form.parameters == {"sigma_A": 33.0}
    again.reset_button.click()
    assert again.form.parameters == {}


def test_the_tomogram_that_was_opened_last_is_chosen(
    segment: SegmentPanel, controller: AppController, tmp_path: Path, wait_for: WaitFor
) -> None:
    """A job is for the tomogram that the viewer shows, until the user chooses another one."""
    write_volume(tmp_path / "second.mrc", np.ones((8, 16, 16), np.float32), 10.0)
    controller.tomograms.open_files([tmp_path / "second.mrc"])
    wait_for(lambda: segment.tomogram.count() == 2, controller.notifications)
    assert segment.tomogram.currentText() == "second.mrc"
    segment.tomogram.setCurrentText("vesicles.mrc")
    assert segment.layer.name == "vesicles.mrc"


def test_rethreshold_is_not_offered_for_tomograms(segment: SegmentPanel) -> None:
    """It needs a score map, so the Mask tab offers it."""
    assert segment.engine.findText("threshold") >= 0
    assert segment.engine.findText("rethreshold") < 0


def test_a_mask_of_the_viewer_limits_a_job(
    segment: SegmentPanel, controller: AppController, viewer: Any, wait_for: WaitFor
) -> None:
    """Masks of its shape are offered; the job gets the chosen one with its edits, and finds nothing outside."""
    viewer.add_labels(np.zeros((8, 8, 8), np.uint8), name="another grid")
    layer = viewer.add_labels(np.zeros((48, 96, 96), np.uint8), name="my lamella")
    titles = [segment.region.chooser.itemText(row) for row in range(segment.region.chooser.count())]
    assert titles == ["whole tomogram", "my lamella"]
    segment.region.chooser.setCurrentText("my lamella")
    layer.data[10:30, 20:60, 20:60] = 1
    segment.local_button.click()
    wait_for(lambda: controller.jobs.table.rows and controller.jobs.table.rows[0].record.state.final)
    record = controller.jobs.table.rows[0].record
    assert record.state is JobState.COMPLETED, record.errors
    assert record.within is not None
    assert record.within.name.startswith("my-lamella")
    mask = controller.jobs.local.file(record.job_id, "mask.mrc")
    with open_volume(mask) as volume:
        found = volume.read_native(*[slice(None)] * 3) != 0
    assert found.any()
    assert not found[np.asarray(layer.data) == 0].any()


def test_a_mask_file_is_checked_before_the_job(
    segment: SegmentPanel, controller: AppController, tmp_path: Path, wait_for: WaitFor
) -> None:
    """One on another grid is refused with a message and starts no job; one that fits goes with the job."""
    write_volume(tmp_path / "binned.mrc", np.ones((24, 48, 48), np.int8), 26.0)
    segment.region.choose(tmp_path / "binned.mrc")
    assert segment.region.chooser.currentText() == "binned.mrc"
    segment.local_button.click()
    wait_for(lambda: controller.notifications.history.entries)
    assert "24 × 48 × 48 voxels" in controller.notifications.history.entries[-1].text
    assert controller.jobs.table.rows == []
    write_volume(tmp_path / "fits.mrc", np.ones((48, 96, 96), np.int8), 13.0)
    segment.region.choose(tmp_path / "fits.mrc")
    segment.local_button.click()
    [job] = wait_for(lambda: controller.jobs.table.rows)
    assert job.record.within.path == str(tmp_path / "fits.mrc")
    wait_for(lambda: controller.jobs.table.rows[0].record.state.final)


def test_without_a_choice_the_whole_tomogram_is_segmented(
    segment: SegmentPanel, controller: AppController, viewer: Any, wait_for: WaitFor
) -> None:
    """Also after the chosen mask was removed from the viewer."""
    layer = viewer.add_labels(np.ones((48, 96, 96), np.uint8), name="gone")
    segment.region.chooser.setCurrentText("gone")
    viewer.layers.remove(layer)
    assert segment.region.chooser.currentText() == "whole tomogram"
    segment.local_button.click()
    [job] = controller.jobs.table.rows
    assert job.record.within is None
    wait_for(lambda: controller.jobs.table.rows[0].record.state.final)


def test_the_parameters_of_a_job_can_be_used_again(
    segment: SegmentPanel, controller: AppController, make_record: RecordMaker
) -> None:
    """Engine, values and priority become those of the job, and what it does not name goes back to its default."""
    segment.engine.setCurrentText("membrane")
    segment.form.fill({"min_volume_nm3": 500.0, "contrast": "bright"})
    segment.engine.setCurrentText("threshold")
    segment.use_parameters(make_record(params={"high": 140}, priority=-1))
    assert segment.engine.currentText() == "membrane"
    assert segment.form.parameters == {"high": 140}
    assert segment.priority.currentText() == "low"
    segment.use_parameters(make_record(priority=7))
    assert segment.priority.priority == 7
    segment.use_parameters(make_record(engine="unknown"))
    assert segment.engine.currentText() == "membrane"


def test_one_job_for_each_of_several_tomograms(
    segment: SegmentPanel, controller: AppController, viewer: Any, tmp_path: Path, wait_for: WaitFor
) -> None:
    """All open tomograms, or the files of a folder, which need not be open: masks in it are left out."""
    second = tmp_path / "second.mrc"
    write_volume(second, np.random.default_rng(1).normal(size=(20, 30, 40)).astype(np.float32), 10.0)
    viewer.add_layer(Layer.create(*open_tomogram(second).layer()))

    def names() -> list[str]:
        return sorted(job.record.volume.name for job in controller.jobs.table.rows)

    segment.batch.choose_open()
    assert segment.batch.text.text() == "2 open tomograms: vesicles.mrc, second.mrc"
    assert not segment.tomogram.isEnabled()
    segment.local_button.click()
    assert names() == ["second.mrc", "vesicles.mrc"]
    with open_volume(second) as volume:
        save_mask(
            tmp_path / "second__mine.mrc", np.ones((20, 30, 40), np.uint8), volume.header, (10.0,) * 3, engine="mine"
        )
    (tmp_path / "broken.mrc").write_bytes(b"nothing")
    viewer.layers.clear()
    assert not segment.local_button.isEnabled()
    segment.batch.choose_folder(tmp_path)
    assert segment.local_button.isEnabled()
    segment.local_button.click()
    wait_for(lambda: names() == ["second.mrc", "second.mrc", "vesicles.mrc"])
    wait_for(lambda: controller.notifications.history.unread)
    wait_for(lambda: all(job.record.state is JobState.COMPLETED for job in controller.jobs.table.rows))
    assert names() == ["second.mrc", "second.mrc", "vesicles.mrc"]
    [error] = [entry for entry in controller.notifications.history.entries if entry.level == "error"]
    assert "broken.mrc" in error.context
    segment.batch.clear()
    assert segment.batch.isHidden()
