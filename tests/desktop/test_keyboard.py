"""Everything by the keyboard: letters, the order of fields, shortcuts."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from napari.utils.action_manager import action_manager
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QAction, QKeySequence
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QApplication, QLabel, QMenu, QMenuBar, QScrollArea, QWidget
from superqt import QCollapsible

from napari_cryomamba.models.mnemonics import letter_of, plain
from napari_cryomamba.widgets import CryoMambaWidget
from napari_cryomamba.widgets.mnemonics import commands_of, controls, marked_text, taken_by_window
from napari_cryomamba.widgets.shortcuts import ShortcutsDialog, shortcuts_of

if TYPE_CHECKING:
    from tests.desktop.conftest import WaitFor

pytestmark = pytest.mark.desktop


@pytest.fixture
def opened(window: tuple[Any, CryoMambaWidget], phantom_file: Path, wait_for: WaitFor) -> tuple[Any, CryoMambaWidget]:
    """The window with a tomogram and a finished job."""
    viewer, panel = window
    if not viewer.layers:
        panel.controller.tomograms.open_files([phantom_file])
        wait_for(lambda: panel.tomogram.measured and panel.controller.jobs.local_engines)
        panel.segment.engine.setCurrentText("threshold")
        panel.segment.local_button.click()
        wait_for(lambda: any(overlay.final for overlay in panel.controller.preview.overlays.values()))
    return viewer, panel


def press_alt(panel: CryoMambaWidget, key: str) -> None:
    """Press Alt and a key in the window."""
    QTest.keyClick(panel.window(), Qt.Key(ord(key)), Qt.KeyboardModifier.AltModifier)


def pages(panel: CryoMambaWidget) -> Iterator[tuple[str, QWidget]]:
    """Each tab, shown, with its sections unfolded one after the other."""
    for number in range(panel.tabs.count()):
        panel.tabs.setCurrentIndex(number)
        QApplication.processEvents()
        page = panel.tabs.widget(number)
        assert page is not None
        yield panel.tabs.tabText(number), page
        for section in page.findChildren(QCollapsible):
            section.expand(animate=False)
            QApplication.processEvents()
            yield f"{panel.tabs.tabText(number)}, {section.text()}", page


def test_each_control_has_a_letter_of_its_own(opened: tuple[Any, CryoMambaWidget], wait_for: WaitFor) -> None:
    """No letter twice in a tab, with the menus and the connection; a control without one has none left in its text."""
    _, panel = opened
    taken = taken_by_window(panel.window())
    assert {"F", "H", "K"} <= taken
    for name, page in pages(panel):

        def wrong(page: QWidget = page) -> list[str]:
            found = [*controls(page), *controls(panel.connection)]
            used = Counter([*(letter for one in found if (letter := letter_of(marked_text(one)))), *taken])
            twice = [letter for letter, count in used.items() if count > 1]
            without = [plain(marked_text(one)) for one in found if not letter_of(marked_text(one))]
            letters = [{letter.upper() for letter in text if letter.isascii() and letter.isalpha()} for text in without]
            return [*twice, *(text for text, has in zip(without, letters, strict=True) if has - set(used))]

        # The connection changes its button by itself, and with it the letters.
        wait_for(lambda: wrong() == [])
        assert wrong() == [], name


def test_alt_and_a_letter_presses_a_button_and_goes_to_a_field(
    opened: tuple[Any, CryoMambaWidget], wait_for: WaitFor
) -> None:
    """The letters do what is expected of them, by real key events."""
    _, panel = opened
    panel.window().activateWindow()
    panel.show_panel(panel.segment)
    QApplication.processEvents()
    label = next(one for one in controls(panel.segment) if isinstance(one, QLabel) and letter_of(one.text()))
    press_alt(panel, letter_of(label.text()))
    assert QApplication.focusWidget() is label.buddy()
    panel.show_panel(panel.statistics)
    QApplication.processEvents()
    before = panel.statistics.components.isChecked()
    letter = letter_of(marked_text(panel.statistics.components))
    press_alt(panel, letter)
    # Qt shows the button pressed for a moment.
    wait_for(lambda: panel.statistics.components.isChecked() is not before)


def test_a_button_keeps_its_letter_when_its_text_changes(
    opened: tuple[Any, CryoMambaWidget], wait_for: WaitFor
) -> None:
    """Code that names a button reads and writes plain text; the letter comes back by itself."""
    _, panel = opened
    panel.show_panel(panel.statistics)
    panel.statistics.measure_button.setText("Measure again")
    wait_for(lambda: letter_of(panel.statistics.measure_button.marked_text()))
    assert panel.statistics.measure_button.text() == "Measure again"


def test_tab_goes_from_top_to_bottom(opened: tuple[Any, CryoMambaWidget]) -> None:
    """Each press of Tab goes on in the same row or to one below, through the fields of the form."""
    _, panel = opened
    panel.show_panel(panel.segment)
    panel.window().activateWindow()
    panel.segment.tomogram.setFocus()
    QApplication.processEvents()
    form = panel.segment.findChild(QScrollArea)
    assert form is not None
    rows = []
    while (focused := QApplication.focusWidget()) is not None and panel.segment.isAncestorOf(focused):
        rows.append(row_of(focused, form, panel.segment))
        assert len(rows) < 50
        QTest.keyClick(focused, Qt.Key.Key_Tab)
    assert len(rows) > 5
    assert all((part, y + 12) >= before for before, (part, y) in itertools.pairwise(rows)), rows


def row_of(field: QWidget, form: QScrollArea, panel: QWidget) -> tuple[int, int]:
    """Whether a field is above (0), in (1) or below (2) the part that scrolls, and its middle from the top there."""
    inside, middle = form.widget(), QPoint(0, field.height() // 2)
    assert inside is not None
    if inside.isAncestorOf(field):
        return 1, field.mapTo(inside, middle).y()
    y = field.mapTo(panel, middle).y()
    return 0 if y < form.mapTo(panel, QPoint(0, 0)).y() else 2, y


def test_alt_and_a_number_go_to_a_panel(opened: tuple[Any, CryoMambaWidget]) -> None:
    """The focus is then in that panel."""
    _, panel = opened
    panel.window().activateWindow()
    press_alt(panel, "2")
    assert panel.tabs.currentIndex() == 1
    focused = QApplication.focusWidget()
    assert focused is not None
    assert panel.tabs.isAncestorOf(focused)


def test_the_list_has_all_shortcuts(opened: tuple[Any, CryoMambaWidget]) -> None:
    """Each command of the menu with keys is a row, with the keys that it really has; no keys twice."""
    _, panel = opened
    dialog = ShortcutsDialog(panel.menu, panel)
    listed = list(shortcuts_of(panel.menu))
    assert dialog.table.rowCount() == len(listed)
    keys = [shortcut.keys for shortcut in listed]
    assert [key for key, count in Counter(keys).items() if count > 1] == []
    with_keys = [action for action in panel.menu.findChildren(QAction) if not action.shortcut().isEmpty()]
    native = QKeySequence.SequenceFormat.NativeText
    assert {action.shortcut().toString(native) for action in with_keys} <= set(keys)
    assert ("View", "Next section", "PgUp") in listed


def test_no_shortcut_is_one_of_naparis(opened: tuple[Any, CryoMambaWidget]) -> None:
    """Neither a command of napari's menus nor a key of its viewer and layers has the same keys."""
    _, panel = opened
    bar = panel.window().findChild(QMenuBar)
    assert bar is not None
    for action in bar.actions():
        if isinstance(menu := action.menu(), QMenu):
            # Some menus are filled when they are opened.
            menu.aboutToShow.emit()
    ours = {keys for action in commands_of(panel.menu) if (keys := action.shortcut().toString())}
    in_menus = [keys for action in commands_of(bar) if (keys := action.shortcut().toString())]
    theirs = {keys for keys in in_menus if keys not in ours or in_menus.count(keys) > 1}
    assert "Ctrl+Alt+S" in theirs
    bound = {key for shortcuts in action_manager._shortcuts.values() for key in map(str, shortcuts)}
    theirs |= {QKeySequence(key.replace("Control", "Ctrl").replace("-", "+")).toString() for key in bound}
    assert len(theirs) > 30
    assert ours & theirs == set()


def test_all_buttons_of_the_panels_are_found(opened: tuple[Any, CryoMambaWidget]) -> None:
    """The letters are for what is seen: a page has as many of them as it shows buttons with text."""
    _, panel = opened
    for _name, page in pages(panel):
        shown = [
            one
            for one in page.findChildren(QAbstractButton)
            if one.isVisible() and one.height() > 0 and plain(marked_text(one))
        ]
        assert {id(one) for one in shown} <= {id(one) for one in controls(page)}
