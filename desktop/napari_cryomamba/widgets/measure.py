"""Measurements in the tomogram: ruler, angle, line profile, and distances to the boundary of a mask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtWidgets import QDoubleSpinBox, QFormLayout, QPushButton, QWidget

from cryomamba.volumes.line_profile import LineProfile, line_profile
from napari_cryomamba.app.notifications import Notifications
from napari_cryomamba.app.sections import go_to
from napari_cryomamba.app.task_runner import TaskRunner
from napari_cryomamba.layers.measurements import (
    MEASUREMENTS_KEY,
    all_measurements,
    finish_path,
    measurement_layer,
    start_drawing,
)
from napari_cryomamba.layers.picks import is_picks
from napari_cryomamba.layers.tomogram import source_of
from napari_cryomamba.layers.tomograms import active_tomogram, require_savable
from napari_cryomamba.models.measurements import COLUMNS, Kind, Measurement, as_text, write_csv, write_profile
from napari_cryomamba.models.world_coordinates import NM_PER_A
from napari_cryomamba.napari_types import Layer, LayerEvent, Viewer
from napari_cryomamba.widgets.clipboard import copy_text
from napari_cryomamba.widgets.distances import DistanceForm
from napari_cryomamba.widgets.layout import button, hbox, text_label, vbox
from napari_cryomamba.widgets.number_table import NumberTable
from napari_cryomamba.widgets.plot import LinePlot
from napari_cryomamba.widgets.save_dialog import choose_file

_HINTS = {
    Kind.RULER: "Drag from one point to the other. The ends can be moved with napari's tools for shapes.",
    Kind.ANGLE: "Click three points; the angle is at the second.",
    Kind.PROFILE: "Drag along the line whose density you want to see.",
}
_TITLES = {Kind.RULER: "Ruler", Kind.ANGLE: "Angle", Kind.PROFILE: "Line profile"}
_ROWS_MAX = 2000


class MeasurePanel(QWidget):
    """Measurements are shapes and points of layers; this panel draws them and lists their values."""

    def __init__(self, viewer: Viewer, tasks: TaskRunner, notifications: Notifications) -> None:
        super().__init__()
        self._viewer, self._notifications = viewer, notifications
        self.rows: list[Measurement] = []
        self.profile: LineProfile | None = None
        self._plotted: Measurement | None = None
        self._layer: Layer = None
        self._followed: list[Layer] = []
        self.buttons = {kind: self._tool_button(kind) for kind in _TITLES}
        self.width_box = QDoubleSpinBox(self)
        self.width_box.setRange(0, 1000)
        self.width_box.setValue(5)
        self.width_box.setSuffix(" nm")
        self.width_box.setToolTip("The density is averaged over this width across the line")
        self.plot = LinePlot("distance along the line, nm", self)
        self.plot.hide()
        self.distances = DistanceForm(viewer, tasks, notifications, self)
        self.table = NumberTable(COLUMNS, self)
        self.copy_button = button("Copy", self, self.copy_table)
        self.csv_button = button("CSV…", self, self._choose_csv)
        self.profile_button = button("Profile as CSV…", self, self._choose_profile)
        self.profile_button.setEnabled(False)
        self.status = text_label()
        self._build()
        self._connect()
        self._list_layers()

    def _tool_button(self, kind: Kind) -> QPushButton:
        made = QPushButton(_TITLES[kind], self)
        made.setCheckable(True)
        made.setToolTip(_HINTS[kind])
        made.clicked.connect(lambda checked: self.draw(kind) if checked else self.stop())
        return made

    def _build(self) -> None:
        profile = QFormLayout()
        profile.addRow("Width of the profile", self.width_box)
        vbox(
            self,
            hbox(*self.buttons.values()),
            profile,
            self.plot,
            self.distances,
            self.table,
            hbox(self.copy_button, self.csv_button, self.profile_button),
            self.status,
            margin=4,
            stretch=self.table,
        )

    def _connect(self) -> None:
        layers = self._viewer.layers
        layers.events.inserted.connect(self._list_layers)
        layers.events.removed.connect(self._list_layers)
        layers.selection.events.active.connect(self._on_active)
        self.distances.reported.connect(self.status.setText)
        self.width_box.valueChanged.connect(self._measure_profile)
        self.table.itemSelectionChanged.connect(self._measure_profile)
        self.table.cellDoubleClicked.connect(self._go_to)

    def draw(self, kind: Kind) -> None:
        """Let the user draw a measurement."""
        self.stop()
        self._layer = measurement_layer(self._viewer, active_tomogram(self._viewer))
        self._viewer.layers.selection.active = self._layer
        start_drawing(self._layer, kind)
        self.buttons[kind].setChecked(True)
        self.status.setText(_HINTS[kind])
        self._layer.events.mode.connect(self._on_mode)
        if kind is Kind.ANGLE:
            self._viewer.mouse_drag_callbacks.append(self._on_press)

    def stop(self) -> None:
        """Put the tool away; measurements stay."""
        for made in self.buttons.values():
            made.setChecked(False)
        if self.status.text() in _HINTS.values():
            self.status.clear()
        if self._on_press in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_press)
        layer, self._layer = self._layer, None
        if layer is not None:
            layer.events.mode.disconnect(self._on_mode)
            layer.mode = "pan_zoom"

    def _on_mode(self, _event: object = None) -> None:
        """Raise the buttons when the user takes a tool of napari's."""
        layer, self._layer = self._layer, None
        layer.events.mode.disconnect(self._on_mode)
        self.stop()

    def _on_active(self, event: LayerEvent) -> None:
        if self._layer is not None and event.value is not self._layer:
            self.stop()

    def _on_press(self, _viewer: Viewer, event: Any) -> Iterator[None]:  # noqa: ANN401 (an event of napari's)
        yield
        while event.type == "mouse_move":
            yield
        if self._layer is not None:
            finish_path(self._layer, 3)

    def _list_layers(self, _event: object = None) -> None:
        layers = list(reversed(self._viewer.layers))
        self.distances.list_layers(layers)
        watched = [layer for layer in layers if MEASUREMENTS_KEY in layer.metadata or is_picks(layer)]
        for layer in self._followed:
            layer.events.data.disconnect(self.refresh)
            layer.events.features.disconnect(self.refresh)
        for layer in watched:
            layer.events.data.connect(self.refresh)
            layer.events.features.connect(self.refresh)
        self._followed = watched
        if self._layer is not None and self._layer not in self._viewer.layers:
            self._layer = None
            self.stop()
        self.refresh()

    def refresh(self, event: LayerEvent | None = None) -> None:
        """List the measurements of all layers."""
        if event is not None and str(getattr(event, "action", "")) in {"adding", "changing", "removing"}:
            return
        rows = all_measurements(self._viewer)
        if rows == self.rows:
            return
        drawn = len(rows) > len(self.rows) and rows[-1].kind is Kind.PROFILE
        self.rows = rows
        self.table.show_rows(row.cells for row in rows[:_ROWS_MAX])
        if len(rows) > _ROWS_MAX:
            self.status.setText(f"The table lists {_ROWS_MAX:,} of {len(rows):,} measurements; CSV has all.")
        if drawn:
            self.table.select_row(self.table.rowCount() - 1)
        self._measure_profile()
        line = self._plotted
        if line is not None and not any((row.begin, row.end) == (line.begin, line.end) for row in rows):
            self._clear_profile()

    def _selected(self) -> Measurement | None:
        selected = self.table.selected()
        return self.rows[selected[0]] if selected else None

    def _measure_profile(self, _value: object = None) -> None:
        """Plot the density along the selected line."""
        row = self._selected()
        if row is None or row.kind not in {Kind.PROFILE, Kind.RULER}:
            return
        tomogram = active_tomogram(self._viewer)
        source = source_of(tomogram) if tomogram is not None else None
        if source is None:
            self.status.setText("Open a tomogram to see the density along the line.")
            return
        begin, end = (tuple(tomogram.world_to_data(point).tolist()) for point in (row.begin, row.end))
        axis = int(np.argmin(np.abs(np.subtract(row.end, row.begin))))
        size, width = source.meta.voxel_size_A, self.width_box.value() / NM_PER_A

        def measure() -> None:
            self.profile = line_profile(tomogram.data, begin, end, size, width_A=width, axis=axis)

        if self._notifications.report_errors("Measuring a line profile", measure) and self.profile is not None:
            self.plot.show_curve(self.profile.position_A * NM_PER_A, self.profile.density)
            self.plot.show()
            self.profile_button.setEnabled(True)
            self._plotted = row

    def _clear_profile(self) -> None:
        """Remove the plot of a line that was deleted."""
        self.profile = self._plotted = None
        self.plot.hide()
        self.profile_button.setEnabled(False)

    def copy_table(self) -> None:
        """Copy all rows as tab-separated text, for a spreadsheet."""
        copy_text(as_text(self.rows))

    def _choose_csv(self) -> None:
        path = choose_file(
            self, "Save the measurements", str(self._folder() / "measurements.csv"), ".csv", "CSV (*.csv)"
        )
        if path is not None:
            self.save_csv(path)

    def save_csv(self, path: Path) -> None:
        """Write all measurements as CSV."""
        self._save(path, lambda: write_csv(self.rows, path))

    def _choose_profile(self) -> None:
        path = choose_file(self, "Save the line profile", str(self._folder() / "profile.csv"), ".csv", "CSV (*.csv)")
        if path is not None:
            self.save_profile(path)

    def save_profile(self, path: Path) -> None:
        """Write the profile that is plotted as CSV."""
        profile = self.profile
        if profile is not None:
            self._save(path, lambda: write_profile(profile.position_A * NM_PER_A, profile.density, path))

    def _save(self, path: Path, write: Any) -> None:  # noqa: ANN401
        def save() -> None:
            require_savable(self._viewer, path)
            write()

        if self._notifications.report_errors("Saving measurements", save):
            self.status.setText(f"Saved as {path.name} in {path.parent}.")

    def _folder(self) -> Path:
        tomogram = active_tomogram(self._viewer)
        source = source_of(tomogram) if tomogram is not None else None
        return source.path.parent if source is not None else Path.home()

    def _go_to(self, _row: int, _column: int) -> None:
        row = self._selected()
        if row is not None:
            go_to(self._viewer, row.begin)
