"""The panel that napari docks: connection on top, then tomogram, segmentation, mask, picks and messages."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from napari.layers import Layer
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QMessageBox, QSplitter, QTabWidget, QVBoxLayout, QWidget

from napari_cryomamba.app.controller import AppController
from napari_cryomamba.app.settings import SettingsFile
from napari_cryomamba.app.task_runner import Task
from napari_cryomamba.doctor import diagnose
from napari_cryomamba.layers.overlay import warm_up
from napari_cryomamba.layers.tomogram import Tomogram, open_tomogram, source_of
from napari_cryomamba.layers.tomograms import tomogram_layers
from napari_cryomamba.sample import sample_path
from napari_cryomamba.widgets.connect import ConnectPanel
from napari_cryomamba.widgets.jobs import JobsPanel
from napari_cryomamba.widgets.mask import MaskPanel
from napari_cryomamba.widgets.menu import CryoMambaMenu, add_menu, remove_menu
from napari_cryomamba.widgets.messages import MessagesPanel
from napari_cryomamba.widgets.picks import PicksPanel
from napari_cryomamba.widgets.segment import SegmentPanel
from napari_cryomamba.widgets.tomogram import TomogramPanel


class CryoMambaWidget(QWidget):
    """Everything of CryoMamba in one dock.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        As napari hands it to a plugin's widget; a ``ViewerModel`` without a window does too, then without a menu.
    settings : SettingsFile, optional
        Where settings are kept.
    connect : bool
        Whether to connect to the last server at once.
    """

    _docked = False
    _closing = False
    _shut = False

    def __init__(self, napari_viewer: Any, *, settings: SettingsFile | None = None, connect: bool = True) -> None:  # noqa: ANN401
        super().__init__()
        self.viewer = napari_viewer
        self.desk = AppController(napari_viewer, file=settings, parent=self)
        self.connection = ConnectPanel(self.desk, self)
        self.tomogram = TomogramPanel(self.desk, self)
        self.segment = SegmentPanel(self.desk, self)
        self.jobs = JobsPanel(self.desk, self)
        self.mask_panel = MaskPanel(self.desk, self)
        self.picks = PicksPanel(self.desk, self)
        self.messages = MessagesPanel(self.desk, self)
        self.orthogonal: Any = None
        self._build()
        self.menu = CryoMambaMenu(self.desk, self, self)
        if hasattr(napari_viewer, "window"):
            add_menu(self.menu, napari_viewer)
        self.desk.notices.changed.connect(self._count_messages)
        self.desk.watching.overlay_changed.connect(self._on_overlay)
        self.desk.watching.frame_shown.connect(self._on_frame)
        napari_viewer.layers.events.inserted.connect(self._on_inserted)
        self.tomogram.open_wanted.connect(self.menu.open_dialog)
        self.tomogram.sample_wanted.connect(self.open_sample)
        self.tomogram.path_wanted.connect(lambda name: self.open_files([Path(name)]))
        self.setAcceptDrops(True)
        self.desk.aside.run("Getting ready", lambda _task: warm_up())
        if connect:
            self.connection.connect_now()

    def _build(self) -> None:
        work = QSplitter(Qt.Orientation.Vertical, self)
        work.addWidget(self.segment)
        work.addWidget(self.jobs)
        work.setStretchFactor(0, 3)
        work.setStretchFactor(1, 2)
        self.tabs = QTabWidget(self)
        for panel, title in (
            (self.tomogram, "Tomogram"),
            (work, "Segment"),
            (self.mask_panel, "Mask"),
            (self.picks, "Picks"),
            (self.messages, "Messages"),
        ):
            self.tabs.addTab(panel, title)
        self.tabs.currentChanged.connect(self._count_messages)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(2, 2, 2, 2)
        layout.addWidget(self.connection)
        layout.addWidget(self.tabs, 1)
        self.setMinimumWidth(380)

    def open_files(self, paths: list[Path]) -> None:
        """Open tomograms; unpacking and sampling happen aside."""
        for path in paths:
            self.desk.aside.run("Opening a tomogram", partial(_open, path), self._add)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take files."""
        if dropped_files(event):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open the files that were dropped."""
        self.open_files(dropped_files(event))
        event.acceptProposedAction()

    def open_sample(self) -> None:
        """Open the synthetic tomogram; it is made the first time."""
        self.desk.aside.run("Making the sample", lambda _task: open_tomogram(sample_path()), self._add)

    def _add(self, tomogram: Tomogram) -> None:
        self.viewer.add_layer(Layer.create(*tomogram.layer()))

    def _on_inserted(self, event: Any) -> None:  # noqa: ANN401
        source = source_of(event.value)
        if source is None:
            return
        self.desk.preferences.values.remember_file(source.path)
        self.desk.preferences.save()
        if not source.is_mask:
            self.viewer.canvas.overlays.scale_bar.visible = True
            if len(tomogram_layers(self.viewer)) > 1:
                self.desk.present(event.value)
            self.desk.watching.pick_up(event.value)

    def _on_overlay(self, job_id: str) -> None:
        overlay = self.desk.watching.overlays.get(job_id)
        if overlay is not None and overlay.final:
            self._on_frame(job_id)

    def _on_frame(self, job_id: str) -> None:
        overlay = self.desk.watching.overlays.get(job_id)
        if self.orthogonal is not None and overlay is not None and overlay.in_viewer:
            self.orthogonal.refresh_layer(overlay.layer)

    def show_orthogonal(self, on: bool) -> None:
        """Show or hide the two further canvases."""
        if on and self.orthogonal is None and hasattr(self.viewer, "window"):
            from napari_cryomamba.widgets.ortho import OrthogonalViews

            self.orthogonal = OrthogonalViews(self.viewer)
            self.viewer.window.add_dock_widget(self.orthogonal, name="Orthogonal slices", area="bottom")
        elif not on:
            self._hide_orthogonal()

    def _hide_orthogonal(self) -> None:
        if self.orthogonal is not None:
            views, self.orthogonal = self.orthogonal, None
            views.close_views()
            self.viewer.window.remove_dock_widget(views)

    def run_doctor(self) -> None:
        """Look whether everything is in order, and say so."""
        self.desk.aside.run("Running the doctor", lambda _task: diagnose(self.desk.server.link), self._show_diagnosis)

    def _show_diagnosis(self, text: str) -> None:
        box = QMessageBox(QMessageBox.Icon.NoIcon, "Doctor", text, QMessageBox.StandardButton.Ok, self)
        box.open()

    def _count_messages(self) -> None:
        index = self.tabs.indexOf(self.messages)
        if self.tabs.currentIndex() == index:
            self.desk.notices.history.mark_read()
        unread = self.desk.notices.history.unread
        self.tabs.setTabText(index, f"Messages ({unread})" if unread else "Messages")

    def event(self, event: QEvent) -> bool:
        """Notice the dock: once it lets the panel go, the panel ends."""
        if event.type() == QEvent.Type.ParentChange:
            docked = self.parentWidget() is not None
            if docked and not self._docked:
                self._watch_window()
            elif self._docked and not docked:
                self.shut()
            self._docked = docked
        return super().event(event)

    def _watch_window(self) -> None:
        application = QApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.shut)
        if hasattr(self.viewer, "window"):
            self.viewer.window._qt_window.installEventFilter(self)  # noqa: SLF001 (napari has no signal for closing)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """End with the window: at once if a program closes it, and once it is gone if a person, who is asked, does."""
        kind = event.type()
        if kind == QEvent.Type.Close:
            self._closing = event.spontaneous()
            if not self._closing:
                self.shut()
        elif kind == QEvent.Type.Hide and self._closing:
            self.shut()
        return super().eventFilter(watched, event)

    def shut(self) -> None:
        """Give thread, connection and menu back; layers stay. Closing twice is no error."""
        if self._shut:
            return
        self._shut = True
        if hasattr(self.viewer, "window"):
            remove_menu(self.menu, self.viewer)
            self._hide_orthogonal()
        self.viewer.layers.events.inserted.disconnect(self._on_inserted)
        self.desk.close()

    def closeEvent(self, event: QCloseEvent) -> None:
        """Shut with the dock."""
        self.shut()
        super().closeEvent(event)


def dropped_files(event: QDropEvent) -> list[Path]:
    """Return the files of this machine that are being dropped."""
    return [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]


def _open(path: Path, _task: Task) -> Tomogram:
    return open_tomogram(path)
