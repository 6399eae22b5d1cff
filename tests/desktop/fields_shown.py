"""A program that opens the window and prints, as JSON, each field whose value cannot be read, for each theme.

``python fields_shown.py TOMOGRAM HOME`` with the scale in ``QT_SCALE_FACTOR`` and the binding in ``QT_API``.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

# Anti-aliased ends of letters, and side bearings that count as advance.
SHARE_OF_TEXT = 0.8


def main(tomogram: Path, home: Path) -> dict[str, Any]:
    """Open the window with a finished job whose threshold can be changed, and look at every field."""
    os.environ["CRYOMAMBA_HOME"] = str(home)
    os.environ["NAPARI_CONFIG"] = str(home / "napari.yaml")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from superqt import QCollapsible

        from napari_cryomamba.window import open_window
    from qtpy.QtWidgets import QApplication

    viewer, panel = open_window([tomogram], server="tcp://127.0.0.1:1")
    application: Any = QApplication.instance()
    wait_until(application, lambda: panel.tomogram.measured and panel.segment.engine.findText("particles") >= 0)
    panel.segment.engine.setCurrentText("particles")
    panel.segment.form.editors["diameter_A"].editor.setValue(200)
    panel.segment.local_button.click()
    wait_until(application, lambda: any(overlay.final for overlay in panel.controller.preview.overlays.values()))
    panel.threshold.load_scores()
    wait_until(application, lambda: not panel.threshold.controls.isHidden())
    for section in panel.findChildren(QCollapsible):
        section.expand(animate=False)
    found: dict[str, Any] = {"ratio": panel.devicePixelRatioF(), "fields": 0, "unreadable": []}
    for theme in ("dark", "light"):
        viewer.theme = theme
        for number in range(panel.tabs.count()):
            panel.tabs.setCurrentIndex(number)
            application.processEvents()
            for name, shown, expected in fields(panel):
                found["fields"] += 1
                if shown < expected:
                    found["unreadable"].append(f"{theme}, {panel.tabs.tabText(number)}, {name}: {shown} < {expected}")
    panel.shut_down()
    viewer.close()
    return found


def wait_until(application: Any, condition: Callable[[], Any]) -> None:
    """Process events until a condition holds; whoever started this program ends it if that is never."""
    from qtpy.QtCore import QEventLoop

    while not condition():
        application.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)


def fields(panel: Any) -> Iterator[tuple[str, int, int]]:
    """Yield each visible field: its text, the width of what is drawn of it and the least width of that, in pixels."""
    from qtpy.QtCore import QSignalBlocker
    from qtpy.QtWidgets import QAbstractSpinBox, QComboBox, QDoubleSpinBox, QLineEdit, QSpinBox

    for line in panel.findChildren(QLineEdit):
        owner = line.parent() if isinstance(line.parent(), QAbstractSpinBox | QComboBox) else line
        value, hint = line.text(), line.placeholderText()
        text = value or hint
        if not line.isVisible() or not text:
            continue
        blockers = [QSignalBlocker(line), QSignalBlocker(owner)]
        width = drawn_width(owner, partial(remove_text, line))
        line.setText(value)
        line.setPlaceholderText(hint)
        del blockers
        # A number is shown whole; of a text, what the field has room for.
        number = isinstance(owner, QAbstractSpinBox)
        if isinstance(owner, QSpinBox | QDoubleSpinBox):
            # Qt keeps the prefix when the value is removed.
            text = text.removeprefix(owner.prefix())
        yield text, width, expected_width(line, text, None if number else owner.width() - 40)
    for combo in panel.findChildren(QComboBox):
        if combo.isVisible() and not combo.isEditable() and combo.currentText():
            blocker = QSignalBlocker(combo)
            text, at = combo.currentText(), combo.currentIndex()
            width = drawn_width(combo, partial(combo.setCurrentIndex, -1))
            combo.setCurrentIndex(at)
            del blocker
            # A longer text is cut at the arrow.
            yield text, width, expected_width(combo, text, combo.width() - 40)


def remove_text(line: Any) -> None:
    """Leave a field empty."""
    line.clear()
    line.setPlaceholderText("")


def drawn_width(widget: Any, clear: Callable[[], Any]) -> int:
    """Return the width of the pixels that change when the value is removed."""
    before = pixels(widget)
    clear()
    columns = np.flatnonzero((before != pixels(widget)).any(axis=(0, 2)))
    return int(columns[-1] - columns[0] + 1) if columns.size else 0


def pixels(widget: Any) -> Any:
    """Return what a widget draws: rows, columns, channels."""
    image = widget.grab().toImage().convertToFormat(widget.grab().toImage().Format.Format_RGB32)
    bits = image.bits()
    if hasattr(bits, "setsize"):
        bits.setsize(image.sizeInBytes())
    return np.array(bits, np.uint8).reshape(image.height(), image.width(), 4)[..., :3]


def expected_width(widget: Any, text: str, room: int | None) -> int:
    """Return the least width that a text has to be drawn with, in pixels of the screen."""
    advance = widget.fontMetrics().horizontalAdvance(text)
    return int((advance if room is None else min(advance, room)) * SHARE_OF_TEXT * widget.devicePixelRatioF())


if __name__ == "__main__":
    result = main(Path(sys.argv[1]), Path(sys.argv[2]))
    sys.stdout.write(f"{json.dumps(result)}\n")
    sys.stdout.flush()
    # Threads of napari's pool may still be compiling.
    os._exit(0)
