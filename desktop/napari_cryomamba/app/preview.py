"""Draws jobs in the viewer: their previews while they run, their masks when they are complete."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from napari.layers import Layer as NapariLayer
from qtpy.QtCore import QObject, Signal

from cryomamba.geometry import Spacing
from cryomamba.models.jobs import JobRecord, JobState
from napari_cryomamba.app.jobs import JobController
from napari_cryomamba.app.settings import Preferences
from napari_cryomamba.app.task_runner import TaskRunner
from napari_cryomamba.layers.overlay import JOB_KEY, Overlay
from napari_cryomamba.layers.selection import selection_kept
from napari_cryomamba.layers.tomogram import Array, Tomogram, open_tomogram
from napari_cryomamba.layers.tomograms import layer_of_path
from napari_cryomamba.models.frames import FrameStore
from napari_cryomamba.models.job_details import details, short_parameters, when_text
from napari_cryomamba.models.palette import Palette, free_color
from napari_cryomamba.napari_types import Layer, LayerEvent, Viewer


class PreviewController(QObject):
    """The jobs that are watched, and the layers on which they are drawn. For the GUI thread.

    Signals
    -------
    overlay_changed : str
        The layer of this job is new, or shows something else.
    frame_drawn : str
        A preview of this job was drawn.
    job_completed : JobRecord
        A watched job is complete: its results should be shown.
    """

    overlay_changed = Signal(str)
    frame_drawn = Signal(str)
    job_completed = Signal(object)

    def __init__(
        self,
        viewer: Viewer,
        jobs: JobController,
        frames: FrameStore,
        tasks: TaskRunner,
        preferences: Preferences,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._jobs, self._frames = viewer, jobs, frames
        self._tasks, self._preferences = tasks, preferences
        self.overlays: dict[str, Overlay] = {}
        self._watched: set[str] = set()
        self._palettes: dict[str, Palette] = {}
        viewer.layers.events.removed.connect(self._on_removed)

    # watching

    def show_job(self, job_id: str) -> None:
        """Watch a job, and open its tomogram if this machine has it."""
        job = self._jobs.table.get(job_id)
        if job is None:
            return
        path = Path(self._jobs.tomogram_path(job.record) or "")
        if self.tomogram_of(job.record) is not None or not path.is_file():
            self.watch(job_id)
            return

        def opened(tomogram: Tomogram) -> None:
            self._viewer.add_layer(NapariLayer.create(*tomogram.layer()))
            self.watch(job_id)

        self._tasks.run(f"Opening {path.name}", lambda _task: open_tomogram(path), opened)

    def watch(self, job_id: str) -> None:
        """Show a job: its preview while it runs, its results when it is complete."""
        job = self._jobs.table.get(job_id)
        if job is None:
            return
        self._watched.add(job_id)
        if job.record.state is JobState.COMPLETED:
            self.job_completed.emit(job.record)
        else:
            self._jobs.source(job_id).watch(job_id)

    def unwatch(self, job_id: str) -> None:
        """Stop showing a job; it continues."""
        self._watched.discard(job_id)
        self._jobs.source(job_id).unwatch(job_id)

    def unwatch_all(self) -> None:
        """Stop showing all jobs."""
        self._watched.clear()

    def restart(self, job_id: str) -> None:
        """Watch a job that runs again: its next preview makes a new layer."""
        overlay = self.overlays.pop(job_id, None)
        if overlay is not None:
            with selection_kept(self._viewer):
                overlay.remove()
            self.overlay_changed.emit(job_id)
        self.watch(job_id)

    def is_watched(self, job_id: str) -> bool:
        """Whether a job's previews are shown."""
        return job_id in self._watched

    def running(self) -> Iterator[JobRecord]:
        """Return the watched jobs that are not final."""
        for job_id in list(self._watched):
            job = self._jobs.table.get(job_id)
            if job is not None and not job.record.state.final:
                yield job.record

    def on_record(self, record: JobRecord, *, is_new: bool) -> None:
        """Show the results of a watched job that is complete, and watch a job that is found again after a restart."""
        mine = record.job_id in self._jobs.table.mine
        if record.job_id in self._watched and record.state is JobState.COMPLETED:
            self.job_completed.emit(record)
        elif is_new and mine and not record.state.final and self.tomogram_of(record) is not None:
            self.watch(record.job_id)

    def watch_jobs_of(self, layer: Layer) -> None:
        """Watch the unfinished jobs of a tomogram that was just opened."""
        for job in self._jobs.table.unfinished():
            if job.mine and self.tomogram_of(job.record) is layer:
                self.watch(job.job_id)

    # layers

    def tomogram_of(self, record: JobRecord) -> Layer:
        """Return the layer of a job's tomogram, None if it is not open."""
        return layer_of_path(self._viewer, self._jobs.tomogram_path(record))

    def overlay_of_layer(self, layer: Layer) -> Overlay | None:
        """Return the overlay that a layer belongs to."""
        return self.overlays.get(layer.metadata.get(JOB_KEY, "")) if layer is not None else None

    def set_voxel_size(self, layer: Layer, voxel_size_A: Spacing) -> None:
        """Rescale the masks on a tomogram whose voxel size (Å; z, y, x) was corrected."""
        for overlay in self.overlays.values():
            if overlay.tomogram is layer and overlay.in_viewer:
                overlay.set_voxel_size(voxel_size_A)

    # drawing

    def draw(self, job_id: str) -> None:
        """Draw the newest preview of a job, if there is one and the job is watched."""
        frame = self._frames[job_id].take()
        job = self._jobs.table.get(job_id)
        if frame is None or job is None or job_id not in self._watched:
            return
        overlay = self.overlays.get(job_id)
        if overlay is not None and overlay.layer is not None and not overlay.in_viewer:
            # The user deleted the layer: the job continues unseen.
            self.unwatch(job_id)
            return
        is_new = overlay is None or overlay.layer is None
        overlay = overlay or self._new_overlay(job.record)
        known = len(overlay.palette.labels)
        overlay.show_preview(frame)
        if is_new:
            self._describe(overlay, job.record)
        if is_new or len(overlay.palette.labels) != known:
            self.overlay_changed.emit(job_id)
        self.frame_drawn.emit(job_id)

    def show_mask(self, record: JobRecord, mask: Array, voxel_size_A: Spacing) -> None:
        """Replace the preview with the finished mask."""
        overlay = self.overlays.get(record.job_id)
        if overlay is None or (overlay.layer is not None and not overlay.in_viewer):
            overlay = self._new_overlay(record)
        if not overlay.palette.labels:
            overlay.palette.add_names({1: record.engine})
        overlay.show_mask(mask, voxel_size_A)
        self._describe(overlay, record)
        self._watched.discard(record.job_id)
        self.overlay_changed.emit(record.job_id)

    def _describe(self, overlay: Overlay, record: JobRecord) -> None:
        when = [("Started", text)] if (text := when_text(record)) else []
        overlay.describe([*when, *details(record, self._jobs.engine(record.engine))])

    def _new_overlay(self, record: JobRecord) -> Overlay:
        settings = self._preferences.values
        overlay = Overlay(
            self._viewer,
            record,
            tomogram=self.tomogram_of(record),
            palette=self._palette(record.job_id),
            parameters=short_parameters(record, self._jobs.engine(record.engine)),
            opacity=settings.opacity,
            contour=settings.contour,
        )
        self.overlays[record.job_id] = overlay
        return overlay

    def _palette(self, job_id: str) -> Palette:
        """Return the names and colours of a job, which stay when its layer is removed and shown again."""
        if job_id not in self._palettes:
            shown = [overlay.palette.first for overlay in self.overlays.values()]
            names = self._preferences.values.label_names.get(job_id, {})
            self._palettes[job_id] = Palette(names=dict(names), first=free_color(shown))
        return self._palettes[job_id]

    def _on_removed(self, event: LayerEvent) -> None:
        job_id = event.value.metadata.get(JOB_KEY)
        if job_id in self.overlays:
            self.unwatch(job_id)
            del self.overlays[job_id]
            self.overlay_changed.emit(job_id)

    def close(self) -> None:
        """Disconnect from the viewer; layers stay."""
        self._viewer.layers.events.removed.disconnect(self._on_removed)
