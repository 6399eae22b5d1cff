"""The boxes of the menu Help: whether this computer and the server are well, and what this program is."""

from __future__ import annotations

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QMessageBox, QWidget

from cryomamba._version import __version__
from napari_cryomamba.app.diagnostics import diagnose
from napari_cryomamba.app.server import ServerConnection
from napari_cryomamba.app.task_runner import TaskRunner


class InformationBoxes(QObject):
    """Opens boxes with a text over the panel."""

    def __init__(self, server: ServerConnection, tasks: TaskRunner, parent: QWidget) -> None:
        super().__init__(parent)
        self._server, self._tasks, self._parent = server, tasks, parent

    def check_installation(self) -> None:
        """Check this computer and the server, and show the results."""
        url = self._server.state.url
        self._tasks.run(
            "Checking the installation", lambda _task: diagnose(url), lambda text: self._show("Installation", text)
        )

    def show_about(self) -> None:
        """Show the version of this program, and of the server."""
        server = self._server.state.server or "No server connected"
        text = (
            f"<b>CryoMamba {__version__}</b><p>Segmentation of cryo-electron tomograms with live preview"
            f"<p>{server}<p>BSD 3-Clause licence"
        )
        self._show("About CryoMamba", text)

    def _show(self, title: str, text: str) -> None:
        QMessageBox(QMessageBox.Icon.NoIcon, title, text, QMessageBox.StandardButton.Ok, self._parent).open()
