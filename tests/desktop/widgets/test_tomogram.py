"""The panel for metadata, over controllers that are connected to nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari._qt.qt_resources import get_stylesheet
from napari.layers import Layer
from qtpy.QtWidgets import QLabel

from napari_cryomamba.app.controller import AppController
from napari_cryomamba.layers.tomogram import open_tomogram, source_of
from napari_cryomamba.widgets.tomogram import TomogramPanel

if TYPE_CHECKING:
    from tests.desktop.conftest import WaitFor

pytestmark = pytest.mark.desktop


@pytest.fixture
def tomogram(
    controller: AppController, viewer: Any, phantom_file: Path, qtbot: Any, wait_for: WaitFor
) -> TomogramPanel:
    """The panel with an open tomogram that was measured."""
    found = TomogramPanel(viewer, controller.tomograms, controller.tasks)
    qtbot.addWidget(found)
    viewer.add_layer(Layer.create(*open_tomogram(phantom_file).layer()))
    wait_for(lambda: found.measured, controller.notifications)
    return found


def test_metadata_and_statistics_are_shown(tomogram: TomogramPanel, controller: AppController, viewer: Any) -> None:
    """Shape, extent, voxel size, mode and intensities are listed; the scale bar is on, and the file is remembered."""
    shown = "\n".join(label.text() for label in tomogram.findChildren(QLabel))
    for part in ("48 × 96 × 96 voxels", "62 × 125 × 125 nm", "13.000 Å", "2 (float32)", "Mean ± sd", "Range"):
        assert part in shown
    assert viewer.canvas.overlays.scale_bar.visible
    assert controller.tomograms.recent_files[0].endswith("vesicles.mrc")


def test_the_voxel_size_can_be_read(tomogram: TomogramPanel, qtbot: Any) -> None:
    """With napari's style sheet, each field has room for its text, with both bindings of Qt."""
    tomogram.setStyleSheet(get_stylesheet("dark"))
    tomogram.resize(400, 600)
    with qtbot.waitExposed(tomogram):
        tomogram.show()
    for box in tomogram.sizes:
        assert box.lineEdit().width() >= box.fontMetrics().horizontalAdvance(box.text())


def test_a_corrected_voxel_size_rescales_the_layer(tomogram: TomogramPanel, viewer: Any) -> None:
    """The fields replace the voxel size of layer and metadata."""
    for box, value in zip(tomogram.sizes, (20.0, 10.0, 10.0), strict=True):
        box.setValue(value)
    tomogram.apply.click()
    layer = viewer.layers[0]
    np.testing.assert_allclose(layer.scale, [2.0, 1.0, 1.0])
    source = source_of(layer)
    assert source is not None
    assert source.corrected
