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

from napari_cryomamba.aside import Task
from napari_cryomamba.desk import Desk
from napari_cryomamba.masks import Mask
from napari_cryomamba.measure import COLUMNS, Measurement, measure, to_csv
from napari_cryomamba.revisions import stem_of

_SHOWN_MAX = 5000


class Cell(QTableWidgetItem):
    """A cell that reads well and sorts by its value; text sorts before numbers."""

    def __init__(self, value: float | str) -> None:
        text = f"{value:,}" if isinstance(value, int) else f"{value:,.1f}" if isinstance(value, float) else value
        super().__init__(text)
        self.value = value
        if not isinstance(value, str):
            self.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)

    def __lt__(self, other: QTableWidgetItem) -> bool:
        if not isinstance(other, Cell):
            return super().__lt__(other)
        if isinstance(self.value, str) or isinstance(other.value, str):
            return (not isinstance(self.value, str), str(self.value)) < (
                not isinstance(other.value, str),
                str(other.value),
            )
        return self.value < other.value


class StatisticsPanel(QWidget):
    """Measures the mask in a thread; a double click on a row goes there."""

    def __init__(self, desk: Desk, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self._mask: Mask | None = None
        self._task: Task | None = None
        self.rows: list[Measurement] = []
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
        self.copy.clicked.connect(self.copy_table)
        self.csv.clicked.connect(self._choose_file)
        self.table.cellDoubleClicked.connect(self._go_to)

    def show_mask(self, mask: Mask | None) -> None:
        """Offer another mask; what was measured of the one before goes away."""
        if mask is None or self._mask is None or mask.layer is not self._mask.layer:
            self._show([])
        self._mask = mask
        self.button.setEnabled(mask is not None and not mask.growing)
        self._enable()

    def _enable(self) -> None:
        for button in (self.copy, self.csv):
            button.setEnabled(bool(self.rows))

    def measure(self) -> None:
        """Measure the mask as it is now."""
        mask = self._mask
        if mask is None or not self._desk.attempt("Measuring the mask", mask.require_finished):
            return
        array, size, names, pieces = mask.array, mask.voxel_size_A, dict(mask.palette.names), self.pieces.isChecked()
        self.button.setEnabled(False)
        self.button.setText("Measuring …")
        self._task = self._desk.aside.run(
            "Measuring the mask",
            lambda _task: measure(array, size, names, pieces=pieces),
            self._take,
            failed=self._ready,
        )

    def _take(self, rows: list[Measurement]) -> None:
        self._show(rows)
        self._ready()

    def _ready(self) -> None:
        self.button.setText("Measure")
        self.button.setEnabled(self._mask is not None)
        self._enable()

    def _show(self, rows: list[Measurement]) -> None:
        self.rows = rows
        self.table.setSortingEnabled(False)
        self.table.setRowCount(min(len(rows), _SHOWN_MAX))
        for number, row in enumerate(rows[:_SHOWN_MAX]):
            for column, cell in enumerate(row.cells):
                item = Cell(cell)
                item.setData(Qt.ItemDataRole.UserRole, number)
                self.table.setItem(number, column, item)
        self.table.setSortingEnabled(True)
        self.table.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        self.table.resizeColumnsToContents()

    def copy_table(self) -> None:
        """Copy all rows, tab-separated, for a spreadsheet."""
        clipboard = QApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(to_csv(self.rows, delimiter="\t"))

    def _choose_file(self) -> None:
        mask = self._mask
        if mask is None:
            return
        offered = (mask.folder or Path.home()) / f"{stem_of(mask.tomogram)}__{mask.feature}.csv"
        name, _ = QFileDialog.getSaveFileName(self, "Save the table", str(offered), "CSV (*.csv)")
        if name:
            self.save_csv(Path(name))

    def save_csv(self, path: Path) -> None:
        """Write all rows as CSV."""
        self._desk.attempt("Saving the table", lambda: _write(path, to_csv(self.rows)))

    def _go_to(self, row: int, _column: int) -> None:
        item = self.table.item(row, 0)
        if item is None:
            return
        centre = self.rows[item.data(Qt.ItemDataRole.UserRole)].centroid_nm
        viewer = self._desk.viewer
        viewer.dims.set_point(range(viewer.dims.ndim)[-3:], centre)
        viewer.camera.center = centre


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
