"""The panel that starts jobs, over controllers that are connected to nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.layers import Layer

from cryomamba.errors import InvalidRequestError
from cryomamba.volumes import write_volume
from napari_cryomamba.app.controller import AppController
from napari_cryomamba.layers.tomogram import open_tomogram
from napari_cryomamba.models.jobs import JobKind
from napari_cryomamba.widgets.segment import SegmentPanel

if TYPE_CHECKING:
    from tests.desktop.conftest import WaitFor

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
    found = SegmentPanel(viewer, controller.jobs, controller.server, controller.preferences)
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
