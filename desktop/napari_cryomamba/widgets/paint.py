"""Painting strokes: the labels, and what is kept of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QCheckBox, QFileDialog, QListWidget, QListWidgetItem, QWidget

from cryomamba.atomic import write_atomically
from cryomamba.engines.artifacts import model_files
from cryomamba.masks.strokes import load_strokes
from napari_cryomamba.app.downloads import Downloads
from napari_cryomamba.app.notifications import Notifications
from napari_cryomamba.app.painting import PaintController
from napari_cryomamba.models.source import Source
from napari_cryomamba.widgets.layout import button, hbox, text_label, vbox
from napari_cryomamba.widgets.save_dialog import choose_file

_ROWS = 4
_ICON = 12


class PaintPanel(QWidget):
    """The labels that are painted, one of which has the brush.

    Parameters
    ----------
    source : callable
        Returns the tomogram that is to be segmented, None if there is none.
    """

    def __init__(
        self,
        painting: PaintController,
        source: Callable[[], Source | None],
        notifications: Notifications,
        downloads: Downloads,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.painting, self._source = painting, source
        self._notifications, self._downloads = notifications, downloads
        self.paint_button = button("Paint strokes", self, self.paint)
        self.paint_button.setToolTip("Add a layer for strokes on the tomogram, and take the brush")
        self.add_button = button("Add label", self, painting.add_label)
        self.labels = QListWidget(self)
        self.labels.setToolTip("The label of the brush; double-click it to give it a name")
        self.labels.setMaximumHeight(self.labels.fontMetrics().height() * (_ROWS + 2))
        self.live = QCheckBox("Update after each stroke", self)
        self.live.setChecked(True)
        self.status = text_label()
        self.open_button = button("Open strokes…", self, self.open_strokes)
        self.save_button = button("Save strokes…", self, self.save_strokes)
        self.model_button = button("Save model…", self, self.save_model)
        self.model_button.setToolTip(
            "Save the trained classifier, to run it on other tomograms: 'cryomamba segment --model'"
        )
        files = hbox(self.open_button, self.save_button, self.model_button)
        vbox(self, hbox(self.paint_button, self.add_button), self.labels, self.live, self.status, files)
        self.labels.currentRowChanged.connect(self._choose)
        self.labels.itemChanged.connect(self._rename)
        self.live.toggled.connect(self._set_live)
        painting.changed.connect(self.refresh)
        self._filling = False
        self.refresh()

    def paint(self) -> None:
        """Begin to paint on the chosen tomogram."""
        if (source := self._source()) is not None:
            self.painting.begin(source)

    def refresh(self) -> None:
        """Show the labels and what is painted."""
        painted = self.painting.painted
        self._filling = True
        shown = [] if painted is None else painted.labels
        for number, label in enumerate(shown):
            item = self.labels.item(number)
            if item is None:
                item = QListWidgetItem()
                item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
                self.labels.addItem(item)
            if item.text() != label.name or item.icon().isNull():
                pixmap = QPixmap(_ICON, _ICON)
                pixmap.fill(QColor(label.colour))
                item.setIcon(QIcon(pixmap))
                item.setText(label.name)
        while self.labels.count() > len(shown):
            self.labels.takeItem(self.labels.count() - 1)
        if self.painting.layer is not None:
            self.labels.setCurrentRow(int(self.painting.layer.selected_label) - 1)
        self._filling = False
        self.status.setText("" if painted is None else painted.summary)
        for each in (self.add_button, self.open_button, self.save_button, self.labels):
            each.setEnabled(painted is not None)
        job = self.painting.job
        self.model_button.setEnabled(job is not None and all(job.has(name) for name in model_files()))

    def _choose(self, row: int) -> None:
        if not self._filling and row >= 0:
            self.painting.choose(row)

    def _rename(self, item: QListWidgetItem) -> None:
        if not self._filling:
            self.painting.rename(self.labels.row(item), item.text())

    def _set_live(self, on: bool) -> None:
        self.painting.live = on

    def save_strokes(self) -> None:
        """Write what is painted to a file."""
        source = self._source()
        strokes = self.painting.strokes(source)
        if source is None or strokes is None:
            return
        suggested = str((source.folder or Path()) / f"{Path(source.meta.name).stem}_strokes.json")
        path = choose_file(self, "Save strokes", suggested, ".json")
        if path is not None:
            text = strokes.to_json()
            self._notifications.report_errors("Saving strokes", lambda: write_atomically(path, text))

    def open_strokes(self) -> None:
        """Show the strokes of a file."""
        name, _ = QFileDialog.getOpenFileName(self, "Open strokes", "", "*.json")
        if name:
            self._notifications.report_errors("Opening strokes", lambda: self.painting.show(load_strokes(Path(name))))

    def save_model(self) -> None:
        """Write the model that the job has learned into a folder."""
        folder = QFileDialog.getExistingDirectory(self, "Folder for the model")
        if folder:
            self.save_model_in(Path(folder))

    def save_model_in(self, folder: Path) -> None:
        """Write the model's files into a folder, once they are on this machine."""
        job = self.painting.job
        if job is None:
            return
        for name in model_files():

            def copy(path: Path, name: str = name) -> None:
                self._notifications.report_errors(
                    "Saving the model", lambda: write_atomically(folder / name, path.read_bytes())
                )

            self._downloads.fetch(job, name, copy)
