"""A table of numbers that can be sorted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qtpy.QtCore import QItemSelectionModel, Qt
from qtpy.QtWidgets import QAbstractItemView, QTableWidget, QTableWidgetItem, QWidget

from napari_cryomamba.models.components import Cell


class NumberTable(QTableWidget):
    """A read-only table whose rows keep, however they are sorted, the index that they had in what was shown."""

    def __init__(self, columns: Sequence[str], parent: QWidget) -> None:
        super().__init__(0, len(columns), parent)
        self.setHorizontalHeaderLabels(list(columns))
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setMinimumHeight(140)
        vertical = self.verticalHeader()
        if vertical is not None:
            vertical.hide()
            vertical.setDefaultSectionSize(22)

    def show_rows(self, rows: Iterable[Sequence[Cell]]) -> None:
        """Show other rows, in the order given until the user sorts them."""
        shown = list(rows)
        self.setSortingEnabled(False)
        self.setRowCount(len(shown))
        for index, cells in enumerate(shown):
            for column, cell in enumerate(cells):
                item = _NumberItem(cell)
                item.setData(Qt.ItemDataRole.UserRole, index)
                self.setItem(index, column, item)
        self.setSortingEnabled(True)
        self.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        self.resizeColumnsToContents()

    def index_of(self, row: int) -> int:
        """Return the index that a row had in what was shown; −1 if there is no such row."""
        item = self.item(row, 0)
        return -1 if item is None else int(item.data(Qt.ItemDataRole.UserRole))

    def selected(self) -> list[int]:
        """Return the indices of the selected rows, from top to bottom."""
        return [self.index_of(row) for row in sorted({item.row() for item in self.selectedItems()})]

    def select_row(self, row: int) -> None:
        """Select one row and scroll to it, whatever keys are held, which decide what ``selectRow`` does."""
        model, item = self.selectionModel(), self.item(row, 0)
        if item is None:
            return
        flags = QItemSelectionModel.SelectionFlag
        model.select(self.indexFromItem(item), flags.ClearAndSelect | flags.Rows)
        self.scrollToItem(item)


class _NumberItem(QTableWidgetItem):
    """A cell that shows a formatted number and sorts by its value; text sorts before numbers."""

    def __init__(self, value: Cell) -> None:
        text = f"{value:,}" if isinstance(value, int) else f"{value:,.1f}" if isinstance(value, float) else value
        super().__init__(text)
        self.value = value
        if not isinstance(value, str):
            self.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)

    def __lt__(self, other: QTableWidgetItem) -> bool:
        if not isinstance(other, _NumberItem):
            return super().__lt__(other)
        mine, theirs = self.value, other.value
        if isinstance(mine, str) or isinstance(theirs, str):
            return (not isinstance(mine, str), str(mine)) < (not isinstance(theirs, str), str(theirs))
        return mine < theirs
