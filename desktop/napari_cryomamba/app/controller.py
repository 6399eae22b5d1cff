"""The desktop itself: binds viewer, network, jobs and layers; panels read its parts and listen to their signals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari.layers import Layer
from qtpy.QtCore import QObject

from cryomamba.client import AsyncClient
from cryomamba.geometry import Spacing
from cryomamba.models.jobs import JobRecord
from napari_cryomamba.app.downloads import Downloads
from napari_cryomamba.app.focus import Focus
from napari_cryomamba.app.jobs import JobController
from napari_cryomamba.app.large_volumes import LargeVolumePolicy
from napari_cryomamba.app.notifications import Notifications
from napari_cryomamba.app.preview import PreviewController
from napari_cryomamba.app.results import Results
from napari_cryomamba.app.server import Server
from napari_cryomamba.app.settings import Preferences, SettingsFile
from napari_cryomamba.app.task_runner import TaskRunner
from napari_cryomamba.layers.tomogram import Tomogram, open_tomogram
from napari_cryomamba.layers.tomograms import correct_voxel_size, go_to_middle, tomogram_layers
from napari_cryomamba.net.messages import (
    ConnectionChanged,
    FrameWaits,
    JobChanged,
    JobProgressed,
    Message,
    NotificationPosted,
)


class AppController(QObject):
    """What one window works with. For the GUI thread; :meth:`close` it.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    file : SettingsFile, optional
        Where settings are kept.

    Attributes
    ----------
    preferences : Preferences
    notices : Notices
        What the person is told.
    server : Server
    runs : Runs
        The jobs.
    watching : Watching
        Those that are shown.
    results : Results
        What finished ones left.
    downloads : Downloads
        Their files.
    aside : Aside
        Work in threads.
    """

    def __init__(self, viewer: Any, *, file: SettingsFile | None = None, parent: QObject | None = None) -> None:  # noqa: ANN401
        super().__init__(parent)
        self.viewer = viewer
        self.preferences = Preferences(file)
        folder = self.preferences.folder
        self.notices = Notifications(self)
        self.aside = TaskRunner(self)
        self.server = Server(self.preferences, self.notices, self)
        self.runs = JobController(self.server, self.preferences, self.notices, folder / "local", self)
        self.watching = PreviewController(viewer, self.runs, self.preferences, self)
        self.downloads = Downloads(self.runs, self.notices, folder / "masks", self)
        self.results = Results(viewer, self.runs, self.watching, self.aside, self.notices, self.downloads, self)
        self.solid = LargeVolumePolicy(viewer, self.watching, self.aside, self.notices, self)
        self.focus = Focus(viewer, self.watching, self.server.bridge, self)
        self.aside.told.connect(self.notices.tell)
        self.server.bridge.arrived.connect(self.take)
        self.server.left.connect(self.watching.leave_server)
        self.runs.arrived.connect(self.take)
        self.runs.started.connect(self.watching.watch)
        self.runs.again.connect(self._again)
        self.runs.removed.connect(self.watching.unwatch)
        self.runs.removed.connect(self.results.forget)
        self._closed = False
        for record in self.runs.local.remembered():
            self.take(JobChanged(record))
        self.runs.local.find_engines()

    def take(self, message: Message) -> None:
        """Take news of the network, of jobs that run here, and of uploads."""
        if self._closed:
            return
        match message:
            case ConnectionChanged():
                self.server.take(message.link)
            case NotificationPosted():
                self.notices.tell(message.notice)
            case JobChanged():
                fresh = self.runs.take(message)
                self.watching.take(message.record, fresh=fresh)
            case JobProgressed():
                self.runs.take(message)
            case FrameWaits():
                self.watching.draw(message.job_id)

    def _again(self, job_id: str) -> None:
        self.watching.forget_overlay(job_id)
        self.results.forget(job_id)
        self.watching.watch(job_id)

    def show_job(self, job_id: str) -> None:
        """Show a job with its tomogram, which is opened if this machine has it."""
        job = self.runs.table.get(job_id)
        if job is None:
            return
        path = Path(self.runs.tomogram_path(job.record) or "")
        if self.watching.is_open(job.record) or not path.is_file():
            self.watching.watch(job_id)
            return

        def opened(tomogram: Tomogram) -> None:
            self.viewer.add_layer(Layer.create(*tomogram.layer()))
            self.watching.watch(job_id)

        self.aside.run("Opening the tomogram", lambda _task: open_tomogram(path), opened)

    def present(self, layer: Any) -> None:  # noqa: ANN401
        """Show a tomogram with its masks and points, and hide the others: they would lie on top of each other."""
        hidden = {other for other in tomogram_layers(self.viewer) if other is not layer}
        for overlay in self.watching.overlays.values():
            if overlay.in_viewer and overlay.tomogram is not None:
                overlay.layer.visible = overlay.tomogram is layer
        for other in hidden:
            other.visible = False
        layer.visible = True
        self.viewer.layers.selection.active = layer
        go_to_middle(self.viewer, layer)

    def threshold(self, record: JobRecord, *, high: int, low: int, min_volume_nm3: float) -> None:
        """Hand in a job that cuts the scores of a finished one at another threshold."""
        name = f"{record.name or record.volume.name}, threshold {high}"

        async def ask(client: AsyncClient) -> JobRecord:
            job = await client.threshold(record.job_id, high, low=low, min_volume_nm3=min_volume_nm3, name=name)
            return job.record

        self.server.bridge.ask("Moving the threshold", ask, self.runs.adopt)

    def correct_voxel_size(self, layer: Any, voxel_size_A: Spacing) -> bool:  # noqa: ANN401
        """Give a tomogram and the masks on it the voxel size that a person knows; say whether it was plausible."""

        def correct() -> None:
            source = correct_voxel_size(layer, voxel_size_A)
            self.watching.place_on(layer, source.meta.voxel_size_A)

        return self.notices.attempt("Setting the voxel size", correct)

    def close(self) -> None:
        """Give the connection and the threads back; layers stay. Closing twice is no error."""
        if self._closed:
            return
        self._closed = True
        self.focus.close()
        self.solid.close()
        self.watching.close()
        self.preferences.save()
        self.server.close()
        self.runs.close()
        self.aside.close()
