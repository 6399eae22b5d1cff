"""The list of keyboard shortcuts, made from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QAbstractItemView, QDialog, QHeaderView, QMenu, QTableWidget, QTableWidgetItem, QWidget

from napari_cryomamba.models.mnemonics import plain
from napari_cryomamba.widgets.layout import text_label, vbox

_SIZE = (520, 560)
_HINT = (
    "Alt and an underlined letter press a button, go to a field or open a menu; Tab goes from field to field. "
    "napari's own shortcuts are in its settings."
)


class Shortcut(NamedTuple):
    """A command and its keys, as people read them."""

    menu: str
    command: str
    keys: str


def shortcuts_of(menu: QMenu, path: str = "") -> Iterator[Shortcut]:
    """Yield every command of a menu that has keys, those of the menus within too."""
    for action in menu.actions():
        inner = action.menu()
        # Keys that the viewer binds stand behind a tab.
        command, _, bound = plain(action.text()).replace("&&", "&").partition("\t")
        if isinstance(inner, QMenu):
            yield from shortcuts_of(inner, f"{path}{command} → ")
            continue
        keys = action.shortcut().toString(QKeySequence.SequenceFormat.NativeText) or bound
        if keys:
            yield Shortcut(path.removesuffix(" → "), command, keys)


class ShortcutsDialog(QDialog):
    """A table of the commands with keys."""

    def __init__(self, menu: QMenu, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keyboard shortcuts")
        found = list(shortcuts_of(menu))
        self.table = QTableWidget(len(found), len(Shortcut._fields), self)
        self.table.setHorizontalHeaderLabels(["Menu", "Command", "Keys"])
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        for row, shortcut in enumerate(found):
            for column, text in enumerate(shortcut):
                self.table.setItem(row, column, QTableWidgetItem(text))
        if (header := self.table.horizontalHeader()) is not None:
            header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        if (rows := self.table.verticalHeader()) is not None:
            rows.hide()
        vbox(self, self.table, text_label(_HINT), margin=8, stretch=self.table)
        self.resize(*_SIZE)
