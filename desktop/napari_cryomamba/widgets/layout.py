"""Labels and layouts that all panels use."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLayout, QScrollArea, QVBoxLayout, QWidget

from cryomamba.printable import printable_lines
from napari_cryomamba.widgets.mnemonics import PanelButton


class PlainLabel(QLabel):
    """A label that shows a text as it is: without markup, and with control characters escaped."""

    def __init__(self, text: str = "") -> None:
        super().__init__()
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setText(text)

    def setText(self, text: str | None) -> None:
        """Show a text, which may have several lines."""
        super().setText(printable_lines(text or ""))


def text_label(text: str = "", *, bold: bool = False, color: str = "") -> QLabel:
    """Return a label whose text wraps."""
    label = PlainLabel(text)
    label.setWordWrap(True)
    label.setStyleSheet(("font-weight: bold;" if bold else "") + (f"color: {color};" if color else ""))
    return label


def button(text: str, parent: QWidget, slot: Callable[..., object]) -> PanelButton:
    """Return a button that calls `slot`."""
    made = PanelButton(text, parent)
    made.clicked.connect(slot)
    return made


def hbox(*widgets: QWidget, stretch: QWidget | None = None) -> QHBoxLayout:
    """Return a row of widgets, of which one may take the free space."""
    layout = QHBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget, int(widget is stretch))
    return layout


def scrolled(panel: QWidget) -> QScrollArea:
    """Return a scroll area of a panel, which is as wide as the area and as high as it needs to be."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QScrollArea.Shape.NoFrame)
    area.setWidget(panel)
    return area


def vbox(parent: QWidget, *items: QWidget | QLayout, margin: int = 0, stretch: QWidget | None = None) -> QVBoxLayout:
    """Lay out widgets and layouts below one another in `parent`."""
    layout = QVBoxLayout(parent)
    layout.setContentsMargins(margin, margin, margin, margin)
    for item in items:
        if isinstance(item, QWidget):
            layout.addWidget(item, int(item is stretch))
        else:
            layout.addLayout(item)
    return layout
