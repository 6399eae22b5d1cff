"""The jobs: handing in, running here, sending, cancelling, and the table of all of them."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QObject

from cryomamba.client import AsyncClient
from cryomamba.engines.info import EngineInfo
from cryomamba.errors import CryoMambaError
from cryomamba.models.jobs import JobRecord
from napari_cryomamba.app.local_jobs import LocalJobs
from napari_cryomamba.app.notifications import Notifications
from napari_cryomamba.app.server import Server
from napari_cryomamba.app.settings import Preferences
from napari_cryomamba.app.uploads import UploadController
from napari_cryomamba.models.frames import NewestFrame
from napari_cryomamba.models.jobs import JobTable, is_here, is_sending
from napari_cryomamba.net.bridge import Bridge
from napari_cryomamba.net.messages import JobChanged, JobProgressed, Message
from napari_cryomamba.net.submit import JobSubmission, SubmitMode, is_out_of_sight, submit_path
from napari_cryomamba.signals import Signal


class JobController(QObject):
    """All jobs, on the server, in this process or on their way. For the GUI thread; :meth:`close` it.

    Signals
    -------
    changed
        The table is other than it was.
    engines_changed
        There are other engines to choose from.
    started : str
        The person started this job.
    refused : CryoMambaError
        The server did not accept a job; the message is told as well.
    again : str
        This job begins anew, so what is shown of it is old.
    removed : str
        The person took this job out of the table.
    arrived : Message
        News of local jobs and uploads, to be taken like the server's.
    """

    changed = Signal()
    engines_changed = Signal()
    started = Signal(str)
    refused = Signal(object)
    again = Signal(str)
    removed = Signal(str)
    arrived = Signal(object)

    def __init__(
        self,
        server: Server,
        preferences: Preferences,
        notices: Notifications,
        folder: Path,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._server, self._preferences, self._notices = server, preferences, notices
        settings = preferences.values
        self.table = JobTable(set(settings.my_jobs), set(settings.hidden_jobs), show_all=settings.show_all_jobs)
        self.local_engines: tuple[EngineInfo, ...] = ()
        self.local = LocalJobs(folder, self)
        self.local.arrived.connect(self.arrived)
        self.local.engines_found.connect(self._on_local_engines)
        self.sending = UploadController(server.bridge, self)
        self.sending.arrived.connect(self.arrived)
        self.sending.sent.connect(self._sent)
        server.engines_changed.connect(self.engines_changed)
        server.left.connect(self._leave_server)

    # engines

    @property
    def bridge(self) -> Bridge:
        """The network's side."""
        return self._server.bridge

    @property
    def engines(self) -> tuple[EngineInfo, ...]:
        """The engines of the server (the last one while it is away) and of this process, by name."""
        known = {info.name: info for info in (*self.local_engines, *self._server.engines)}
        return tuple(known[name] for name in sorted(known))

    @property
    def default_engine(self) -> str:
        """The server's default engine, or this process's; empty where there is none."""
        info = self._server.link.info
        if info is not None and info.default_engine:
            return info.default_engine
        return next((info.name for info in self.engines if info.default), "")

    def can_run_here(self, engine: str) -> bool:
        """Whether an engine can run in this process."""
        return any(info.name == engine and info.available for info in self.local_engines)

    def _on_local_engines(self, engines: tuple[EngineInfo, ...]) -> None:
        self.local_engines = engines
        self.engines_changed.emit()

    # beginning

    def submit(self, order: JobSubmission, way: SubmitMode = SubmitMode.AUTOMATIC) -> None:
        """Hand in a job."""
        if way is SubmitMode.UPLOAD:
            self._send(order)
            return

        async def ask(client: AsyncClient) -> JobRecord:
            return await submit_path(client, order)

        def refused(error: CryoMambaError) -> None:
            if way is SubmitMode.AUTOMATIC and self._server.takes_files and is_out_of_sight(error):
                self._send(order)
                return
            self._notices.tell_error(error, "Submitting the job")
            self.refused.emit(error)

        self.bridge.ask("Submitting the job", ask, lambda record: self.adopt(record, order.source.path), refused)

    def _send(self, order: JobSubmission) -> None:
        row = self.sending.start(order)
        self.started.emit(row.job_id)

    def _sent(self, row: str, record: JobRecord) -> None:
        path = self.table.path_of(row)
        self.table.drop(row)
        self.adopt(record, path)

    def adopt(self, record: JobRecord, tomogram: Path | str | None = None) -> None:
        """Take a job that was just handed in for this desktop's own, and watch it.

        Parameters
        ----------
        record : JobRecord
        tomogram : path, optional
            Its tomogram on this machine, where the record does not tell.
        """
        self.table.adopt(record.job_id)
        self._preferences.values.remember_job(record.job_id, None if tomogram is None else str(tomogram))
        self._preferences.save()
        self.arrived.emit(JobChanged(record))
        self.started.emit(record.job_id)

    def run_here(self, order: JobSubmission) -> None:
        """Segment a tomogram in this process and watch it."""
        record = self.local.start(order)
        self.started.emit(record.job_id)

    # changing

    def cancel(self, job_id: str) -> None:
        """Cancel a job."""
        if is_sending(job_id):
            self.sending.cancel(job_id)
        elif is_here(job_id):
            self.local.cancel(job_id)
        else:
            self.bridge.ask("Cancelling the job", lambda client: client.cancel(job_id), self._changed)

    def retry(self, job_id: str) -> None:
        """Begin a failed or cancelled job again."""
        if is_sending(job_id):
            self.sending.retry(job_id)
        elif is_here(job_id):
            self.again.emit(job_id)
            self.local.retry(job_id)
        else:
            self.bridge.ask("Retrying the job", lambda client: client.retry(job_id), self._again)

    def _again(self, record: JobRecord) -> None:
        self._changed(record)
        self.again.emit(record.job_id)

    def _changed(self, record: JobRecord) -> None:
        self.arrived.emit(JobChanged(record))

    def remove(self, job_id: str) -> None:
        """Take a job out of the table; its layer stays, its files stay on the server."""
        self.table.remove(job_id)
        if is_sending(job_id):
            self.sending.forget(job_id)
        elif is_here(job_id):
            self.local.forget(job_id)
        else:
            self._preferences.values.forget_job(job_id)
            self._preferences.save()
        self.removed.emit(job_id)
        self.changed.emit()

    def show_all(self, *, show: bool) -> None:
        """Show other people's jobs too, or not."""
        self.table.show_all = show
        self._preferences.values.show_all_jobs = show
        self._preferences.save()
        self.changed.emit()

    # what comes in

    def take(self, message: Message) -> bool:
        """Take news of a job, and say whether it was unknown before."""
        fresh = False
        match message:
            case JobChanged(record=record):
                fresh = self.table.get(record.job_id) is None
                for notice in self.table.update(record):
                    self._notices.tell(notice)
                self.changed.emit()
            case JobProgressed():
                if self.table.progress(message.job_id, message.attempt, message.progress):
                    self.changed.emit()
        return fresh

    def _leave_server(self) -> None:
        self.table.forget_server()
        self.changed.emit()

    def frame_place(self, job_id: str) -> NewestFrame:
        """Return where the previews of a job are left."""
        return self.local.frame_place(job_id) if is_here(job_id) else self.bridge.frame_place(job_id)

    def tomogram_path(self, record: JobRecord) -> str | None:
        """Return the path of a job's tomogram on this machine, as far as it is known."""
        if record.volume.path is not None:
            return record.volume.path
        if record.volume.job_id is not None:
            # A threshold that was moved lies on the tomogram of the job whose scores were cut.
            parent = self.table.get(record.volume.job_id)
            return None if parent is None else self.tomogram_path(parent.record)
        return self._preferences.values.tomograms.get(record.job_id)

    def close(self) -> None:
        """Cancel what runs here, and wait for it."""
        self.local.close()
