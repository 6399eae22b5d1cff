"""What the controllers of one window share."""

from __future__ import annotations

from dataclasses import dataclass

from napari_cryomamba.app.jobs import JobController
from napari_cryomamba.app.notifications import Notifications
from napari_cryomamba.app.preview import PreviewController
from napari_cryomamba.app.server import ServerConnection
from napari_cryomamba.app.settings import Preferences
from napari_cryomamba.app.task_runner import TaskRunner
from napari_cryomamba.napari_types import Viewer


@dataclass(frozen=True, slots=True)
class WindowContext:
    """A viewer, and the controllers that most of the others work with. For the GUI thread.

    Attributes
    ----------
    viewer : napari.Viewer or ViewerModel
    tasks : TaskRunner
        Runs what takes long.
    preview : PreviewController
        Has the layers of jobs.
    """

    viewer: Viewer
    preferences: Preferences
    notifications: Notifications
    tasks: TaskRunner
    server: ServerConnection
    jobs: JobController
    preview: PreviewController
