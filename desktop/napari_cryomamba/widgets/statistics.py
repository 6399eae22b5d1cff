"""A table of labels and connected components with their size and position."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QPushButton, QWidget

from cryomamba.masks.measure import Measurements, write_csv
from napari_cryomamba.app.notifications import Notifications
from napari_cryomamba.app.revisions import stem_of
from napari_cryomamba.app.sections import go_to
from napari_cryomamba.app.task_runner import TaskRunner
from napari_cryomamba.layers.masks import Mask
from napari_cryomamba.layers.tomograms import require_savable
from napari_cryomamba.models.component_tool import Tool
from napari_cryomamba.models.components import COLUMNS, Place, Row, as_text, measure_mask, table_rows
from napari_cryomamba.napari_types import Viewer
from napari_cryomamba.widgets.clipboard import copy_text
from napari_cryomamba.widgets.layout import button, hbox, text_label, vbox
from napari_cryomamba.widgets.number_table import NumberTable
from napari_cryomamba.widgets.save_dialog import choose_file


class StatisticsPanel(QWidget):
    """Measures the mask in a thread; a double click on a row moves the view there.

    Signals
    -------
    chosen : Place
        The user has selected a component's row.
    edit_requested : Tool, list of Place
        The user wants the selected components to be edited.
    """

    chosen = Signal(object)
    edit_requested = Signal(object, object)

    def __init__(self, viewer: Viewer, tasks: TaskRunner, notifications: Notifications) -> None:
        super().__init__()
        self._viewer, self._tasks, self._notifications = viewer, tasks, notifications
        self._mask: Mask | None = None
        self._array: object = None
        self.rows: list[Row] = []
        self._measured: Measurements | None = None
        self.measure_button = button("Measure", self, self.measure)
        self.components = QCheckBox("List components", self)
        self.components.setChecked(True)
        self.components.setToolTip("Also list every connected component (26 neighbours) of a label")
        self.copy_button = button("Copy", self, self.copy_table)
        self.csv_button = button("CSV…", self, self._choose_file)
        self.table = NumberTable(COLUMNS, self)
        self.edit_buttons = [self._edit_button(tool) for tool in (Tool.DELETE, Tool.KEEP, Tool.MERGE)]
        top = hbox(self.measure_button, self.components, self.copy_button, self.csv_button)
        vbox(self, top, self.table, hbox(text_label("Selected rows:"), *self.edit_buttons))
        self.components.toggled.connect(self._refresh_rows)
        self.table.itemSelectionChanged.connect(self._on_selection)
        self.table.cellDoubleClicked.connect(self._go_to)

    def _edit_button(self, tool: Tool) -> QPushButton:
        made = button(tool.value, self, lambda: self.edit_requested.emit(tool, self.selected_places()))
        made.setEnabled(False)
        return made

    def selected_places(self) -> list[Place]:
        """Return where the components of the selected rows are, in the order of the table."""
        return [place for index in self.table.selected() if (place := self.rows[index].place) is not None]

    def _on_selection(self) -> None:
        places = self.selected_places()
        for made in self.edit_buttons:
            made.setEnabled(bool(places))
        if len(places) == 1:
            self.chosen.emit(places[0])

    def select_place(self, place: Place) -> bool:
        """Select the row of a component, and return whether there is one."""
        for row in range(self.table.rowCount()):
            if self.rows[self.table.index_of(row)].place == place:
                self.table.select_row(row)
                return True
        return False

    def remove_places(self, places: Collection[Place]) -> None:
        """Take the rows of components out of the table."""
        for row in reversed(range(self.table.rowCount())):
            if self.rows[self.table.index_of(row)].place in places:
                self.table.removeRow(row)

    def show_mask(self, mask: Mask | None) -> None:
        """Show another mask; the table is cleared, also if the same layer shows another mask."""
        array = mask.array if mask is not None else None
        if array is not self._array:
            self._measured = None
            self._show([])
            self.measure_button.setText("Measure")
        self._listen(mask)
        self._mask, self._array = mask, array
        self.measure_button.setEnabled(mask is not None and mask.finished)
        self._update_buttons()

    def _listen(self, mask: Mask | None) -> None:
        before, after = (found.layer if found is not None else None for found in (self._mask, mask))
        if before is not after:
            if before is not None:
                before.events.paint.disconnect(self._on_edit)
            if after is not None:
                after.events.paint.connect(self._on_edit)

    def _on_edit(self, _event: object = None) -> None:
        if self._measured is not None:
            self.measure_button.setText("Measure again")

    def _update_buttons(self) -> None:
        self.copy_button.setEnabled(bool(self.rows))
        self.csv_button.setEnabled(bool(self.rows))

    def measure(self) -> None:
        """Measure the mask."""
        mask = self._mask
        if mask is None or not self._notifications.report_errors("Measuring the mask", mask.require_finished):
            return
        array, size, names = mask.array, mask.voxel_size_A, dict(mask.palette.names)
        self.measure_button.setEnabled(False)

        self._tasks.run(
            "Measuring the mask",
            lambda task: measure_mask(array, size, names, progress=task.progress),
            self._on_measured,
            progress=lambda fraction: self.measure_button.setText(f"Measuring {fraction:.0%}"),
            failed=self._ready,
        )

    def _on_measured(self, measured: Measurements) -> None:
        self._measured = measured
        self._show(table_rows(measured, components=self.components.isChecked()))
        self._ready()

    def _refresh_rows(self) -> None:
        if self._measured is not None:
            self._show(table_rows(self._measured, components=self.components.isChecked()))

    def _ready(self) -> None:
        self.measure_button.setText("Measure")
        self.measure_button.setEnabled(self._mask is not None)
        self._update_buttons()

    def _show(self, rows: list[Row]) -> None:
        self.rows = rows
        self.table.show_rows(row.cells for row in rows)

    def copy_table(self) -> None:
        """Copy all rows as tab-separated text, for a spreadsheet."""
        copy_text(as_text(self.rows))

    def _choose_file(self) -> None:
        mask = self._mask
        if mask is None:
            return
        suggested = (mask.folder or Path.home()) / f"{stem_of(mask.tomogram)}__{mask.feature}.csv"
        path = choose_file(self, "Save the table", str(suggested), ".csv", "CSV (*.csv)")
        if path is not None:
            self.save_csv(path)

    def save_csv(self, path: Path) -> None:
        """Write every label and component as CSV, with units in the header."""
        measured = self._measured
        if measured is None:
            return

        def save() -> None:
            require_savable(self._viewer, path)
            write_csv(measured, path)

        self._notifications.report_errors("Saving the table", save)

    def _go_to(self, row: int, _column: int) -> None:
        centre = self.rows[self.table.index_of(row)].centre_nm
        if centre is not None:
            go_to(self._viewer, centre)
