"""The desktop itself: binds viewer, network, models and overlays. Panels read from it and listen to its signals."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from napari.layers import Layer
from qtpy.QtCore import QObject
from superqt.utils import qdebounced

from cryomamba.client import AsyncClient
from cryomamba.client._aio import default_server
from cryomamba.errors import CryoMambaError, InvalidRequestError
from cryomamba.records import EngineInfo, JobRecord, JobState, Spacing
from cryomamba.volumes import inspect

from .aside import Aside
from .local_jobs import LOCAL_PREFIX, LocalJobs
from .models.frames import NewestFrame
from .models.history import History, Level, Notice
from .models.jobs import JobTable
from .models.link import Link, Phase
from .models.palette import Palette
from .models.placement import voxel_at
from .net.bridge import Bridge
from .net.delivery import submit
from .net.messages import FrameWaits, JobChanged, JobProgressed, LinkChanged, Message, Told
from .overlay import JOB_KEY, Overlay
from .settings import SettingsFile
from .signals import Signal
from .tomogram import Array, Tomogram, open_mask, open_tomogram, source_of
from .tomograms import correct_voxel_size, layer_of_path

FOCUS_PAUSE_MS = 250
MASK = "mask.mrc"

logger = logging.getLogger(__name__)


class Desk(QObject):
    """What one window works with. For the GUI thread; :meth:`close` it.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    file : SettingsFile, optional
        Where settings are kept.

    Signals
    -------
    link_changed, jobs_changed, history_changed, engines_changed
        The model of that name is other than it was.
    overlay_changed : str
        The layer of this job is new, or shows something else.
    frame_shown : str
        A preview of this job was drawn.
    job_started : str
        The person started this job.
    submit_refused : CryoMambaError
        The server did not accept a job; the message is told as well.
    """

    link_changed = Signal()
    jobs_changed = Signal()
    history_changed = Signal()
    engines_changed = Signal()
    overlay_changed = Signal(str)
    frame_shown = Signal(str)
    job_started = Signal(str)
    submit_refused = Signal(object)

    def __init__(self, viewer: Any, *, file: SettingsFile | None = None, parent: QObject | None = None) -> None:  # noqa: ANN401
        super().__init__(parent)
        self.viewer = viewer
        self.file = file or SettingsFile()
        self.settings = self.file.load()
        self.link = Link()
        self.history = History()
        self.jobs = JobTable(
            set(self.settings.my_jobs), set(self.settings.hidden_jobs), show_all=self.settings.show_all_jobs
        )
        self.overlays: dict[str, Overlay] = {}
        self.bridge = Bridge(self)
        self.bridge.arrived.connect(self._take)
        self.aside = Aside(self)
        self.aside.told.connect(self.tell)
        self.local = LocalJobs(self.file.path.parent / "desktop" / "local", self)
        self.local.arrived.connect(self._take)
        self.local.engines_found.connect(self._on_local_engines)
        self.local_engines: tuple[EngineInfo, ...] = ()
        self.server_engines: tuple[EngineInfo, ...] = ()
        self._fetching: set[str] = set()
        self._watched: set[str] = set()
        self._look_soon = qdebounced(self.tell_focus, timeout=FOCUS_PAUSE_MS)
        self.viewer.dims.events.current_step.connect(self._on_step)
        self.viewer.layers.events.removed.connect(self._on_removed)
        self._closed = False

    # connection

    @property
    def engines(self) -> tuple[EngineInfo, ...]:
        """The engines of the server (the last one while it is away) and of this process, by name."""
        known = {info.name: info for info in (*self.local_engines, *self.server_engines)}
        return tuple(known[name] for name in sorted(known))

    @property
    def default_engine(self) -> str:
        """The server's default engine, or this process's; empty where there is none."""
        info = self.link.info
        if info is not None and info.default_engine:
            return info.default_engine
        return next((info.name for info in self.engines if info.default), "")

    def can_submit(self, engine: str) -> bool:
        """Whether the server is there and offers an engine."""
        return self.link.phase.usable and any(info.name == engine and info.available for info in self.server_engines)

    def can_run_here(self, engine: str) -> bool:
        """Whether an engine can run in this process."""
        return any(info.name == engine and info.available for info in self.local_engines)

    def _on_local_engines(self, engines: tuple[EngineInfo, ...]) -> None:
        self.local_engines = engines
        self.engines_changed.emit()

    def default_address(self) -> str:
        """Return where to connect when nobody says: the last server, or this machine's."""
        if self.settings.server:
            return self.settings.server
        try:
            return default_server()[0]
        except CryoMambaError as error:
            self.tell(Notice.of_error(error, context="Looking for a server"))
            return "http://127.0.0.1:8000"

    def connect_to(self, url: str) -> None:
        """Talk to this server from now on."""
        url = url.strip()
        if url != self.link.url:
            self.jobs.forget_server()
            self._watched.clear()
            self.jobs_changed.emit()
        self.settings.remember_server(url)
        self.save_settings()
        # At once, so that nothing is asked of the server that is being let go.
        self._on_link(Link(Phase.CONNECTING, url))
        self.bridge.open(url)

    def correct_voxel_size(self, layer: Any, voxel_size_A: Spacing) -> bool:  # noqa: ANN401
        """Give a tomogram and the masks on it the voxel size that a person knows; say whether it was plausible."""

        def correct() -> None:
            source = correct_voxel_size(layer, voxel_size_A)
            for overlay in self.overlays.values():
                if overlay.tomogram is layer and overlay.in_viewer:
                    overlay.place(source.meta.voxel_size_A)

        return self.attempt("Setting the voxel size", correct)

    # jobs

    def submit(self, layer: Any, *, engine: str | None, params: dict[str, Any], name: str) -> None:  # noqa: ANN401
        """Hand in a job for a tomogram layer and watch it."""
        source = source_of(layer)
        if source is None:
            raise ValueError("the layer is no tomogram")
        interval = self.settings.preview_interval_s

        async def ask(client: AsyncClient) -> JobRecord:
            return await submit(client, source, engine=engine, params=params, name=name, interval_s=interval)

        def refused(error: CryoMambaError) -> None:
            self.tell(Notice.of_error(error, context="Submitting the job"))
            self.submit_refused.emit(error)

        self.bridge.ask("Submitting the job", ask, self._submitted, refused)

    def run_here(self, layer: Any, *, engine: str, params: dict[str, Any], name: str) -> None:  # noqa: ANN401
        """Segment a tomogram layer in this process and watch it."""
        source = source_of(layer)
        if source is None:
            raise ValueError("the layer is no tomogram")
        record = self.local.start(
            source, engine=engine, params=params, name=name, interval_s=self.settings.preview_interval_s
        )
        self._on_record(record)
        self._watched.add(record.job_id)
        self.job_started.emit(record.job_id)

    def _submitted(self, record: JobRecord) -> None:
        self.jobs.adopt(record.job_id)
        self._remember_jobs()
        self._on_record(record)
        self.watch(record.job_id)
        self.job_started.emit(record.job_id)

    def watch(self, job_id: str) -> None:
        """Show a job: its preview while it runs, its mask when it is complete."""
        job = self.jobs.get(job_id)
        if job is None:
            return
        self._watched.add(job_id)
        if job.record.state is JobState.COMPLETED:
            self._fetch(job.record)
        elif not job.local:
            self.bridge.watch(job_id)

    def is_watched(self, job_id: str) -> bool:
        """Whether a job's previews are shown."""
        return job_id in self._watched

    def show_job(self, job_id: str) -> None:
        """Show a job with its tomogram, which is opened if this machine has it."""
        job = self.jobs.get(job_id)
        if job is None:
            return
        path = Path(job.record.volume.path or "")
        if self._is_open(job.record) or not path.is_file():
            self.watch(job_id)
            return

        def opened(tomogram: Tomogram) -> None:
            self.viewer.add_layer(Layer.create(*tomogram.layer()))
            self.watch(job_id)

        self.aside.run("Opening the tomogram", lambda _task: open_tomogram(path), opened)

    def pick_up(self, layer: Any) -> None:  # noqa: ANN401
        """Watch the unfinished jobs of a tomogram that was just opened."""
        for job in self.jobs.unfinished():
            if job.mine and layer_of_path(self.viewer, job.record.volume.path) is layer:
                self.watch(job.job_id)

    def unwatch(self, job_id: str) -> None:
        """Stop showing a job; it goes on."""
        self._watched.discard(job_id)
        self.bridge.unwatch(job_id)

    def cancel(self, job_id: str) -> None:
        """Cancel a job."""
        job = self.jobs.get(job_id)
        if job is not None and job.local:
            self.local.cancel(job_id)
            return
        self.bridge.ask("Cancelling the job", lambda client: client.cancel(job_id), self._on_record)

    def retry(self, job_id: str) -> None:
        """Put a failed or cancelled job back into the queue."""

        def again(record: JobRecord) -> None:
            self._on_record(record)
            self.forget_overlay(job_id)
            self.watch(job_id)

        self.bridge.ask("Retrying the job", lambda client: client.retry(job_id), again)

    def remove(self, job_id: str) -> None:
        """Take a job out of the table; its layer stays, its files stay on the server."""
        self.unwatch(job_id)
        self.jobs.remove(job_id)
        folder = self.local.mask(job_id).parent if job_id.startswith(LOCAL_PREFIX) else self._folder(job_id)
        shutil.rmtree(folder, ignore_errors=True)
        self._remember_jobs()
        self.jobs_changed.emit()

    def show_all_jobs(self, *, show: bool) -> None:
        """Show other people's jobs too, or not."""
        self.jobs.show_all = show
        self.settings.show_all_jobs = show
        self.save_settings()
        self.jobs_changed.emit()

    def overlay_of_layer(self, layer: Any) -> Overlay | None:  # noqa: ANN401
        """Return the overlay that a layer belongs to."""
        return self.overlays.get(layer.metadata.get(JOB_KEY, "")) if layer is not None else None

    def forget_overlay(self, job_id: str) -> None:
        """Let the next frame of a job make a new layer."""
        overlay = self.overlays.pop(job_id, None)
        if overlay is not None:
            overlay.remove()
            self.overlay_changed.emit(job_id)

    # looking

    def tell_focus(self) -> None:
        """Tell the server where the person looks, for every job that is watched and runs."""
        for job_id in list(self._watched):
            job = self.jobs.get(job_id)
            if job is None or job.local or job.record.state.final:
                continue
            position = self._position(job.record)
            # A focus is a wish; a server that is away will be told with the next step.
            self.bridge.ask("", partial(AsyncClient.focus, job_id=job_id, position=position), failed=_ignore)

    def _position(self, record: JobRecord) -> Spacing:
        point = tuple(self.viewer.dims.point[-3:])
        layer = layer_of_path(self.viewer, record.volume.path)
        source = source_of(layer) if layer is not None else None
        size = source.meta.voxel_size_A if source is not None else record.volume.voxel_size_A
        return voxel_at((float(point[0]), float(point[1]), float(point[2])), size, record.volume.shape)

    def _on_step(self, _event: object = None) -> None:
        if self._watched:
            self._look_soon()

    # what comes in

    def _take(self, message: Message) -> None:
        if self._closed:
            return
        match message:
            case LinkChanged():
                self._on_link(message.link)
            case Told():
                self.tell(message.notice)
            case JobChanged():
                self._on_record(message.record)
            case JobProgressed():
                if self.jobs.progress(message.job_id, message.attempt, message.progress):
                    self.jobs_changed.emit()
            case FrameWaits():
                self.draw(message.job_id)

    def _on_link(self, link: Link) -> None:
        self.link = link
        if link.info is not None and link.info.engines and link.info.engines != self.server_engines:
            self.server_engines = link.info.engines
            self.engines_changed.emit()
        self.link_changed.emit()

    def _on_record(self, record: JobRecord) -> None:
        known = self.jobs.get(record.job_id)
        local = record.job_id.startswith(LOCAL_PREFIX)
        for notice in self.jobs.update(record, local=local):
            self.tell(notice)
        self.jobs_changed.emit()
        if record.job_id in self._watched and record.state is JobState.COMPLETED:
            self._fetch(record)
        elif known is None and record.job_id in self.jobs.mine and not record.state.final and self._is_open(record):
            # Submitted before a restart of this desktop, and its tomogram is open again.
            self.watch(record.job_id)

    def _is_open(self, record: JobRecord) -> bool:
        return layer_of_path(self.viewer, record.volume.path) is not None

    def frame_place(self, job_id: str) -> NewestFrame:
        """Return where the previews of a job are left."""
        local = job_id.startswith(LOCAL_PREFIX)
        return self.local.frame_place(job_id) if local else self.bridge.frame_place(job_id)

    def draw(self, job_id: str) -> None:
        """Draw the newest preview of a job, if one waits."""
        frame = self.frame_place(job_id).take()
        job = self.jobs.get(job_id)
        if frame is None or job is None or job_id not in self._watched:
            return
        overlay = self.overlays.get(job_id)
        if overlay is not None and overlay.layer is not None and not overlay.in_viewer:
            # The person deleted the layer: the job goes on unseen.
            self.unwatch(job_id)
            return
        fresh = overlay is None or overlay.layer is None
        overlay = overlay or self._new_overlay(job.record)
        known = len(overlay.palette.labels)
        overlay.show(frame)
        if fresh or len(overlay.palette.labels) != known:
            self.overlay_changed.emit(job_id)
        self.frame_shown.emit(job_id)

    def _new_overlay(self, record: JobRecord) -> Overlay:
        overlay = Overlay(
            self.viewer,
            record,
            tomogram=layer_of_path(self.viewer, record.volume.path),
            palette=Palette(),
            opacity=self.settings.opacity,
            contour=self.settings.contour,
        )
        self.overlays[record.job_id] = overlay
        return overlay

    # the finished mask

    def _folder(self, job_id: str) -> Path:
        return self.file.path.parent / "desktop" / "masks" / job_id

    def _fetch(self, record: JobRecord) -> None:
        job_id = record.job_id
        overlay = self.overlays.get(job_id)
        if job_id in self._fetching or (overlay is not None and overlay.final and overlay.in_viewer):
            return
        if job_id.startswith(LOCAL_PREFIX):
            path = self.local.mask(job_id)
            self.attempt(
                "Opening the mask", lambda: self.show_mask(record, open_mask(path), record.volume.voxel_size_A)
            )
            return
        self._fetching.add(job_id)
        folder = self._folder(job_id)

        async def fetch(client: AsyncClient) -> tuple[Array, Spacing]:
            await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
            path = await client.download(job_id, MASK, folder / MASK)
            mask = await asyncio.to_thread(open_mask, path)
            return mask, (await asyncio.to_thread(inspect, path)).voxel_size_A

        def done(answer: tuple[Array, Spacing]) -> None:
            self._fetching.discard(job_id)
            self.show_mask(record, *answer)

        def failed(error: CryoMambaError) -> None:
            self._fetching.discard(job_id)
            self.tell(Notice.of_error(error, context="Fetching the mask"))

        self.bridge.ask("Fetching the mask", fetch, done, failed)

    def show_mask(self, record: JobRecord, mask: Array, voxel_size_A: Spacing) -> None:
        """Put a finished mask where the preview was."""
        overlay = self.overlays.get(record.job_id)
        if overlay is None or (overlay.layer is not None and not overlay.in_viewer):
            overlay = self._new_overlay(record)
        if not overlay.palette.labels:
            overlay.palette.learn({1: record.engine})
        overlay.finish(mask, voxel_size_A)
        self._watched.discard(record.job_id)
        self.overlay_changed.emit(record.job_id)

    def _on_removed(self, event: Any) -> None:  # noqa: ANN401
        job_id = event.value.metadata.get(JOB_KEY)
        if job_id in self.overlays:
            self.unwatch(job_id)
            del self.overlays[job_id]
            self.overlay_changed.emit(job_id)

    # the rest

    def tell(self, notice: Notice) -> None:
        """Put a message into the history."""
        log = logger.warning if notice.level is Level.ERROR else logger.info
        log("%s: %s", notice.context or "CryoMamba", notice.text)
        self.history.add(notice)
        self.history_changed.emit()

    def attempt(self, context: str, action: Callable[[], None]) -> bool:
        """Do something that may fail with an error for people; say whether it worked."""
        try:
            action()
        except CryoMambaError as error:
            self.tell(Notice.of_error(error, context=context))
            return False
        except OSError as error:
            wrong = InvalidRequestError(
                f"The file system refused: {error.strerror}.", hint="Look at folder and permissions."
            )
            self.tell(Notice.of_error(wrong, context=context))
            return False
        return True

    def save_settings(self) -> None:
        """Write the settings."""
        self.file.save(self.settings)

    def _remember_jobs(self) -> None:
        self.settings.my_jobs = sorted(self.jobs.mine)
        self.settings.hidden_jobs = sorted(self.jobs.hidden)
        self.save_settings()

    def close(self) -> None:
        """Give the connection and the thread back; layers stay. Closing twice is no error."""
        if self._closed:
            return
        self._closed = True
        self.viewer.dims.events.current_step.disconnect(self._on_step)
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self._look_soon.cancel()
        self.save_settings()
        self.bridge.close()
        self.local.close()
        self.aside.close()


def _ignore(_error: CryoMambaError) -> None:
    """Let an error pass that the person cannot act on."""
