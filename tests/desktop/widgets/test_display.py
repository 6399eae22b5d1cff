"""The controls of the display."""

from __future__ import annotations

from pathlib import Path

import pytest
from napari.layers import Layer

from napari_cryomamba.layers.tomogram import open_tomogram
from napari_cryomamba.models.display import DisplayFilter
from napari_cryomamba.widgets import CryoMambaWidget

pytestmark = pytest.mark.desktop


def test_controls_and_display_agree(panel: CryoMambaWidget, phantom_file: Path) -> None:
    """What is typed is displayed, what a key changes is shown, and reset empties the fields."""
    controls, display = panel.display, panel.controller.display
    assert controls.isHidden()
    layer = panel.viewer.add_layer(Layer.create(*open_tomogram(phantom_file).layer()))
    assert not controls.isHidden()
    controls.sections.setValue(7)
    controls.high_pass.setValue(500.0)
    assert display.filter == DisplayFilter(7, 0.0, 500.0)
    display.toggle_low_pass()
    assert controls.low_pass.value() == display.filter.low_pass_A == 80.0
    display.change_sections(-2)
    assert controls.sections.value() == 5
    controls.invert.click()
    assert display.inverted
    before = layer.contrast_limits
    controls.percent.setValue(10.0)
    controls.of_section.click()
    assert layer.contrast_limits[0] > before[0]
    assert layer.contrast_limits[1] < before[1]
    controls.reset.click()
    assert display.filter.off
    assert (controls.sections.value(), controls.low_pass.text(), controls.high_pass.text()) == (1, "off", "off")
    assert not controls.invert.isChecked()
