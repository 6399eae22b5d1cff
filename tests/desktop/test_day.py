"""A day's work in the real window, by mouse and keys; the pictures are left in the test's folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QDesktopServices
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog, QScrollArea, QWidget
from superqt import QCollapsible

from cryomamba.synth import PhantomSpec, synthesize
from cryomamba.volumes import open_volume, write_volume
from cryomamba.volumes.images import open_image
from napari_cryomamba.widgets import CryoMambaWidget

if TYPE_CHECKING:
    from tests.desktop.conftest import WaitFor

pytestmark = [pytest.mark.desktop, pytest.mark.slow]

TOMOGRAMS = 5
CTRL_ALT = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier


class Person:
    """Presses keys and buttons, and looks."""

    def __init__(self, viewer: Any, panel: CryoMambaWidget, folder: Path, wait_for: WaitFor) -> None:
        self.viewer, self.panel, self.app, self.folder = viewer, panel, panel.controller, folder
        self._wait_for = wait_for
        self.window = panel.window()
        self.window.activateWindow()

    def wait_for(self, condition: Callable[[], Any]) -> Any:
        """Wait until a condition is true, and return its value; an error that the panel shows ends the wait."""
        return self._wait_for(condition, self.app.notifications)

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

        def in_sight() -> bool:
            for area in self.panel.findChildren(QScrollArea):
                if area.isAncestorOf(widget):
                    area.ensureWidgetVisible(widget)
            return widget.visibleRegion().contains(widget.rect().center())

        # A section that has just been unfolded has no height yet, so that a click would miss the button.
        self.wait_for(in_sight)
        QTest.mouseClick(widget, Qt.MouseButton.LeftButton)
        QApplication.processEvents()

    def click_canvas(self) -> None:
        """Click in the middle of the canvas."""
        canvas = self.viewer.window._qt_viewer.canvas.native
        QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=QPoint(canvas.width() // 2, canvas.height() // 2))

    def segment(self, engine: str) -> Any:
        """Run an engine on this computer, and return the layer of its mask."""
        overlays = self.app.preview.overlays
        count = len(overlays)
        self.panel.segment.engine.setCurrentText(engine)
        self.click(self.panel.segment.local_button)
        self.wait_for(lambda: len(overlays) > count and all(overlay.final for overlay in overlays.values()))
        return list(overlays.values())[-1].layer

    def look(self, name: str) -> None:
        """Take a picture."""
        QApplication.processEvents()
        path = self.folder / f"day-{name}.png"
        assert self.window.grab().save(str(path))
        assert path.stat().st_size > 10_000


@pytest.fixture
def person(new_window: tuple[Any, CryoMambaWidget], tmp_path: Path, wait_for: WaitFor) -> Person:
    """Somebody at a window without a server."""
    viewer, panel = new_window
    viewer.window.resize(1400, 900)
    return Person(viewer, panel, tmp_path, wait_for)


def voxels(array: Any) -> int:
    """Return how many voxels a mask has."""
    return int(np.count_nonzero(array))


def open_tomograms(person: Person, patch: pytest.MonkeyPatch) -> None:
    """Open five at once; one is shown."""
    paths = [person.folder / f"cell_{number}.mrc" for number in range(1, TOMOGRAMS + 1)]
    for seed, path in enumerate(paths):
        # Without fiducials, whose density would decide the threshold.
        spec = PhantomSpec(shape=(32, 80, 80), voxel_size_A=(13.0, 13.0, 13.0), seed=seed, noise=1.0, fiducials=0)
        write_volume(path, synthesize(spec).density, spec.voxel_size_A)
    chosen = ([str(path) for path in paths], "")
    patch.setattr(QFileDialog, "getOpenFileNames", lambda *_arguments, **_options: chosen)
    person.press(Qt.Key.Key_F, CTRL_ALT)
    panel, layers = person.panel, person.viewer.layers
    person.wait_for(lambda: len(layers) == TOMOGRAMS and panel.tomogram.measured and person.app.jobs.local_engines)
    person.press(Qt.Key.Key_1, Qt.KeyboardModifier.AltModifier)
    person.look("opened")
    assert [layer.name for layer in layers] == [path.name for path in paths]
    assert [layer.visible for layer in layers] == [False] * (TOMOGRAMS - 1) + [True]


def correct(person: Person, mask: Any) -> None:
    """Paint into a mask, and undo it."""
    before = voxels(mask.data)
    person.viewer.layers.selection.active = mask
    person.click(person.panel.edit.brush)
    assert mask.mode == "paint"
    person.click_canvas()
    person.wait_for(lambda: voxels(mask.data) > before)
    person.look("corrected")
    person.click(person.panel.edit.undo)
    assert voxels(mask.data) == before


def measure(person: Person, mask: Any) -> None:
    """Measure the selected mask."""
    person.click(person.panel.statistics.measure_button)
    rows = person.wait_for(lambda: person.panel.statistics.rows)
    assert rows[0].cells[3] == voxels(mask.data)
    person.look("measured")


def export(person: Person, mask: Any, patch: pytest.MonkeyPatch) -> None:
    """Export the selected mask as OME-Zarr, and save a version of it."""
    panel, path = person.panel.export, person.folder / "mask.ome.zarr"
    patch.setattr(QFileDialog, "getSaveFileName", lambda *_arguments, **_options: (str(path), ""))
    panel.format.setCurrentIndex(panel.format.findData(".ome.zarr"))
    person.click(panel.export_button)
    person.wait_for(path.exists)
    with open_image(path) as image:
        assert voxels(image.read_native(*[slice(None)] * 3)) == voxels(mask.data)
    person.click(panel.save_button)
    [saved] = person.wait_for(lambda: list(person.folder.glob("cell_?__threshold_v1.mrc")))
    with open_volume(saved) as volume:
        assert voxels(volume.read_native(*[slice(None)] * 3)) == voxels(mask.data)


def pick(person: Person, patch: pytest.MonkeyPatch) -> None:
    """Pick particles, and export them."""
    panel, path = person.panel, person.folder / "p.star"
    panel.segment.engine.setCurrentText("particles")
    panel.segment.form.editors["diameter_A"].editor.setValue(200)
    person.segment("particles")
    person.wait_for(panel.picks.export.isEnabled)
    patch.setattr(QFileDialog, "getSaveFileName", lambda *_arguments, **_options: (str(path), ""))
    person.click(panel.picks.export)
    person.wait_for(path.exists)
    person.look("picked")


def compare(person: Person, mask: Any, other: Any) -> None:
    """Show two masks in turn, and compute how much they agree."""
    panel = person.panel.compare
    person.viewer.layers.selection.active = mask
    panel.other.setCurrentText(other.name)
    person.press(Qt.Key.Key_B, Qt.KeyboardModifier.AltModifier)
    person.look("compared")
    assert mask.visible != other.visible
    assert panel.text.text().startswith("Shown:")
    person.click(panel.score_button)
    person.wait_for(lambda: "Dice" in panel.text.text())
    both = voxels(np.logical_and(mask.data, other.data))
    assert both
    dice = 2 * both / (voxels(mask.data) + voxels(other.data))
    assert panel.text.text().startswith(f"Dice {dice:.3f} ")


def report(person: Person, patch: pytest.MonkeyPatch) -> None:
    """Write the report of the day, which opens in the browser."""
    path, opened = person.folder / "day.html", []
    patch.setattr(QFileDialog, "getSaveFileName", lambda *_arguments, **_options: (str(path), ""))
    patch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(Path(url.toLocalFile())))
    person.press(Qt.Key.Key_J, CTRL_ALT)
    person.wait_for(lambda: opened)
    assert opened == [path]
    page = path.read_text(encoding="utf-8")
    assert page.count("<h3>") == page.count("data:image/png") == 3
    for engine in ("threshold", "membrane", "particles"):
        assert f"<h3>{engine}: Completed</h3>" in page


def test_a_day_is_played(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """Open five, run, correct, undo, measure, export, pick, compare and report: each result is a file or a figure."""
    open_tomograms(person, monkeypatch)
    first, second = person.segment("threshold"), person.segment("membrane")
    person.look("run")
    correct(person, first)
    measure(person, first)
    export(person, first, monkeypatch)
    pick(person, monkeypatch)
    compare(person, second, first)
    report(person, monkeypatch)
