"""The labels of a mask: colour, name and number of each."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QColorDialog, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_cryomamba.models.palette import Palette

_COLOR, _NAME, _LABEL = 0, 1, 2
_ROW_HEIGHT, _ROWS_MAX = 24, 5


class LabelTable(QTableWidget):
    """As high as its rows, up to five.

    Signals
    -------
    renamed : int, str
        A label, and the name that the user has given it.
    colored : int, str
        A label, and the colour ``#rrggbb`` that the user has chosen.
    """

    renamed = Signal(int, str)
    colored = Signal(int, str)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(0, 3, parent)
        self.setHorizontalHeaderLabels(["", "Name", "Label"])
        header, rows = self.horizontalHeader(), self.verticalHeader()
        rows.hide()
        rows.setDefaultSectionSize(_ROW_HEIGHT)
        header.setSectionResizeMode(_NAME, QHeaderView.ResizeMode.Stretch)
        self.setColumnWidth(_COLOR, 28)
        self.setColumnWidth(_LABEL, 48)
        self.itemChanged.connect(self._on_changed)
        self.cellClicked.connect(self._choose_color)

    def show_palette(self, palette: Palette | None) -> None:
        """List the labels of a palette; nothing without one."""
        with QSignalBlocker(self):
            self.setRowCount(0)
            for row, label in enumerate(() if palette is None else palette.labels):
                self.insertRow(row)
                self._fill(row, label, palette or Palette())
        height = self.horizontalHeader().sizeHint().height()
        self.setFixedHeight(height + 4 + _ROW_HEIGHT * min(max(self.rowCount(), 1), _ROWS_MAX))

    def _fill(self, row: int, label: int, palette: Palette) -> None:
        color = QTableWidgetItem()
        color.setBackground(QColor(palette.color(label)))
        color.setToolTip("Click to choose another colour")
        number = QTableWidgetItem(str(label))
        for item in (color, number):
            item.setFlags(Qt.ItemFlag.ItemIsEnabled)
        name = QTableWidgetItem(palette.name(label))
        name.setToolTip("Double-click to rename")
        for column, item in enumerate((color, name, number)):
            item.setData(Qt.ItemDataRole.UserRole, label)
            self.setItem(row, column, item)

    def _on_changed(self, item: QTableWidgetItem) -> None:
        if item.column() == _NAME:
            self.renamed.emit(item.data(Qt.ItemDataRole.UserRole), item.text())

    def _choose_color(self, row: int, column: int) -> None:
        item, name = self.item(row, _COLOR), self.item(row, _NAME)
        if column != _COLOR or item is None or name is None:
            return
        label = item.data(Qt.ItemDataRole.UserRole)
        dialog = QColorDialog(item.background().color(), self)
        dialog.setWindowTitle(f"Colour of {name.text()}")
        dialog.colorSelected.connect(lambda color: self.colored.emit(label, color.name()))
        dialog.open()
