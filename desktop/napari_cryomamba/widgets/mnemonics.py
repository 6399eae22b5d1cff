"""Alt and a letter for each control of a tab, and Tab from one to the next as they are seen."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from qtpy.QtCore import QEvent, QObject, QPoint, Qt, QTimer
from qtpy.QtGui import QAction
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QComboBox,
    QFormLayout,
    QLabel,
    QLayout,
    QLineEdit,
    QMainWindow,
    QMenu,
    QMenuBar,
    QPushButton,
    QScrollArea,
    QWidget,
)
from superqt import QCollapsible

from napari_cryomamba.models.mnemonics import choose_letters, letter_of, marked, plain

_ALT = re.compile(r"Alt\+([A-Z])")
_ROW_PX = 12
_WAIT_MS = 100
"""After a change, others are waited for: looking at a whole page takes milliseconds, and a job changes it often."""
Control = QAbstractButton | QLabel


class PanelButton(QPushButton):
    """A button whose text is plain for whoever asks, whatever letter is marked in it."""

    def text(self) -> str:
        """Return the text without the mark."""
        return plain(super().text())

    def marked_text(self) -> str:
        """Return the text with the mark."""
        return super().text()


class Mnemonics(QObject):
    """Keeps the letters of a page unique while its controls come, go and change their texts.

    Parameters
    ----------
    page : QWidget
        A tab with all that is in it.
    beside : QWidget
        What is always shown beside it; its letters are taken.
    """

    def __init__(self, page: QWidget, beside: QWidget | None = None) -> None:
        super().__init__(page)
        self._page, self._beside = page, beside
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._refresh_shown)
        for area in [*page.findChildren(QScrollArea), page]:
            watched = area.widget() if isinstance(area, QScrollArea) else area
            if watched is not None:
                watched.installEventFilter(self)
        if beside is not None:
            beside.installEventFilter(self)
        self.refresh()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Look again after controls were shown, hidden, made or renamed."""
        # A page that is not seen is looked at when it is shown.
        if event.type() in (QEvent.Type.LayoutRequest, QEvent.Type.Show) and not self._timer.isActive():
            self._timer.start(_WAIT_MS)
        return super().eventFilter(watched, event)

    def _refresh_shown(self) -> None:
        if self._page.isVisible():
            self.refresh()

    def refresh(self) -> None:
        """Choose the letters, and the order of the Tab key."""
        found = controls(self._page)
        # Buttons first: the field of a label can be reached with Tab.
        found.sort(key=lambda control: isinstance(control, QLabel))
        letters = choose_letters([marked_text(control) for control in found], self._taken())
        for control, letter in zip(found, letters, strict=True):
            text = marked(plain(marked_text(control)), letter)
            if text != marked_text(control):
                control.setText(text)
        for before, after in itertools.pairwise(fields_in_order(self._page)):
            QWidget.setTabOrder(before, after)

    def _taken(self) -> set[str]:
        beside = () if self._beside is None else (letter_of(marked_text(one)) for one in controls(self._beside))
        return {*taken_by_window(self._page.window()), *beside}


def taken_by_window(window: QWidget) -> set[str]:
    """Return the letters of the menu bar, and those of commands with Alt and a letter."""
    if not isinstance(window, QMainWindow):
        return set()
    bar = window.findChild(QMenuBar)
    if bar is None:
        return set()
    titles = {letter_of(action.text()) for action in bar.actions()}
    shortcuts = (action.shortcut().toString() for action in commands_of(bar))
    return {*titles, *(found[1] for text in shortcuts if (found := _ALT.fullmatch(text)))} - {""}


def commands_of(menu: QMenuBar | QMenu) -> Iterator[QAction]:
    """Yield the commands of a menu and of those within; napari's are not children of its window."""
    for action in menu.actions():
        inner = action.menu()
        if isinstance(inner, QMenu):
            yield from commands_of(inner)
        else:
            yield action


def controls(page: QWidget) -> list[Control]:
    """Return the buttons and the labels of fields that are shown, or would be if the page were."""
    found: list[Control] = [button for button in page.findChildren(QAbstractButton) if plain(marked_text(button))]
    found += _labels(page)
    return [control for control in found if control.isVisibleTo(page) and _unfolded(control, page)]


def marked_text(control: Control) -> str:
    """Return the text of a control as Qt has it."""
    return control.marked_text() if isinstance(control, PanelButton) else control.text()


def _labels(page: QWidget) -> Iterator[QLabel]:
    """Yield the labels of forms whose field can have the focus, with the field as their buddy."""
    for form in page.findChildren(QFormLayout):
        for row in range(form.rowCount()):
            label_item, field_item = (
                form.itemAt(row, role) for role in (QFormLayout.ItemRole.LabelRole, QFormLayout.ItemRole.FieldRole)
            )
            label = label_item.widget() if label_item is not None else None
            if not isinstance(label, QLabel) or field_item is None:
                continue
            field = _focusable(field_item.widget() or field_item.layout())
            if field is not None:
                label.setBuddy(field)
                yield label


def _focusable(field: QWidget | QLayout | None) -> QWidget | None:
    """Return the first widget of a field that takes the focus by the keyboard."""
    if isinstance(field, QLayout):
        items = (field.itemAt(number) for number in range(field.count()))
        widgets = [item.widget() for item in items if item is not None]
    elif isinstance(field, QWidget) and not isinstance(field, QLabel):
        widgets = [field, *field.findChildren(QWidget)]
    else:
        return None
    return next((one for one in widgets if one is not None and _takes_focus(one)), None)


def _takes_focus(widget: QWidget) -> bool:
    return bool(widget.focusPolicy() & Qt.FocusPolicy.TabFocus) and not isinstance(widget, QLabel | QScrollArea)


def _unfolded(control: QWidget, page: QWidget) -> bool:
    """Whether no section that is folded contains a control; the title of a section is seen in any case."""
    above = control.parentWidget()
    while above is not None and above is not page:
        if isinstance(above, QCollapsible) and not above.isExpanded() and control.parentWidget() is not above:
            return False
        above = above.parentWidget()
    return True


def fields_in_order(page: QWidget) -> list[QWidget]:
    """Return what takes the focus in a page, from top to bottom, and in a row from left to right."""
    widgets = page.findChildren(QWidget)
    fields = [one for one in widgets if (_is_free_line(one) if isinstance(one, QLineEdit) else _takes_focus(one))]

    return sorted(
        (one for one in fields if one.isEnabled() and one.isVisibleTo(page)), key=lambda one: _place(one, page)
    )


def _place(widget: QWidget, page: QWidget) -> tuple[tuple[int, int], ...]:
    """Return where a widget is: row and column in the page, or those of its scroll area and then its own in that."""
    area = widget.parentWidget()
    while area is not None and area is not page and not isinstance(area, QScrollArea):
        area = area.parentWidget()
    outside: tuple[tuple[int, int], ...] = ()
    container = page
    # What has been scrolled out of sight keeps its place.
    if isinstance(area, QScrollArea) and area is not page and (contents := area.widget()) is not None:
        container, outside = contents, _place(area, page)
    at = widget.mapTo(container, QPoint(0, 0))
    return (*outside, ((at.y() + widget.height() // 2) // _ROW_PX, at.x()))


def _is_free_line(line: QLineEdit) -> bool:
    """Whether a line is no part of a spin box or of a list."""
    return _takes_focus(line) and not isinstance(line.parentWidget(), QAbstractSpinBox | QComboBox)
