"""Sizes and places of labels and pieces, as a table."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from cryomamba.errors import ErrorCode, JobFailedError
from cryomamba.masks.measure import Measurements, write_csv
from napari_cryomamba.app.controller import AppController
from napari_cryomamba.app.revisions import stem_of
from napari_cryomamba.app.task_runner import Task
from napari_cryomamba.layers.masks import Mask
from napari_cryomamba.models.components import COLUMNS, Cell, Row, as_text, measure_mask, table_rows


class TableCell(QTableWidgetItem):
    """A cell that reads well and sorts by its value; text sorts before numbers."""

    def __init__(self, value: Cell) -> None:
        text = f"{value:,}" if isinstance(value, int) else f"{value:,.1f}" if isinstance(value, float) else value
        super().__init__(text)
        self.value = value
        if not isinstance(value, str):
            self.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)

    def __lt__(self, other: QTableWidgetItem) -> bool:
        if not isinstance(other, TableCell):
            return super().__lt__(other)
        mine, theirs = self.value, other.value
        if isinstance(mine, str) or isinstance(theirs, str):
            return (not isinstance(mine, str), str(mine)) < (not isinstance(theirs, str), str(theirs))
        return mine < theirs


class StatisticsPanel(QWidget):
    """Measures the mask in a thread; a double click on a row goes there."""

    def __init__(self, desk: AppController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self._mask: Mask | None = None
        self._array: object = None
        self._task: Task | None = None
        self.rows: list[Row] = []
        self._measured: Measurements | None = None
        self.button = QPushButton("Measure", self)
        self.pieces = QCheckBox("each piece", self)
        self.pieces.setChecked(True)
        self.pieces.setToolTip("Also list every connected piece (26 neighbours) of a label")
        self.copy = QPushButton("Copy", self)
        self.csv = QPushButton("CSV…", self)
        self.table = QTableWidget(0, len(COLUMNS), self)
        self.table.setHorizontalHeaderLabels(list(COLUMNS))
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setMinimumHeight(140)
        vertical = self.table.verticalHeader()
        if vertical is not None:
            vertical.hide()
            vertical.setDefaultSectionSize(22)
        top = QHBoxLayout()
        for widget in (self.button, self.pieces, self.copy, self.csv):
            top.addWidget(widget)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(top)
        layout.addWidget(self.table)
        self.button.clicked.connect(self.measure)
        self.pieces.toggled.connect(self._list_again)
        self.copy.clicked.connect(self.copy_table)
        self.csv.clicked.connect(self._choose_file)
        self.table.cellDoubleClicked.connect(self._go_to)

    def show_mask(self, mask: Mask | None) -> None:
        """Offer another mask; what was measured of the one before goes away, also where it was on the same layer."""
        array = mask.array if mask is not None else None
        if array is not self._array:
            self._measured = None
            self._show([])
            self.button.setText("Measure")
        self._listen(mask)
        self._mask, self._array = mask, array
        self.button.setEnabled(mask is not None and not mask.growing)
        self._enable()

    def _listen(self, mask: Mask | None) -> None:
        before, after = (found.layer if found is not None else None for found in (self._mask, mask))
        if before is not after:
            if before is not None:
                before.events.labels_update.disconnect(self._on_edit)
            if after is not None:
                after.events.labels_update.connect(self._on_edit)

    def _on_edit(self, _event: object = None) -> None:
        """Say that the numbers are those from before an edit."""
        if self._measured is not None:
            self.button.setText("Measure again")

    def _enable(self) -> None:
        for button in (self.copy, self.csv):
            button.setEnabled(bool(self.rows))

    def measure(self) -> None:
        """Measure the mask as it is now."""
        mask = self._mask
        if mask is None or not self._desk.notices.attempt("Measuring the mask", mask.require_finished):
            return
        array, size, names = mask.array, mask.voxel_size_A, dict(mask.palette.names)
        self.button.setEnabled(False)

        def work(task: Task) -> Measurements:
            def step(fraction: float) -> None:
                if task.cancelled():
                    raise JobFailedError("Measuring was stopped.", code=ErrorCode.CANCELLED)
                task.progress(fraction)

            return measure_mask(array, size, names, step=step)

        self._task = self._desk.aside.run(
            "Measuring the mask",
            work,
            self._take,
            progress=lambda fraction: self.button.setText(f"Measuring {fraction:.0%}"),
            failed=self._ready,
        )

    def _take(self, measured: Measurements) -> None:
        self._measured = measured
        self._show(table_rows(measured, pieces=self.pieces.isChecked()))
        self._ready()

    def _list_again(self) -> None:
        if self._measured is not None:
            self._show(table_rows(self._measured, pieces=self.pieces.isChecked()))

    def _ready(self) -> None:
        self.button.setText("Measure")
        self.button.setEnabled(self._mask is not None)
        self._enable()

    def _show(self, rows: list[Row]) -> None:
        self.rows = rows
        self.table.setSortingEnabled(False)
        self.table.setRowCount(len(rows))
        for number, row in enumerate(rows):
            for column, cell in enumerate(row.cells):
                item = TableCell(cell)
                item.setData(Qt.ItemDataRole.UserRole, number)
                self.table.setItem(number, column, item)
        self.table.setSortingEnabled(True)
        self.table.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        self.table.resizeColumnsToContents()

    def copy_table(self) -> None:
        """Copy all rows, tab-separated, for a spreadsheet."""
        clipboard = QApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(as_text(self.rows))

    def _choose_file(self) -> None:
        mask = self._mask
        if mask is None:
            return
        offered = (mask.folder or Path.home()) / f"{stem_of(mask.tomogram)}__{mask.feature}.csv"
        name, _ = QFileDialog.getSaveFileName(self, "Save the table", str(offered), "CSV (*.csv)")
        if name:
            self.save_csv(Path(name))

    def save_csv(self, path: Path) -> None:
        """Write every label and every piece as CSV, in Å and nm as its heads say."""
        measured = self._measured
        if measured is not None:
            self._desk.notices.attempt("Saving the table", lambda: write_csv(measured, path))

    def _go_to(self, row: int, _column: int) -> None:
        item = self.table.item(row, 0)
        if item is None:
            return
        centre = self.rows[item.data(Qt.ItemDataRole.UserRole)].centre_nm
        if centre is None:
            return
        viewer = self._desk.viewer
        viewer.dims.set_point(range(viewer.dims.ndim)[-3:], centre)
        viewer.scene.camera.center = centre
