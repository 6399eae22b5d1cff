"""Makes the controllers of one window and connects them; panels receive the controllers that they need."""

from __future__ import annotations

from qtpy.QtCore import QObject

from napari_cryomamba.app.autosave import Autosave
from napari_cryomamba.app.display import DisplayController
from napari_cryomamba.app.downloads import Downloads
from napari_cryomamba.app.edits import Edits
from napari_cryomamba.app.existing_results import ResultFinder
from napari_cryomamba.app.focus import Focus
from napari_cryomamba.app.jobs import JobController
from napari_cryomamba.app.notifications import Notifications
from napari_cryomamba.app.painting import PaintController
from napari_cryomamba.app.preview import PreviewController
from napari_cryomamba.app.results import Results
from napari_cryomamba.app.sections import Sections
from napari_cryomamba.app.server import ServerConnection
from napari_cryomamba.app.session_report import SessionReports
from napari_cryomamba.app.settings import Preferences, SettingsFile
from napari_cryomamba.app.task_runner import TaskRunner
from napari_cryomamba.app.tomograms import TomogramController
from napari_cryomamba.app.trained_models import TrainedModels
from napari_cryomamba.app.volume_view import VolumeView
from napari_cryomamba.app.window_context import WindowContext
from napari_cryomamba.models.frames import FrameStore
from napari_cryomamba.napari_types import Viewer
from napari_cryomamba.net.messages import (
    ConnectionChanged,
    FrameReady,
    JobChanged,
    JobProgressed,
    Message,
    NotificationPosted,
)


class AppController(QObject):
    """The controllers of one window. For the GUI thread; :meth:`close` it."""

    def __init__(self, viewer: Viewer, *, file: SettingsFile | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.preferences = Preferences(file)
        folder = self.preferences.folder
        self.notifications = Notifications(self)
        self.tasks = TaskRunner(self.notifications, self)
        self.frames = FrameStore()
        self.server = ServerConnection(self.preferences, self.notifications, self.frames, self)
        self.jobs = JobController(
            self.server, self.preferences, self.notifications, self.frames, folder / "local", self
        )
        self.models = TrainedModels(self.server, self.tasks, self)
        self.preview = PreviewController(viewer, self.jobs, self.frames, self.tasks, self.preferences, self)
        context = WindowContext(
            viewer, self.preferences, self.notifications, self.tasks, self.server, self.jobs, self.preview
        )
        self.tomograms = TomogramController(context, self)
        self.sections = Sections(viewer, self)
        self.display = DisplayController(viewer, self.sections, self.tasks, self)
        bridge = self.server.bridge
        self.downloads = Downloads(self.jobs, bridge, self.notifications, folder / "masks", self)
        self.results = Results(context, self.downloads, self)
        self.volume_view = VolumeView(viewer, self.sections, self.preview, self.tasks, self.notifications, self)
        self.focus = Focus(viewer, self.jobs, self.preview, self)
        self.painting = PaintController(viewer, self.jobs, self.notifications, self)
        self.existing = ResultFinder(context, self.tomograms, self)
        self.edits = Edits(viewer, self.preview)
        self.autosave = Autosave(viewer, self.edits, self.tasks, folder / "autosave", self)
        self.reports = SessionReports(context, self)
        bridge.message_received.connect(self.on_message)
        self.server.server_changed.connect(self.preview.unwatch_all)
        self.jobs.message_received.connect(self.on_message)
        self.jobs.started.connect(self.preview.watch)
        self.jobs.restarted.connect(self.results.forget)
        self.jobs.restarted.connect(self.preview.restart)
        self.jobs.removed.connect(self.preview.unwatch)
        self.jobs.removed.connect(self.results.forget)
        self._closed = False
        for record in self.jobs.local.saved():
            self.on_message(JobChanged(record))
        self.jobs.local.find_engines()
        self.models.refresh()

    def on_message(self, message: Message) -> None:
        """Pass a message of the network thread, of a local job or of an upload on to the controller it concerns."""
        if self._closed:
            return
        match message:
            case ConnectionChanged():
                self.server.on_state(message.state)
            case NotificationPosted():
                self.notifications.notify(message.notification)
            case JobChanged():
                self.preview.on_record(message.record, is_new=self.jobs.on_record(message.record))
            case JobProgressed():
                self.jobs.on_progress(message)
            case FrameReady():
                self.preview.draw(message.job_id)

    def close(self, *, discard_edits: bool = False) -> None:
        """End the connection and the threads; layers stay. Closing twice is no error.

        Edits that are not saved are offered at the next start, unless the user has discarded them.
        """
        if self._closed:
            return
        self._closed = True
        keep = bool(self.edits.unsaved()) and not discard_edits
        self.edits.close()
        self.focus.close()
        self.painting.close()
        self.volume_view.close()
        self.existing.close()
        self.display.close()
        self.sections.close()
        self.tomograms.close()
        self.preview.close()
        self.preferences.save()
        self.server.close()
        self.jobs.close()
        self.tasks.close()
        self.autosave.close(keep=keep)
