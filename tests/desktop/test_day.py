"""A day's work in the real window, by mouse and keys; the pictures are left in the test's folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog, QWidget
from superqt import QCollapsible

from cryomamba.synth import PhantomSpec, synthesize
from cryomamba.volumes import open_volume, write_volume
from cryomamba.volumes.images import open_image
from napari_cryomamba.app.settings import SettingsFile
from napari_cryomamba.widgets import CryoMambaWidget
from napari_cryomamba.window import open_window

if TYPE_CHECKING:
    from tests.desktop.conftest import WaitFor

pytestmark = [pytest.mark.desktop, pytest.mark.slow]

TOMOGRAMS = 5
CTRL_ALT = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier


class Person:
    """Presses keys and buttons, and looks."""

    def __init__(self, viewer: Any, panel: CryoMambaWidget, pictures: Path) -> None:
        self.viewer, self.panel, self.pictures = viewer, panel, pictures
        self.window = panel.window()
        self.window.activateWindow()

    def press(self, key: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        """Press keys in the window."""
        QTest.keyClick(self.window, key, modifier)
        QApplication.processEvents()

    def click(self, widget: QWidget) -> None:
        """Press a button of the panel, which is scrolled to it."""
        self.panel.show_panel(widget)
        for section in self.panel.findChildren(QCollapsible):
            if section.isAncestorOf(widget):
                section.expand(animate=False)
        QApplication.processEvents()
        QTest.mouseClick(widget, Qt.MouseButton.LeftButton)
        QApplication.processEvents()

    def look(self, name: str) -> None:
        """Take a picture."""
        QApplication.processEvents()
        self.window.grab().save(str(self.pictures / f"day-{name}.png"))


@pytest.fixture
def person(qapp: Any, home: Path, settings_file: SettingsFile, tmp_path: Path) -> Iterator[Person]:
    """Somebody at a window without a server."""
    viewer, panel = open_window(server="tcp://127.0.0.1:1", settings=settings_file)
    viewer.window.resize(1400, 900)
    yield Person(viewer, panel, tmp_path)
    panel.shut_down()
    viewer.close()
    qapp.processEvents()


def test_a_day_is_played(person: Person, tmp_path: Path, wait_for: WaitFor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Open five tomograms, run, correct, undo, measure, export, pick and compare: each result is a file or a figure."""
    panel, viewer = person.panel, person.viewer
    app = panel.controller
    paths = [tmp_path / f"cell_{number}.mrc" for number in range(1, TOMOGRAMS + 1)]
    for seed, path in enumerate(paths):
        spec = PhantomSpec(shape=(32, 80, 80), voxel_size_A=(13.0, 13.0, 13.0), seed=seed, noise=1.0)
        write_volume(path, synthesize(spec).density, spec.voxel_size_A)

    chosen = ([str(path) for path in paths], "")
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_arguments, **_options: chosen)
    person.press(Qt.Key.Key_F, CTRL_ALT)
    wait_for(lambda: len(viewer.layers) == TOMOGRAMS and panel.tomogram.measured and app.jobs.local_engines)
    person.press(Qt.Key.Key_1, Qt.KeyboardModifier.AltModifier)
    person.look("opened")
    assert sum(layer.visible for layer in viewer.layers) == 1

    for engine in ("threshold", "membrane"):
        count = len(app.preview.overlays)
        panel.segment.engine.setCurrentText(engine)
        person.click(panel.segment.local_button)
        wait_for(
            lambda count=count: (
                len(app.preview.overlays) > count and all(one.final for one in app.preview.overlays.values())
            )
        )
    person.look("run")
    first, second = (overlay.layer for overlay in app.preview.overlays.values())
    assert first.data.shape == second.data.shape

    viewer.layers.selection.active = first
    voxels = int(np.count_nonzero(first.data))
    person.click(panel.edit.brush)
    assert first.mode == "paint"
    canvas = viewer.window._qt_viewer.canvas.native
    QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=QPoint(canvas.width() // 2, canvas.height() // 2))
    painted = wait_for(lambda: int(np.count_nonzero(first.data)) - voxels)
    assert painted > 0
    person.look("corrected")
    person.click(panel.edit.undo)
    assert int(np.count_nonzero(first.data)) == voxels

    person.click(panel.statistics.measure_button)
    rows = wait_for(lambda: panel.statistics.rows, app.notifications)
    assert rows[0].cells[3] == voxels
    person.look("measured")

    exported = tmp_path / "mask.ome.zarr"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_arguments, **_options: (str(exported), ""))
    panel.export.format.setCurrentIndex(panel.export.format.findData(".ome.zarr"))
    person.click(panel.export.export_button)
    wait_for(exported.exists, app.notifications)
    with open_image(exported) as image:
        assert int(np.count_nonzero(image.read_native(*[slice(None)] * 3))) == voxels
    person.click(panel.export.save_button)
    saved = wait_for(lambda: list(tmp_path.glob("cell_?__threshold_v1.mrc")), app.notifications)
    with open_volume(saved[0]) as volume:
        assert int(np.count_nonzero(volume.read_native(*[slice(None)] * 3))) == voxels

    panel.segment.engine.setCurrentText("particles")
    panel.segment.form.editors["diameter_A"].editor.setValue(200)
    person.click(panel.segment.local_button)
    wait_for(panel.picks.export.isEnabled)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_arguments, **_options: (str(tmp_path / "p.star"), ""))
    person.click(panel.picks.export)
    wait_for((tmp_path / "p.star").exists, app.notifications)
    person.look("picked")

    viewer.layers.selection.active = second
    panel.compare.other.setCurrentText(first.name)
    person.press(Qt.Key.Key_B, Qt.KeyboardModifier.AltModifier)
    person.look("compared")
    assert first.visible != second.visible
    assert panel.compare.text.text().startswith("Shown:")
    for picture in tmp_path.glob("day-*.png"):
        assert picture.stat().st_size > 10_000
