"""Labels and layouts that all panels use."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLayout, QScrollArea, QVBoxLayout, QWidget

from cryomamba.printable import printable_lines
from napari_cryomamba.widgets.mnemonics import PanelButton
from napari_cryomamba.widgets.theme import State, state_colors


class PlainLabel(QLabel):
    """A label that shows a text as it is: without markup, and with control characters escaped."""

    def __init__(self, text: str = "") -> None:
        super().__init__()
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setText(text)

    def setText(self, text: str | None) -> None:
        """Show a text, which may have several lines."""
        super().setText(printable_lines(text or ""))


class StateLabel(PlainLabel):
    """A label in the colour of a state, whatever theme its window has.

    Parameters
    ----------
    style : str
        A style sheet in which ``{color}`` stands for the colour.
    """

    def __init__(self, state: State, text: str = "", *, style: str = "color: {color};") -> None:
        super().__init__(text)
        self._style, self._state = style, state
        self._use_color()

    def set_state(self, state: State) -> None:
        """Take the colour of another state."""
        self._state = state
        self._use_color()

    def changeEvent(self, event: QEvent) -> None:
        """Take the colour of another theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange:
            self._use_color()

    def _use_color(self) -> None:
        style = self._style.format(color=state_colors(self).of(self._state))
        # Setting it changes the style again.
        if style != self.styleSheet():
            self.setStyleSheet(style)


def text_label(text: str = "", *, bold: bool = False, state: State | None = None) -> QLabel:
    """Return a label whose text wraps."""
    label = PlainLabel(text) if state is None else StateLabel(state, text)
    label.setWordWrap(True)
    if bold and state is None:
        label.setStyleSheet("font-weight: bold;")
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
