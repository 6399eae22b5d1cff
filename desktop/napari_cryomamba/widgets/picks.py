"""The selected picks: their number, the minimum score, the display diameter, a gallery, import and export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QFileDialog, QFormLayout, QWidget
from superqt import QLabeledDoubleSlider

from cryomamba.errors import InvalidRequestError
from cryomamba.geometry import Shape
from cryomamba.picks import READABLE, TomogramInfo, read_picks, write_picks
from napari_cryomamba.app.notifications import Notifications
from napari_cryomamba.app.revisions import stem_of
from napari_cryomamba.app.task_runner import TaskRunner
from napari_cryomamba.layers.picks import (
    SCORE,
    Origin,
    add_picks,
    hide_below,
    is_picks,
    picks_in,
    shape_of,
    voxel_size_A,
)
from napari_cryomamba.layers.sphere_slices import draw_as_spheres
from napari_cryomamba.layers.tomogram import source_of
from napari_cryomamba.layers.tomograms import active_tomogram, require_savable
from napari_cryomamba.models.notifications import Level, Notification
from napari_cryomamba.models.world_coordinates import NM_PER_A
from napari_cryomamba.napari_types import Layer, Viewer
from napari_cryomamba.widgets.gallery import Gallery
from napari_cryomamba.widgets.layout import button, hbox, text_label, vbox
from napari_cryomamba.widgets.save_dialog import choose_file

RELION_4 = "RELION 4"
FORMATS = (
    ("STAR: RELION 5", ".star", ""),
    ("STAR: RELION 4", ".star", RELION_4),
    ("Model: IMOD", ".mod", ""),
    ("CSV: voxels and Å", ".csv", ""),
    ("Table: Dynamo", ".tbl", ""),
)


class PicksPanel(QWidget):
    """The selected Points layer; points are added, moved and deleted with napari's own tools."""

    def __init__(self, viewer: Viewer, tasks: TaskRunner, notifications: Notifications) -> None:
        super().__init__()
        self._viewer, self._notifications = viewer, notifications
        self.gallery = Gallery(viewer, tasks)
        self._layer: Layer = None
        self._filling = self._dragging = False
        self.title = text_label(bold=True)
        self.count = text_label()
        self.score = QLabeledDoubleSlider(Qt.Orientation.Horizontal, self)
        self.score.setToolTip("Points with a lower score are hidden, and are not exported")
        self.diameter = QDoubleSpinBox(self)
        self.diameter.setRange(0.1, 10_000)
        self.diameter.setSuffix(" nm")
        self.format = QComboBox(self)
        for title, suffix, version in FORMATS:
            self.format.addItem(title, (suffix, version))
        self.import_button = button("Import…", self, self._choose_import)
        self.import_button.setToolTip("Picks of the selected tomogram: CSV, STAR of RELION 4 or 5, or IMOD model")
        self.export = button("Export…", self, self._choose)
        self.export.setToolTip("Export the points that are shown")
        self.status = text_label()
        self._build()
        self.score.valueChanged.connect(self._hide_below)
        self.diameter.valueChanged.connect(self._resize)
        viewer.layers.selection.events.active.connect(self.refresh)
        viewer.layers.events.inserted.connect(self.refresh)
        viewer.layers.events.removed.connect(self.refresh)
        self.refresh()

    def _build(self) -> None:
        hint = text_label("Add, select and delete points with the tools in napari's layer controls.")
        form = QFormLayout()
        form.addRow("Minimum score", self.score)
        form.addRow("Display diameter", self.diameter)
        buttons = hbox(self.import_button, self.format, self.export, stretch=self.format)
        vbox(
            self, self.title, self.count, form, buttons, self.status, hint, self.gallery, margin=4, stretch=self.gallery
        )

    def refresh(self, _event: object = None) -> None:
        """Show the selected points; if none are selected, those that were shown before."""
        layers = self._viewer.layers
        active = layers.selection.active
        present = self._layer if self._layer in layers else None
        fallback = next((layer for layer in reversed(layers) if is_picks(layer)), None)
        layer = active if is_picks(active) else present or fallback
        if layer is not self._layer:
            if self._layer is not None:
                self._layer.events.data.disconnect(self._count)
                self._layer.events.features.disconnect(self._fill_unless_dragging)
            if layer is not None:
                draw_as_spheres(layer)
                layer.events.data.connect(self._count)
                layer.events.features.connect(self._fill_unless_dragging)
        self._layer = layer
        self.gallery.show_layer(layer)
        self._fill()

    def _fill_unless_dragging(self, _event: object = None) -> None:
        """Follow a threshold that is changed elsewhere, but leave the slider alone while the user drags it."""
        if not self._dragging:
            self._fill()

    def _fill(self) -> None:
        layer = self._layer
        self._filling = True
        for widget in (self.score, self.diameter, self.format, self.export):
            widget.setEnabled(layer is not None)
        self.title.setText(layer.name if layer is not None else "No picks")
        if layer is not None:
            scores = layer.features[SCORE].to_numpy(float) if SCORE in layer.features else np.empty(0)
            scored = bool(np.isfinite(scores).any())
            low, high = (float(np.nanmin(scores)), float(np.nanmax(scores))) if scored else (0.0, 0.0)
            self.score.setEnabled(scored and high > low)
            self.score.setRange(low, max(high, low + 1e-6))
            shown = np.asarray(layer.shown, bool)
            known = scores[shown & np.isfinite(scores)] if scored else np.empty(0)
            self.score.setValue(float(known.min()) if known.size else low)
            size = float(np.mean(layer.size)) if len(layer.data) else float(layer.current_size)
            self.diameter.setValue(size * float(layer.scale[-1]))
        self._filling = False
        self._count()

    def _count(self, _event: object = None) -> None:
        layer = self._layer
        if layer is None:
            self.count.setText("Run an engine that picks particles, or add a Points layer and click.")
            return
        shown, total = int(np.asarray(layer.shown, bool).sum()), len(layer.data)
        self.count.setText(count_points(total) if shown == total else f"{shown:,} of {count_points(total)}")

    def _hide_below(self, value: float) -> None:
        if self._layer is not None and not self._filling:
            self._dragging = True
            hide_below(self._layer, value)
            self._dragging = False
            self._count()

    def _resize(self, diameter_nm: float) -> None:
        if self._layer is not None and not self._filling:
            self._layer.size = self._layer.current_size = diameter_nm / float(self._layer.scale[-1])

    def _stem(self) -> str:
        return stem_of(str(self._layer.metadata.get("tomogram") or self._layer.name))

    def _choose(self) -> None:
        if self._layer is None:
            return
        folder = Path(self._layer.metadata.get("path") or Path.home() / "x").parent
        suffix = str(self.format.currentData()[0])
        offered = folder / f"{self._stem()}__picks{suffix}"
        path = choose_file(self, "Export the picks", str(offered), suffix)
        if path is not None:
            self.export_to(path)

    def export_to(self, path: Path) -> None:
        """Export the shown points in the format of the file extension."""
        picks = picks_in(self._layer)
        frame = TomogramInfo(shape_of(self._layer) or self._shape_of_view(), voxel_size_A(self._layer), self._stem())

        def save() -> None:
            require_savable(self._viewer, path)
            relion = 4 if self.format.currentData()[1] == RELION_4 else 5
            write_picks(picks, path, frame, relion=relion)

        if self._notifications.report_errors("Exporting the picks", save):
            self.status.setText(f"Saved {count_points(len(picks))} as {path.name} in {path.parent}.")
            self._notifications.notify(Notification(Level.INFO, f"Picks saved: {path.name}."))

    def _choose_import(self) -> None:
        tomogram = active_tomogram(self._viewer)
        source = source_of(tomogram) if tomogram is not None else None
        folder = str(source.path.parent) if source is not None else ""
        pattern = " ".join(f"*{suffix}" for suffix in READABLE)
        name, _ = QFileDialog.getOpenFileName(self, "Import picks", folder, f"Picks ({pattern});;All files (*)")
        if name:
            self.import_from(Path(name))

    def import_from(self, path: Path) -> None:
        """Add the picks of a file to the selected tomogram, as a layer of their own."""
        tomogram = active_tomogram(self._viewer)
        source = source_of(tomogram) if tomogram is not None else None

        def read() -> None:
            if source is None:
                raise InvalidRequestError("No tomogram is open.", hint="Open the tomogram of the picks first.")
            size = source.meta.voxel_size_A
            picks = read_picks(path, TomogramInfo(source.meta.shape, size, stem_of(source.meta.name)))
            add_picks(self._viewer, Origin.of_file(path, source), picks, size)
            self.status.setText(f"Imported {count_points(len(picks))} from {path.name}.")

        if not self._notifications.report_errors("Importing picks", read):
            self.status.setText(self._notifications.newest_text())

    def _shape_of_view(self) -> Shape:
        """Return the shape of the viewer's world, for points that belong to no tomogram."""
        low, high = self._viewer.layers.extent.world
        z, y, x = (high - low)[-3:] / NM_PER_A / np.array(voxel_size_A(self._layer))
        return round(float(z)), round(float(y)), round(float(x))


def count_points(count: int) -> str:
    """Return a number of points in words."""
    return f"{count:,} point{'' if count == 1 else 's'}"
