"""A quiet bar at the top of the panel that offers something; it takes no focus and can be ignored."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QFrame, QWidget

from napari_cryomamba.widgets.layout import button, hbox, text_label
from napari_cryomamba.widgets.theme import State


class OfferBar(QFrame):
    """A sentence, a button that accepts and one that dismisses; hidden while nothing is offered."""

    def __init__(self, parent: QWidget | None = None, *, state: State | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.text = text_label(state=state)
        self.accept_button = button("", self, lambda: self._end(self._accept))
        self.dismiss_button = button("", self, lambda: self._end(self._dismiss))
        layout = hbox(self.text, self.accept_button, self.dismiss_button, stretch=self.text)
        layout.setContentsMargins(6, 2, 6, 2)
        self.setLayout(layout)
        self._accept: Callable[[], object] = _nothing
        self._dismiss: Callable[[], object] = _nothing
        self.hide()

    def offer(
        self,
        text: str,
        accept: str,
        on_accept: Callable[[], object],
        *,
        dismiss: str = "Not now",
        on_dismiss: Callable[[], object] | None = None,
    ) -> None:
        """Show an offer, in place of the one before."""
        self.text.setText(text)
        self.accept_button.setText(accept)
        self.dismiss_button.setText(dismiss)
        self._accept, self._dismiss = on_accept, on_dismiss or _nothing
        self.show()

    def withdraw(self) -> None:
        """Hide the offer."""
        self._accept = self._dismiss = _nothing
        self.hide()

    def _end(self, action: Callable[[], object]) -> None:
        self.withdraw()
        action()


def _nothing() -> None:
    """Do nothing."""
