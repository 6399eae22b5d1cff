"""The guided first run: a bar that shows what to do next, and goes on when it is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFrame, QWidget

from napari_cryomamba.models.tutorial import Progress, Step
from napari_cryomamba.widgets.layout import button, hbox, text_label, vbox

_TICK_MS = 300

Condition = Callable[[], bool]


class TutorialBar(QFrame):
    """Shows one step at a time; hidden unless it runs.

    Parameters
    ----------
    conditions : mapping of Step to callable
        Called when a step begins; returns a function that is true once it is done.
    """

    def __init__(self, conditions: Mapping[Step, Callable[[], Condition]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._conditions = conditions
        self._is_done: Condition = _never
        self.progress = Progress()
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.text = text_label()
        self.skip_button = button("Skip step", self, self._advance)
        self.close_button = button("Close tutorial", self, self.stop)
        buttons = hbox(self.skip_button, self.close_button)
        buttons.addStretch(1)
        vbox(self, self.text, buttons, margin=6)
        # What a person does has many ways and signals; looking three times a second finds them all.
        self._timer = QTimer(self)
        self._timer.setInterval(_TICK_MS)
        self._timer.timeout.connect(self._look)
        self.hide()

    def start(self) -> None:
        """Begin with the first step."""
        self.progress = Progress()
        self._begin()
        self.show()
        self._timer.start()

    def stop(self) -> None:
        """End, wherever it is."""
        self._timer.stop()
        self.hide()

    def _begin(self) -> None:
        step = self.progress.step
        self._is_done = self._conditions[step]() if step is not None else _never
        self.text.setText(self.progress.text)
        self.skip_button.setVisible(step is not None)
        if step is None:
            self._timer.stop()

    def _look(self) -> None:
        if self._is_done():
            self._advance()

    def _advance(self) -> None:
        self.progress.advance()
        self._begin()


def _never() -> bool:
    return False
