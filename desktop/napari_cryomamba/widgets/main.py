"""The panel that napari docks: the connection on top, then tomogram, segmentation, mask, picks and messages."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QEvent, QSize, Qt, QUrl
from qtpy.QtGui import QCloseEvent, QDesktopServices, QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QScrollArea, QSplitter, QTabWidget, QVBoxLayout, QWidget

from napari_cryomamba.app.controller import AppController
from napari_cryomamba.app.existing_results import SHOWN_MAX, ExistingResults
from napari_cryomamba.app.session_report import SUFFIX
from napari_cryomamba.app.settings import SettingsFile
from napari_cryomamba.app.volume_view import TomogramIn3D
from napari_cryomamba.layers.overlay import warm_up
from napari_cryomamba.models.notifications import Notification
from napari_cryomamba.napari_types import Viewer
from napari_cryomamba.widgets.busy import BusyLine
from napari_cryomamba.widgets.compare import ComparePanel
from napari_cryomamba.widgets.component_link import ComponentLink
from napari_cryomamba.widgets.connect import ConnectPanel
from napari_cryomamba.widgets.display import DisplayMenu, DisplayPanel
from napari_cryomamba.widgets.edit import EditPanel
from napari_cryomamba.widgets.export import ExportPanel
from napari_cryomamba.widgets.information import InformationBoxes
from napari_cryomamba.widgets.jobs import JobsPanel
from napari_cryomamba.widgets.layout import scrolled
from napari_cryomamba.widgets.mask import MaskPanel
from napari_cryomamba.widgets.measure import MeasurePanel
from napari_cryomamba.widgets.menu import CryoMambaMenu, add_menu, remove_menu
from napari_cryomamba.widgets.messages import MessagesPanel
from napari_cryomamba.widgets.mnemonics import Mnemonics, fields_in_order
from napari_cryomamba.widgets.offer_bar import OfferBar
from napari_cryomamba.widgets.paint import PaintPanel
from napari_cryomamba.widgets.picks import PicksPanel
from napari_cryomamba.widgets.position import PositionBar
from napari_cryomamba.widgets.recovery import RecoveryBar
from napari_cryomamba.widgets.save_dialog import choose_file
from napari_cryomamba.widgets.segment import SegmentPanel
from napari_cryomamba.widgets.shortcuts import ShortcutsDialog
from napari_cryomamba.widgets.statistics import StatisticsPanel
from napari_cryomamba.widgets.threshold import ThresholdPanel
from napari_cryomamba.widgets.tomogram import TomogramPanel
from napari_cryomamba.widgets.trained_models import ModelsDialog
from napari_cryomamba.widgets.tutorial import TutorialBar
from napari_cryomamba.widgets.tutorial_steps import tutorial_conditions
from napari_cryomamba.widgets.view_arrangement import ViewArrangement
from napari_cryomamba.widgets.volume_view import VolumeMenu
from napari_cryomamba.widgets.window_closing import WindowClosing

_WIDTH = 416
# Of the form's first fields, where a low window and the jobs below it leave no more.
_SEGMENT_HEIGHT = 160


class CryoMambaWidget(QWidget):
    """All panels in one dock.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        As napari passes it to a plugin's widget; a ``ViewerModel`` without a window works too, then without a menu.
    connect : bool
        Whether to connect to the last server at once.
    """

    _docked = False
    closed = False

    def __init__(self, napari_viewer: Viewer, *, settings: SettingsFile | None = None, connect: bool = True) -> None:
        super().__init__()
        # napari passes a proxy to plugins, through which one layer is another object at each access.
        viewer: Viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self.viewer = viewer
        self.controller = AppController(viewer, file=settings, parent=self)
        # Beside other docks too, such as that of the orthogonal views.
        self.setMinimumWidth(_WIDTH)
        self._make_panels()
        self._arrange_panels()
        self.menu = CryoMambaMenu(viewer, self.controller.tomograms, self)
        self.menu.view.addMenu(DisplayMenu(self.controller.display, self.menu))
        self.menu.view.addMenu(VolumeMenu(self.controller.volume_view, self.menu))
        if hasattr(viewer, "window"):
            add_menu(self.menu, viewer)
        self.menu.add_panels([self.tabs.tabText(number) for number in range(self.tabs.count())])
        self._connect()
        self.menu.y_up.setChecked(self.controller.preferences.values.y_up)
        self.views.use_orientation()
        self.setAcceptDrops(True)
        self.controller.tasks.run("Preparing napari", lambda _task: warm_up(), background=True)
        self.recovery.offer_edits()
        if hasattr(viewer, "window"):
            self._offer_tutorial()
        if connect:
            self.connection.connect_now()

    def _make_panels(self) -> None:
        app, viewer = self.controller, self.viewer
        self.connection = ConnectPanel(app.server)
        self.tomogram = TomogramPanel(viewer, app.tomograms, app.tasks)
        self.display = DisplayPanel(app.display)
        self.tomogram.insert_panel(self.display)
        self.segment = SegmentPanel(
            viewer,
            app.jobs,
            app.server,
            app.preferences,
            app.tasks,
            app.models,
            lambda source: PaintPanel(app.painting, source, app.notifications, app.downloads),
        )
        self.jobs = JobsPanel(app.jobs, app.preview, app.frames, app.server, app.downloads)
        self.edit = EditPanel(viewer, app.tasks, app.notifications)
        self.statistics = StatisticsPanel(viewer, app.tasks, app.notifications)
        self.compare = ComparePanel(viewer, app.tasks)
        self.export = ExportPanel(viewer, app.results, app.edits, app.tasks, app.notifications)
        self.threshold = ThresholdPanel(viewer, app.jobs, app.preview, app.results, app.server, app.tasks)
        self.mask_panel = MaskPanel(
            viewer,
            app.jobs,
            app.preview,
            app.results,
            app.preferences,
            threshold=self.threshold,
            statistics=self.statistics,
            edit=self.edit,
            compare=self.compare,
            export=self.export,
        )
        self.component_link = ComponentLink(viewer, self.edit, self.statistics, app.tasks)
        self.picks = PicksPanel(viewer, app.tasks, app.notifications)
        self.measure = MeasurePanel(viewer, app.tasks, app.notifications)
        self.messages = MessagesPanel(app.notifications, app.server)
        self.recovery = RecoveryBar(app.autosave, self)
        self.existing = OfferBar(self)
        self.failure = OfferBar(self, state="error")
        self.busy = BusyLine(app.tasks, app.server.bridge, self)
        self.welcome = OfferBar(self)
        self.tutorial = TutorialBar(tutorial_conditions(self), self)
        self.closing = WindowClosing(viewer, app, self, lambda discard: self.shut_down(discard_edits=discard))
        self.position = PositionBar(app.sections)
        self.views = ViewArrangement(viewer, app.sections, app.preview, app.preferences, self)
        self.information = InformationBoxes(app.server, app.tasks, self)

    def _arrange_panels(self) -> None:
        work = QSplitter(Qt.Orientation.Vertical, self)
        work.addWidget(self.segment)
        work.addWidget(scrolled(self.jobs))
        self.segment.setMinimumHeight(_SEGMENT_HEIGHT)
        work.setStretchFactor(0, 1)
        work.setStretchFactor(1, 1)
        self.tabs = QTabWidget(self)
        for panel, title in (
            (self.tomogram, "Tomogram"),
            (work, "Segment"),
            (self.mask_panel, "Mask"),
            (self.picks, "Picks"),
            (self.measure, "Measure"),
            (self.messages, "Messages"),
        ):
            scrolls = panel in (work, self.messages) or isinstance(panel, QScrollArea)
            page = panel if scrolls else scrolled(panel)
            self.tabs.addTab(page, title)
            Mnemonics(page, self.connection)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(2, 2, 2, 2)
        Mnemonics(self.connection)
        layout.addWidget(self.welcome)
        layout.addWidget(self.tutorial)
        layout.addWidget(self.connection)
        layout.addWidget(self.recovery)
        layout.addWidget(self.existing)
        layout.addWidget(self.tabs, 1)
        layout.addWidget(self.failure)
        layout.addWidget(self.busy)
        layout.addWidget(self.position)

    def sizeHint(self) -> QSize:
        """Ask for the width that the panels need, which is less than the widest table would like."""
        return QSize(_WIDTH, super().sizeHint().height())

    def show_panel(self, panel: QWidget) -> None:
        """Show the tab that a panel is in."""
        for number in range(self.tabs.count()):
            page = self.tabs.widget(number)
            if page is not None and (page is panel or page.isAncestorOf(panel)):
                self.tabs.setCurrentIndex(number)

    def _connect(self) -> None:
        app = self.controller
        self.tabs.currentChanged.connect(self._count_messages)
        app.notifications.changed.connect(self._count_messages)
        app.notifications.action_failed.connect(self._show_failure)
        app.existing.found.connect(self._offer_results)
        self.jobs.parameters_requested.connect(self.segment.use_parameters)
        self.tomogram.open_requested.connect(self.menu.open_dialog)
        self.menu.orthogonal_toggled.connect(self.views.show_orthogonal)
        self.menu.step_requested.connect(app.sections.step)
        self.menu.y_up_toggled.connect(self.views.set_y_up)
        self.menu.projection_toggled.connect(self._show_projection)
        self.menu.keep_component_requested.connect(self.edit.keep_component)
        self.menu.compare_requested.connect(self.compare.toggle)
        self.menu.save_version_requested.connect(self.export.save_version)
        self.menu.check_requested.connect(self.information.check_installation)
        self.menu.about_requested.connect(self.information.show_about)
        self.menu.shortcuts_requested.connect(lambda: ShortcutsDialog(self.menu, self).open())
        self.menu.models_requested.connect(lambda: ModelsDialog(app.models, self).open())
        self.menu.panel_requested.connect(self._go_to_panel)
        self.menu.tutorial_requested.connect(self._start_tutorial)
        self.menu.report_requested.connect(self._write_report)
        app.reports.written.connect(lambda path: QDesktopServices.openUrl(QUrl.fromLocalFile(str(path))))

    def _offer_tutorial(self) -> None:
        """Offer the tutorial, at the first start alone."""
        preferences = self.controller.preferences
        if preferences.values.tutorial_offered:
            return
        preferences.values.tutorial_offered = True
        preferences.save()
        text = "New here? The tutorial segments a sample in seven steps. It is also in CryoMamba → Help."
        self.welcome.offer(text, "Start tutorial", self._start_tutorial)

    def _start_tutorial(self) -> None:
        self.welcome.withdraw()
        self.tutorial.start()

    def _write_report(self) -> None:
        """Ask for a name, write the report of this session, and open it in the browser."""
        reports = self.controller.reports
        path = choose_file(self, "Write the session report", str(reports.suggested), SUFFIX, f"HTML (*{SUFFIX})")
        if path is not None:
            reports.write(path)

    def _go_to_panel(self, number: int) -> None:
        """Show a tab, with the focus on its first field."""
        self.tabs.setCurrentIndex(number)
        page = self.tabs.widget(number)
        fields = fields_in_order(page) if page is not None else []
        if fields:
            fields[0].setFocus(Qt.FocusReason.ShortcutFocusReason)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Accept files."""
        if dropped_files(event):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open the files that were dropped."""
        self.controller.tomograms.open_files(dropped_files(event))
        event.acceptProposedAction()

    def _show_projection(self, on: bool) -> None:
        self.controller.volume_view.show_tomogram(TomogramIn3D.PROJECTION if on else TomogramIn3D.XY)

    def _offer_results(self, results: ExistingResults) -> None:
        """Offer the results that exist for a tomogram that was opened."""
        count, name = results.count, results.tomogram.name
        what = f"{count} result{'' if count == 1 else 's'} for {name}"
        accept = "Show" if count <= SHOWN_MAX else f"Show the newest {SHOWN_MAX}"
        self.existing.offer(what, accept, lambda: self.controller.existing.show(results))

    def _show_failure(self, notification: Notification) -> None:
        """Show below the tab in which the user acted why that failed."""
        if self.tabs.currentWidget() is self.messages:
            return
        context = f"{notification.context}: " if notification.context else ""
        text = f"{context}{notification.text} {notification.hint}".rstrip()
        self.failure.offer(text, "Messages", lambda: self.tabs.setCurrentWidget(self.messages), dismiss="Close")

    def _count_messages(self) -> None:
        history, index = self.controller.notifications.history, self.tabs.indexOf(self.messages)
        if self.tabs.currentIndex() == index:
            history.mark_read()
            self.failure.withdraw()
        self.tabs.setTabText(index, f"Messages ({history.unread})" if history.unread else "Messages")

    def event(self, event: QEvent) -> bool:
        """Close the panel when its dock releases it."""
        if event.type() == QEvent.Type.ParentChange:
            docked = self.parentWidget() is not None
            if docked and not self._docked:
                self.closing.watch()
            elif self._docked and not docked:
                self.shut_down()
            self._docked = docked
        return super().event(event)

    def shut_down(self, *, discard_edits: bool = False) -> None:
        """End threads and connection, and remove the menu; layers stay. Closing twice is no error."""
        if self.closed:
            return
        self.closed = True
        self.closing.stop()
        if hasattr(self.viewer, "window"):
            remove_menu(self.menu, self.viewer)
        self.views.close()
        self.position.stop()
        self.busy.stop()
        self.controller.close(discard_edits=discard_edits)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Close with the dock."""
        self.shut_down()
        super().closeEvent(event)


def dropped_files(event: QDropEvent) -> list[Path]:
    """Return the files of this computer that are being dropped."""
    return [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
