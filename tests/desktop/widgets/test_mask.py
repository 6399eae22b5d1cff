"""The panel for masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mrcfile
import numpy as np
import pytest

from cryomamba.models.jobs import JobState
from napari_cryomamba.layers.tomogram import source_of
from napari_cryomamba.layers.uncertainty import uncertainty_of_job
from napari_cryomamba.net.messages import JobChanged
from napari_cryomamba.widgets import CryoMambaWidget

if TYPE_CHECKING:
    from tests.desktop.conftest import FrameMaker, RecordMaker, SubmissionMaker, WaitFor

pytestmark = pytest.mark.desktop


def test_the_look_of_a_mask_can_be_changed(
    panel: CryoMambaWidget, make_record: RecordMaker, make_frame: FrameMaker
) -> None:
    """Opacity, outlines, colour, name and visibility act on the layer, and the first two are kept for new layers."""
    app = panel.controller
    app.jobs.table.adopt("job-1")
    app.on_message(JobChanged(make_record()))
    app.preview.show_job("job-1")
    app.frames["job-1"].put(make_frame())
    app.preview.draw("job-1")
    layer, mask = app.preview.overlays["job-1"].layer, panel.mask_panel
    assert "(preview)" in mask.title.text()
    mask.opacity.setValue(0.25)
    mask.style_box.setCurrentIndex(1)
    mask.width_box.setValue(3)
    mask.visible_box.setChecked(False)
    mask.set_color(1, "#00ff00")
    name = mask.labels.item(0, 1)
    assert name is not None
    name.setText("ER")
    assert (layer.opacity, layer.contour, layer.visible) == (0.25, 3, False)
    np.testing.assert_allclose(layer.colormap.map(1), [0, 1, 0, 1])
    assert app.preview.overlays["job-1"].palette.name(1) == "ER"
    assert not panel.statistics.measure_button.isEnabled()
    assert app.preferences.values.contour == 3


def test_the_threshold_section_gives_the_reason_if_there_is_nothing_to_adjust(
    panel: CryoMambaWidget, make_record: RecordMaker, make_frame: FrameMaker
) -> None:
    """Without a mask it is empty; for a preview, and for a mask without a score map, it gives the reason."""
    app, status = panel.controller, panel.threshold.status
    assert status.text() == ""
    app.jobs.table.adopt("job-1")
    app.on_message(JobChanged(make_record()))
    app.preview.show_job("job-1")
    app.frames["job-1"].put(make_frame())
    app.preview.draw("job-1")
    assert "preview" in status.text()
    panel.viewer.layers.clear()
    assert status.text() == ""
    panel.viewer.add_labels(np.ones((4, 5, 6), np.uint8))
    assert "no score map" in status.text()


def test_the_uncertainty_is_shown_below_the_mask(
    panel: CryoMambaWidget, make_submission: SubmissionMaker, wait_for: WaitFor
) -> None:
    """It is offered for a finished job that has one, has the file's values at the mask's place, and is no tomogram."""
    app, box, viewer = panel.controller, panel.mask_panel.uncertainty_box, panel.viewer
    app.jobs.run_locally(make_submission("membrane", uncertainty=True))
    assert box.isHidden()
    wait_for(lambda: app.jobs.table.rows[0].record.state is JobState.COMPLETED, app.notifications)
    job = app.jobs.table.rows[0]
    app.preview.show_job(job.job_id)
    wait_for(lambda: not box.isHidden(), app.notifications)
    box.click()
    layer = wait_for(lambda: uncertainty_of_job(viewer, job.job_id), app.notifications)
    mask = app.preview.overlays[job.job_id].layer
    stored = mrcfile.read(app.jobs.source(job.job_id).file(job.job_id, "uncertainty.mrc"))
    np.testing.assert_array_equal(layer.data, stored)
    assert stored.max() > 50
    assert viewer.layers.index(layer) == viewer.layers.index(mask) - 1
    np.testing.assert_array_equal(layer.extent.world, mask.extent.world)
    assert tuple(layer.contrast_limits) == (0, 100)
    assert source_of(layer) is None
    assert (box.isChecked(), layer.visible) == (True, True)
    box.click()
    assert (box.isChecked(), layer.visible) == (False, False)
    viewer.layers.remove(layer)
    box.click()
    wait_for(lambda: uncertainty_of_job(viewer, job.job_id), app.notifications)
    assert box.isChecked()
