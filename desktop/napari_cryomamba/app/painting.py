"""Strokes that are painted in the viewer, and the job that learns from them."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QObject, Signal
from superqt.utils import qdebounced

from cryomamba.errors import CryoMambaError, ErrorCode
from cryomamba.masks.strokes import Strokes
from cryomamba.models.jobs import JobRecord
from napari_cryomamba.app.jobs import JobController
from napari_cryomamba.app.notifications import Notifications
from napari_cryomamba.layers.strokes import add_strokes_layer, paint_label, painted_sections, show_colours
from napari_cryomamba.models.painted_strokes import PaintedStrokes
from napari_cryomamba.models.source import Source
from napari_cryomamba.napari_types import Layer, LayerEvent, Viewer

PAUSE_MS = 300
"""After a stroke, before it is sent: two strokes in a row are sent together."""


class PaintController(QObject):
    """The strokes on one tomogram at a time. For the GUI thread; :meth:`close` it.

    Signals
    -------
    changed
        What is painted, or its labels, are others.
    restart_needed
        The job has ended, or cannot take strokes while it runs: start another one with all strokes.
    """

    changed = Signal()
    restart_needed = Signal()

    def __init__(
        self, viewer: Viewer, jobs: JobController, notifications: Notifications, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer, self._jobs, self._notifications = viewer, jobs, notifications
        self.painted: PaintedStrokes | None = None
        self.layer: Layer = None
        self.live = True
        self._source: Path | None = None
        self._job_id = ""
        self._sent: Strokes | None = None
        self._send_later = qdebounced(self.send, timeout=PAUSE_MS, parent=self)
        viewer.layers.events.removed.connect(self._on_removed)
        jobs.started.connect(self._on_started)
        self._job_final = False
        jobs.changed.connect(self._on_jobs_changed)

    def begin(self, source: Source) -> None:
        """Add a layer for strokes on a tomogram, if there is none, and take the brush."""
        if self.layer is None or self._source != source.path:
            self._listen(on=False)
            self._source, self._job_id, self._sent = source.path, "", None
            self.painted = PaintedStrokes(source.meta.shape)
            self.layer = add_strokes_layer(self._viewer, self.painted, source.meta.voxel_size_A, source.meta.name)
            self._listen(on=True)
        self.choose(max(int(self.layer.selected_label) - 1, 0))
        self.changed.emit()

    def choose(self, label: int) -> None:
        """Take the brush for a label."""
        if self.layer is not None:
            paint_label(self._viewer, self.layer, label)

    def add_label(self) -> None:
        """Add a label and take the brush for it."""
        if self.painted is not None and (number := self.painted.add_label()) is not None:
            show_colours(self.layer, self.painted)
            self.choose(number)
            self.changed.emit()

    def rename(self, label: int, name: str) -> None:
        """Give a label a name."""
        if self.painted is not None:
            self.painted.rename(label, name)
            self.changed.emit()

    def show(self, strokes: Strokes) -> None:
        """Replace what is painted on the layer."""
        if self.painted is not None:
            self.painted.show(strokes)
            show_colours(self.layer, self.painted)
            self.layer.refresh()
            self.changed.emit()

    def strokes(self, source: Source | None) -> Strokes | None:
        """Return what is painted on a tomogram; None if nothing is, or if it is too much, with a notification."""
        found: list[Strokes | None] = [None]
        painted = self.painted
        if painted is not None and source is not None and source.path == self._source:
            self._notifications.report_errors("Painting", lambda: found.__setitem__(0, painted.strokes()))
        return found[0]

    def send(self) -> None:
        """Have the job learn from what is painted now, if it is not that already."""
        self.changed.emit()
        if self.painted is None or not self.live or not self._job_id:
            return
        try:
            strokes = self.painted.strokes()
        except CryoMambaError as error:
            self._notifications.notify_error(error, "Painting")
            return
        job = self._jobs.table.get(self._job_id)
        if strokes is None or strokes == self._sent or job is None:
            return
        self._sent = strokes
        if job.record.state.final:
            self._restart()
        elif not self._jobs.source(self._job_id).set_strokes(self._job_id, strokes, self._on_refused):
            self._jobs.cancel(self._job_id)
            self._restart()

    def _on_refused(self, error: CryoMambaError) -> None:
        if error.code in {ErrorCode.CONFLICT, ErrorCode.JOB_FINAL, ErrorCode.NOT_FOUND}:
            # It has ended meanwhile.
            self._restart()
        else:
            self._notifications.notify_error(error, "Adding strokes")

    def _restart(self) -> None:
        self._job_id = ""
        self.restart_needed.emit()

    def _on_started(self, job_id: str) -> None:
        """Follow a job that the user has started with what is painted."""
        job = self._jobs.table.get(job_id)
        if job is None or self.painted is None or job.record.params.get("strokes") is None:
            return
        self._job_id = job_id
        self._sent = Strokes.model_validate(job.record.params["strokes"])
        # What was painted since the job was submitted.
        self._send_later()

    def _on_jobs_changed(self) -> None:
        final = self.job is not None and self.job.state.final
        if final != self._job_final:
            self._job_final = final
            self.changed.emit()

    @property
    def job(self) -> JobRecord | None:
        """The job that learns from what is painted."""
        job = self._jobs.table.get(self._job_id)
        return None if job is None else job.record

    def _listen(self, *, on: bool) -> None:
        if self.layer is not None:
            for event, handle in (
                (self.layer.events.paint, self._on_paint),
                (self.layer.events.set_data, self._on_data),
            ):
                (event.connect if on else event.disconnect)(handle)

    def _on_paint(self, event: LayerEvent) -> None:
        if self.painted is not None:
            self.painted.touch(painted_sections(event.value))
            self._send_later()

    def _on_data(self, _event: LayerEvent) -> None:
        # A step of the history was taken back, perhaps; what is painted is compared before it is sent.
        self._send_later()

    def _on_removed(self, event: LayerEvent) -> None:
        if self.layer is not None and event.value is self.layer:
            self._listen(on=False)
            self.painted, self.layer, self._source, self._job_id, self._sent = None, None, None, "", None
            self.changed.emit()

    def close(self) -> None:
        """Disconnect from the viewer."""
        self._listen(on=False)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._send_later.cancel()
