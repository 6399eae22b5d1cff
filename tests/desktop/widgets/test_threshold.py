"""The panel for thresholds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_cryomamba.widgets import CryoMambaWidget

if TYPE_CHECKING:
    from tests.desktop.conftest import SubmissionMaker, WaitFor

pytestmark = pytest.mark.desktop


def test_a_new_threshold_is_previewed_and_applied(
    panel: CryoMambaWidget, make_submission: SubmissionMaker, wait_for: WaitFor
) -> None:
    """The sliders preview it at once and take each other along; discarding restores the mask, applying writes it."""
    app, threshold = panel.controller, panel.threshold
    app.jobs.run_locally(make_submission("membrane"))
    [overlay] = wait_for(lambda: [o for o in app.preview.overlays.values() if o.final], app.notifications)
    panel.mask_panel.show_layer(overlay.layer)
    layer = overlay.layer
    first = layer.data
    threshold.load_button.click()
    wait_for(lambda: not threshold.controls.isHidden(), app.notifications)
    assert not threshold.apply_button.isEnabled()
    threshold.high.setValue(90)
    assert threshold.low.value() <= 90
    threshold.low.setValue(100)
    assert threshold.high.value() == 100
    threshold.use_low.setChecked(False)
    threshold.min_volume.setValue(0)
    threshold.high.setValue(120)
    wait_for(lambda: not threshold.is_computing, app.notifications)
    assert overlay.temporary
    assert not layer.editable
    assert "new threshold" in panel.mask_panel.title.text()
    assert not panel.statistics.measure_button.isEnabled()
    few = int(np.count_nonzero(layer.data[24]))
    threshold.high.setValue(60)
    assert int(np.count_nonzero(layer.data[24])) > few
    threshold.discard_button.click()
    assert layer.data is first
    assert layer.editable
    threshold.use_low.setChecked(False)
    threshold.min_volume.setValue(0)
    threshold.high.setValue(60)
    whole = np.asarray(layer.data).copy()
    threshold.apply_button.click()
    wait_for(lambda: not overlay.temporary and layer.data is not first, app.notifications)
    np.testing.assert_array_equal(np.asarray(layer.data), whole)
    assert panel.statistics.measure_button.isEnabled()
    assert not threshold.server_button.isVisible()
