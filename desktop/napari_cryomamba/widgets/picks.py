"""Picked particles: how many, down to which score, how large they are drawn, and where they go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledDoubleSlider

from cryomamba.geometry import Shape, Spacing
from cryomamba.picks import EXTENSIONS, TomogramInfo, write_picks
from napari_cryomamba.app.controller import AppController
from napari_cryomamba.app.revisions import stem_of
from napari_cryomamba.layers.picks import SCORE, hide_below, is_picks, picks_in, shape_of, voxel_size_A
from napari_cryomamba.models.history import Level, Notice
from napari_cryomamba.models.placement import NM_PER_A

TITLES = {".star": "STAR: RELION 5", ".csv": "CSV: voxels and Å", ".tbl": "Table: Dynamo"}


class PicksPanel(QWidget):
    """The selected points layer; napari's own tools add, move and delete points."""

    def __init__(self, desk: AppController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self._layer: Any = None
        self._filling = self._moving = False
        self.title = QLabel(self)
        self.title.setWordWrap(True)
        self.title.setStyleSheet("font-weight: bold;")
        self.count = QLabel(self)
        self.score = QLabeledDoubleSlider(Qt.Orientation.Horizontal, self)
        self.score.setToolTip("Points of a lower score are hidden, and are not exported")
        self.diameter = QDoubleSpinBox(self)
        self.diameter.setRange(0.1, 10_000)
        self.diameter.setSuffix(" nm")
        self.format = QComboBox(self)
        for suffix in (".star", *(ending for ending in EXTENSIONS if ending != ".star")):
            self.format.addItem(TITLES.get(suffix, suffix), suffix)
        self.export = QPushButton("Export…", self)
        self.export.setToolTip("Write the points that are shown")
        self.said = QLabel(self)
        hint = QLabel("Add, select and delete points with napari's own tools, above the list of layers.", self)
        for label in (self.said, hint):
            label.setWordWrap(True)
        self._build(hint)
        self.score.valueChanged.connect(self._hide_below)
        self.diameter.valueChanged.connect(self._resize)
        self.export.clicked.connect(self._choose)
        viewer = desk.viewer
        viewer.layers.selection.events.active.connect(self.refresh)
        viewer.layers.events.inserted.connect(self.refresh)
        viewer.layers.events.removed.connect(self.refresh)
        self.refresh()

    def _build(self, hint: QLabel) -> None:
        form, buttons = QFormLayout(), QHBoxLayout()
        form.addRow("Lowest score", self.score)
        form.addRow("Drawn diameter", self.diameter)
        buttons.addWidget(self.format, 1)
        buttons.addWidget(self.export)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        for widget in (self.title, self.count):
            layout.addWidget(widget)
        layout.addLayout(form)
        layout.addLayout(buttons)
        for widget in (self.said, hint):
            layout.addWidget(widget)
        layout.addStretch(1)

    def refresh(self, _event: object = None) -> None:
        """Show the selected points; those before stay while no other points are selected."""
        layers = self._desk.viewer.layers
        active = layers.selection.active
        present = self._layer if self._layer in layers else None
        fallback = next((layer for layer in reversed(layers) if is_picks(layer)), None)
        layer = active if is_picks(active) else present or fallback
        if layer is not self._layer:
            if self._layer is not None:
                self._layer.events.data.disconnect(self._count)
                self._layer.events.features.disconnect(self._fill_unless_moved)
            if layer is not None:
                layer.events.data.connect(self._count)
                layer.events.features.connect(self._fill_unless_moved)
        self._layer = layer
        self._fill()

    def _fill_unless_moved(self, _event: object = None) -> None:
        """Follow a threshold that is moved elsewhere, but not the slider here: it is where the person has it."""
        if not self._moving:
            self._fill()

    def _fill(self) -> None:
        layer = self._layer
        self._filling = True
        for widget in (self.score, self.diameter, self.format, self.export):
            widget.setEnabled(layer is not None)
        self.title.setText(layer.name if layer is not None else "No picks yet")
        if layer is not None:
            scored = SCORE in layer.features and len(layer.data) > 0
            scores = layer.features[SCORE].to_numpy(float) if scored else np.zeros(1)
            low, high = float(scores.min()), float(scores.max())
            self.score.setEnabled(scored and high > low)
            self.score.setRange(low, max(high, low + 1e-6))
            shown = np.asarray(layer.shown, bool)
            self.score.setValue(float(scores[shown].min()) if scored and shown.any() else low)
            size = float(np.mean(layer.size)) if len(layer.data) else float(layer.current_size)
            self.diameter.setValue(size * float(layer.scale[-1]))
        self._filling = False
        self._count()

    def _count(self, _event: object = None) -> None:
        layer = self._layer
        if layer is None:
            self.count.setText("An engine that picks particles makes them, or add a points layer and click.")
            return
        shown, total = int(np.asarray(layer.shown, bool).sum()), len(layer.data)
        self.count.setText(f"{total:,} points" if shown == total else f"{shown:,} of {total:,} points")

    def _hide_below(self, value: float) -> None:
        if self._layer is not None and not self._filling:
            self._moving = True
            hide_below(self._layer, value)
            self._moving = False
            self._count()

    def _resize(self, diameter_nm: float) -> None:
        if self._layer is not None and not self._filling:
            size = diameter_nm / float(self._layer.scale[-1])
            self._layer.size = size
            self._layer.current_size = size

    @property
    def _size_A(self) -> Spacing:
        return voxel_size_A(self._layer)

    def _stem(self) -> str:
        return stem_of(str(self._layer.metadata.get("tomogram") or self._layer.name))

    def _choose(self) -> None:
        if self._layer is None:
            return
        folder = Path(self._layer.metadata.get("path") or Path.home() / "x").parent
        suffix = str(self.format.currentData())
        offered = folder / f"{self._stem()}__picks{suffix}"
        name, _ = QFileDialog.getSaveFileName(self, "Export the picks", str(offered), f"*{suffix}")
        if name:
            self.export_to(Path(name if name.endswith(suffix) else name + suffix))

    def export_to(self, path: Path) -> None:
        """Write the shown points in the format of the name's ending."""
        picks = picks_in(self._layer)
        frame = TomogramInfo(shape_of(self._layer) or self._shape_of_view(), self._size_A, self._stem())
        if self._desk.notices.attempt("Exporting the picks", lambda: write_picks(picks, path, frame)):
            self.said.setText(f"Saved {len(picks):,} points as {path.name} in {path.parent}.")
            self._desk.notices.tell(Notice(Level.INFO, f"Saved {path.name}.", context="Exporting the picks"))

    def _shape_of_view(self) -> Shape:
        """Return the shape of what the viewer holds: that of points of the person's own."""
        low, high = self._desk.viewer.layers.extent.world
        z, y, x = (high - low)[-3:] / NM_PER_A / np.array(self._size_A)
        return round(float(z)), round(float(y)), round(float(x))
