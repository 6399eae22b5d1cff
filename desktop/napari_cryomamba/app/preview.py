"""The jobs that are shown in the viewer: their previews while they run, their masks when they are complete."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qtpy.QtCore import QObject

from cryomamba.geometry import Spacing
from cryomamba.models.jobs import JobRecord, JobState
from napari_cryomamba.app.jobs import JobController
from napari_cryomamba.app.settings import Preferences
from napari_cryomamba.layers.overlay import JOB_KEY, Overlay
from napari_cryomamba.layers.tomogram import Array
from napari_cryomamba.layers.tomograms import layer_of_path
from napari_cryomamba.models.frames import NewestFrame
from napari_cryomamba.models.palette import Palette
from napari_cryomamba.signals import Signal


class PreviewController(QObject):
    """Which jobs the person watches, and the layers on which they are drawn. For the GUI thread.

    Signals
    -------
    overlay_changed : str
        The layer of this job is new, or shows something else.
    frame_shown : str
        A preview of this job was drawn.
    complete : JobRecord
        A job that is watched has ended well: its results should be shown.
    """

    overlay_changed = Signal(str)
    frame_shown = Signal(str)
    complete = Signal(object)

    def __init__(
        self,
        viewer: Any,  # noqa: ANN401 (napari has no types)
        runs: JobController,
        preferences: Preferences,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._runs, self._preferences = viewer, runs, preferences
        self.overlays: dict[str, Overlay] = {}
        self._watched: set[str] = set()
        viewer.layers.events.removed.connect(self._on_removed)

    # which

    def watch(self, job_id: str) -> None:
        """Show a job: its preview while it runs, its results when it is complete."""
        job = self._runs.table.get(job_id)
        if job is None:
            return
        self._watched.add(job_id)
        if job.record.state is JobState.COMPLETED:
            self.complete.emit(job.record)
        elif not job.local:
            self._runs.bridge.watch(job_id)

    def unwatch(self, job_id: str) -> None:
        """Stop showing a job; it goes on."""
        self._watched.discard(job_id)
        self._runs.bridge.unwatch(job_id)

    def leave_server(self) -> None:
        """Watch nothing of a server that is talked to no more."""
        self._watched.clear()

    def is_watched(self, job_id: str) -> bool:
        """Whether a job's previews are shown."""
        return job_id in self._watched

    def running(self) -> Iterator[JobRecord]:
        """Return the jobs of the server that are watched and not final."""
        for job_id in list(self._watched):
            job = self._runs.table.get(job_id)
            if job is not None and not job.local and not job.record.state.final:
                yield job.record

    def take(self, record: JobRecord, *, fresh: bool) -> None:
        """Take a job as it stands; `fresh` says that it was not known before."""
        if record.job_id in self._watched and record.state is JobState.COMPLETED:
            self.complete.emit(record)
        elif fresh and record.job_id in self._runs.table.mine and not record.state.final and self.is_open(record):
            # Submitted before a restart of this desktop, and its tomogram is open again.
            self.watch(record.job_id)

    def pick_up(self, layer: Any) -> None:  # noqa: ANN401 (a napari layer)
        """Watch the unfinished jobs of a tomogram that was just opened."""
        for job in self._runs.table.unfinished():
            if job.mine and self.tomogram_of(job.record) is layer:
                self.watch(job.job_id)

    # where

    def tomogram_path(self, record: JobRecord) -> str | None:
        """Return the path of a job's tomogram on this machine, as far as it is known."""
        return self._runs.tomogram_path(record)

    def tomogram_of(self, record: JobRecord) -> Any:  # noqa: ANN401
        """Return the layer of a job's tomogram, None if it is not open."""
        return layer_of_path(self._viewer, self.tomogram_path(record))

    def is_open(self, record: JobRecord) -> bool:
        """Whether a job's tomogram is open."""
        return self.tomogram_of(record) is not None

    def overlay_of_layer(self, layer: Any) -> Overlay | None:  # noqa: ANN401
        """Return the overlay that a layer belongs to."""
        return self.overlays.get(layer.metadata.get(JOB_KEY, "")) if layer is not None else None

    def place_on(self, layer: Any, voxel_size_A: Spacing) -> None:  # noqa: ANN401
        """Follow a tomogram whose voxel size was corrected."""
        for overlay in self.overlays.values():
            if overlay.tomogram is layer and overlay.in_viewer:
                overlay.place(voxel_size_A)

    # drawing

    def frame_place(self, job_id: str) -> NewestFrame:
        """Return where the previews of a job are left."""
        return self._runs.frame_place(job_id)

    def draw(self, job_id: str) -> None:
        """Draw the newest preview of a job, if one waits."""
        frame = self.frame_place(job_id).take()
        job = self._runs.table.get(job_id)
        if frame is None or job is None or job_id not in self._watched:
            return
        overlay = self.overlays.get(job_id)
        if overlay is not None and overlay.layer is not None and not overlay.in_viewer:
            # The person deleted the layer: the job goes on unseen.
            self.unwatch(job_id)
            return
        new = overlay is None or overlay.layer is None
        overlay = overlay or self._new_overlay(job.record)
        known = len(overlay.palette.labels)
        overlay.show(frame)
        if new or len(overlay.palette.labels) != known:
            self.overlay_changed.emit(job_id)
        self.frame_shown.emit(job_id)

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

    def forget_overlay(self, job_id: str) -> None:
        """Let the next frame of a job make a new layer."""
        overlay = self.overlays.pop(job_id, None)
        if overlay is not None:
            overlay.remove()
            self.overlay_changed.emit(job_id)

    def _new_overlay(self, record: JobRecord) -> Overlay:
        settings = self._preferences.values
        overlay = Overlay(
            self._viewer,
            record,
            tomogram=self.tomogram_of(record),
            palette=Palette(),
            opacity=settings.opacity,
            contour=settings.contour,
        )
        self.overlays[record.job_id] = overlay
        return overlay

    def _on_removed(self, event: Any) -> None:  # noqa: ANN401
        job_id = event.value.metadata.get(JOB_KEY)
        if job_id in self.overlays:
            self.unwatch(job_id)
            del self.overlays[job_id]
            self.overlay_changed.emit(job_id)

    def close(self) -> None:
        """Let the viewer go; layers stay."""
        self._viewer.layers.events.removed.disconnect(self._on_removed)
