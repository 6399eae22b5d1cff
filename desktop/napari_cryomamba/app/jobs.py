"""The jobs: submitting, running locally, uploading, cancelling, and the table of all of them."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QObject, Signal

from cryomamba.client import AsyncClient
from cryomamba.client.submit import UploadMode, is_not_visible
from cryomamba.engines.info import EngineInfo
from cryomamba.errors import CryoMambaError
from cryomamba.models.jobs import JobRecord
from napari_cryomamba.app.job_sources import JobSource, ServerJobs
from napari_cryomamba.app.local_jobs import LocalJobs
from napari_cryomamba.app.notifications import Notifications
from napari_cryomamba.app.server import ServerConnection
from napari_cryomamba.app.settings import Preferences
from napari_cryomamba.app.uploads import UploadController
from napari_cryomamba.models.frames import FrameStore
from napari_cryomamba.models.jobs import JobKind, JobTable, kind_of
from napari_cryomamba.models.submission import JobSubmission
from napari_cryomamba.net.messages import JobChanged, JobProgressed


class JobController(QObject):
    """All jobs: on the server, in this process, and uploads. For the GUI thread; :meth:`close` it.

    Signals
    -------
    changed
        The table has changed.
    engines_changed
        Other engines can be chosen.
    started : str
        The user started this job.
    rejected : CryoMambaError
        The server did not accept a job; there is a notification too.
    restarted : str
        This job runs again, so its results are out of date.
    removed : str
        The user took this job out of the table.
    message_received : Message
        Messages of local jobs and uploads, to be handled like the server's.
    """

    changed = Signal()
    engines_changed = Signal()
    started = Signal(str)
    rejected = Signal(object)
    restarted = Signal(str)
    removed = Signal(str)
    message_received = Signal(object)

    def __init__(
        self,
        server: ServerConnection,
        preferences: Preferences,
        notifications: Notifications,
        frames: FrameStore,
        folder: Path,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._server, self._preferences, self._notifications = server, preferences, notifications
        settings = preferences.values
        self.table = JobTable(set(settings.my_jobs), set(settings.hidden_jobs), show_all=settings.show_all_jobs)
        self.local_engines: tuple[EngineInfo, ...] = ()
        self.local = LocalJobs(folder, frames, self)
        self.local.engines_found.connect(self._on_local_engines)
        self.uploads = UploadController(server.bridge, self)
        self.uploads.submitted.connect(self._on_uploaded)
        self._sources: dict[JobKind, JobSource] = {
            JobKind.SERVER: ServerJobs(server.bridge, preferences, self),
            JobKind.LOCAL: self.local,
            JobKind.UPLOAD: self.uploads,
        }
        for source in self._sources.values():
            source.message_received.connect(self.message_received)
            source.restarted.connect(self.restarted)
        server.engines_changed.connect(self.engines_changed)
        server.server_changed.connect(self._drop_server_jobs)

    def source(self, job_id: str) -> JobSource:
        """Return where a job runs."""
        return self._sources[kind_of(job_id)]

    # engines

    @property
    def engines(self) -> tuple[EngineInfo, ...]:
        """The engines of the server (the last one while it is not connected) and of this process, by name."""
        known = {info.name: info for info in (*self.local_engines, *self._server.engines)}
        return tuple(known[name] for name in sorted(known))

    def engine(self, name: str) -> EngineInfo | None:
        """Return an engine by its name, None if it is unknown."""
        return next((info for info in self.engines if info.name == name), None)

    @property
    def default_engine(self) -> str:
        """The server's default engine, or this process's; empty if there is none."""
        info = self._server.state.info
        if info is not None and info.default_engine:
            return info.default_engine
        return next((info.name for info in self.engines if info.default), "")

    def can_run_locally(self, engine: str) -> bool:
        """Whether an engine can run in this process."""
        return any(info.name == engine and info.available for info in self.local_engines)

    def _on_local_engines(self, engines: tuple[EngineInfo, ...]) -> None:
        self.local_engines = engines
        self.engines_changed.emit()

    # starting

    def submit(self, submission: JobSubmission, upload: UploadMode = "auto") -> None:
        """Submit a job to the server; an upload is listed among the jobs until it is complete."""
        if upload == "always":
            self._upload(submission)
            return

        path = submission.source.path

        async def call(client: AsyncClient) -> JobRecord:
            return (await client.submit(path, upload="never", **submission.fields)).record

        def failed(error: CryoMambaError) -> None:
            if upload == "auto" and self._server.accepts_uploads and is_not_visible(error):
                self._upload(submission)
                return
            self._notifications.notify_error(error, "Submitting the job")
            self.rejected.emit(error)

        self._server.bridge.request("Submitting the job", call, lambda record: self.adopt(record, path), failed)

    def _upload(self, submission: JobSubmission) -> None:
        self.started.emit(self.uploads.start(submission).job_id)

    def _on_uploaded(self, upload_id: str, record: JobRecord) -> None:
        upload = self.table.get(upload_id)
        self.table.drop(upload_id)
        self.adopt(record, upload.record.volume.path if upload is not None else None)

    def run_locally(self, submission: JobSubmission) -> None:
        """Segment a tomogram in this process."""
        self.started.emit(self.local.start(submission).job_id)

    def rethreshold(self, record: JobRecord, *, high: int, low: int, min_volume_nm3: float) -> None:
        """Submit a job that applies another threshold to the score map of a finished one."""
        name = f"{record.name or record.volume.name}, threshold {high}"

        async def call(client: AsyncClient) -> JobRecord:
            job = await client.threshold(record.job_id, high, low=low, min_volume_nm3=min_volume_nm3, name=name)
            return job.record

        self._server.bridge.request("Applying the threshold", call, self.adopt)

    def adopt(self, record: JobRecord, tomogram: Path | str | None = None) -> None:
        """Add a job that was just submitted; `tomogram` is its file here, if the record does not name it."""
        self.table.adopt(record.job_id)
        self._preferences.values.remember_job(record.job_id, None if tomogram is None else str(tomogram))
        self._preferences.save()
        self.message_received.emit(JobChanged(record))
        self.started.emit(record.job_id)

    # changing

    def cancel(self, job_id: str) -> None:
        """Cancel a job."""
        self.source(job_id).cancel(job_id)

    def retry(self, job_id: str) -> None:
        """Run a failed or cancelled job again."""
        self.source(job_id).retry(job_id)

    def remove(self, job_id: str) -> None:
        """Take a job out of the table; its layer stays, and a server's job stays on the server."""
        self.table.remove(job_id)
        self.source(job_id).remove(job_id)
        self.removed.emit(job_id)
        self.changed.emit()

    def show_all(self, *, show: bool) -> None:
        """List other people's jobs too, or not."""
        self.table.show_all = show
        self._preferences.values.show_all_jobs = show
        self._preferences.save()
        self.changed.emit()

    # news

    def on_record(self, record: JobRecord) -> bool:
        """Store a newer record of a job, and return whether the job was unknown before."""
        is_new = self.table.get(record.job_id) is None
        for notification in self.table.update(record):
            self._notifications.notify(notification)
        self.changed.emit()
        return is_new

    def on_progress(self, message: JobProgressed) -> None:
        """Store the progress of a running job."""
        if self.table.progress(message.job_id, message.attempt, message.progress):
            self.changed.emit()

    def _drop_server_jobs(self) -> None:
        self.table.drop_server_jobs()
        self.changed.emit()

    def tomogram_path(self, record: JobRecord) -> str | None:
        """Return the path of a job's tomogram on this machine, None if it is unknown."""
        if record.volume.path is not None:
            return record.volume.path
        if record.volume.job_id is not None:
            # A re-thresholded mask belongs to the tomogram of the job whose score map it was made from.
            origin = self.table.get(record.volume.job_id)
            return self.tomogram_path(origin.record) if origin is not None else None
        return self._preferences.values.tomograms.get(record.job_id)

    def close(self) -> None:
        """Cancel local jobs and wait for them."""
        self.local.close()
