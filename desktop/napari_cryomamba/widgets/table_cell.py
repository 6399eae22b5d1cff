"""Cells and rows of a table of numbers."""

from __future__ import annotations

from qtpy.QtCore import QItemSelectionModel, Qt
from qtpy.QtWidgets import QTableWidget, QTableWidgetItem

from napari_cryomamba.models.components import Cell


class TableCell(QTableWidgetItem):
    """A cell that shows a formatted number and sorts by its value; text sorts before numbers."""

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


def select_row(table: QTableWidget, row: int) -> None:
    """Select one row and scroll to it, whatever keys are held, which decide what ``selectRow`` does."""
    model, item = table.selectionModel(), table.item(row, 0)
    if item is None:
        return
    flags = QItemSelectionModel.SelectionFlag
    model.select(table.indexFromItem(item), flags.ClearAndSelect | flags.Rows)
    table.scrollToItem(item)
