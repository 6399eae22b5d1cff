"""The window on small and large screens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QApplication, QComboBox, QScrollArea, QWidget

from napari_cryomamba.widgets import CryoMambaWidget

pytestmark = pytest.mark.desktop

# 1280 × 720 less what a desktop's bar and a title take.
SMALL = (1280, 660)
LARGE = (3840, 2160)
PANEL_WIDTH = 440


def cut_off(page: QWidget) -> list[str]:
    """Return the controls of a tab that are narrower than they need, and what must be scrolled sideways."""
    found = []
    for kind in (QAbstractButton, QComboBox, QAbstractSpinBox):
        for control in page.findChildren(kind):
            shown = control.isVisible() and control.height() > 0
            if (
                shown
                and not isinstance(control, QAbstractSpinBox)
                and control.width() < control.minimumSizeHint().width()
            ):
                found.append(f"{type(control).__name__}: {control.width()} < {control.minimumSizeHint().width()}")
    areas = [*page.findChildren(QScrollArea), *([page] if isinstance(page, QScrollArea) else [])]
    found += [f"scrolled sideways: {area}" for area in areas if area.horizontalScrollBar().maximum() > 0]
    return found


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_no_panel_is_cut_off(
    window: tuple[Any, CryoMambaWidget], phantom_file: Path, wait_for: Any, size: tuple[int, int]
) -> None:
    """The window takes the size that it is given; each control of each tab is as wide as it needs to be, and the canvas
    has at least a third of the width."""
    viewer, panel = window
    if not viewer.layers:
        panel.controller.tomograms.open_files([phantom_file])
    wait_for(lambda: panel.tomogram.measured and panel.controller.jobs.local_engines)
    viewer.window.resize(*size)
    wait_for(lambda: viewer.window.geometry()[2:] == size)
    for number in range(panel.tabs.count()):
        panel.tabs.setCurrentIndex(number)
        QApplication.processEvents()
        page = panel.tabs.widget(number)
        assert page is not None
        assert cut_off(page) == [], panel.tabs.tabText(number)
    assert panel.width() <= PANEL_WIDTH
    assert viewer.canvas.size[1] > size[0] / 3


def test_a_low_window_keeps_its_height(window: tuple[Any, CryoMambaWidget], phantom_file: Path, wait_for: Any) -> None:
    """Whatever is shown at a time, with the tutorial, an offer and an error too, a small screen has room for it."""
    viewer, panel = window
    if not viewer.layers:
        panel.controller.tomograms.open_files([phantom_file])
    wait_for(lambda: viewer.layers and panel.tomogram.measured)
    viewer.window.resize(*SMALL)
    tomogram = viewer.layers[0]
    # In 3D, the controls of labels are the highest of all.
    labels = viewer.add_labels(np.ones(tomogram.data.shape, np.uint8), scale=tomogram.scale, units=tomogram.units)
    viewer.dims.ndisplay = 3
    QApplication.processEvents()
    viewer.dims.ndisplay = 2
    panel.existing.offer("2 results for the tomogram", "Show", lambda: None)
    panel.failure.offer("The mask could not be saved: the disk is full. Delete files, and try again.", "Messages", str)
    panel.menu.tutorial_requested.emit()
    panel.views.show_orthogonal(on=True)
    wait_for(lambda: panel.views.orthogonal.laid_out)
    panel.tabs.setCurrentIndex(0)
    QApplication.processEvents()
    try:
        assert cut_off(panel.tomogram) == []
        assert viewer.window.geometry()[2:] == SMALL
        assert all(plane.canvas.height() > 100 for plane in panel.views.orthogonal.planes)
    finally:
        panel.views.show_orthogonal(on=False)
        panel.tutorial.stop()
        panel.existing.withdraw()
        panel.failure.withdraw()
        viewer.layers.remove(labels)
