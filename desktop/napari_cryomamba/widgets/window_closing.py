"""Ends the panel when napari's window closes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QApplication, QWidget

from napari_cryomamba.app.controller import AppController
from napari_cryomamba.napari_types import Viewer
from napari_cryomamba.widgets.closing import ClosingQuestion


class WindowClosing(QObject):
    """Ends the panel with napari's window: at once if a program closes it, after a question if the user does.

    Parameters
    ----------
    shut_down : callable
        Ends the panel; takes whether unsaved edits are discarded.
    """

    def __init__(self, viewer: Viewer, app: AppController, panel: QWidget, shut_down: Callable[[bool], None]) -> None:
        super().__init__(panel)
        self._viewer, self._shut_down = viewer, shut_down
        self.question = ClosingQuestion(app, panel, self._close_window)
        self._ended = self._closing = False

    def watch(self) -> None:
        """Watch the window from now on."""
        application = QApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self._end)
        if hasattr(self._viewer, "window"):
            self._window().installEventFilter(self)

    def stop(self) -> None:
        """Ask no more: the panel has ended."""
        self._ended = True

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """End the panel with the window, unless the user is asked first."""
        kind = event.type()
        if kind == QEvent.Type.Close:
            if self._is_by_user() and self.question.ask():
                event.ignore()
                return True
            self._closing = event.spontaneous()
            if not self._closing:
                self._end()
        elif kind == QEvent.Type.Hide and self._closing:
            self._end()
        return super().eventFilter(watched, event)

    def _window(self) -> Any:  # noqa: ANN401 (napari has no types)
        return self._viewer.window.main_menu.window()

    def _is_by_user(self) -> bool:
        """Whether a person is closing the window; a program that does so hides the canvas first."""
        canvas = self._window()._qt_viewer  # noqa: SLF001 (napari has no signal for closing)
        return not self._ended and not canvas.isHidden()

    def _close_window(self) -> None:
        self._end()
        window = self._window()
        window.close(quit_app=bool(getattr(window, "_quit_app", False)))

    def _end(self) -> None:
        self._shut_down(self.question.discarded)
