"""The threshold of a finished mask, changed while the user looks at the result."""

from __future__ import annotations

from dataclasses import replace

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QFormLayout, QWidget
from superqt import QLabeledSlider

from cryomamba.engines.artifacts import SCORES
from cryomamba.masks.hysteresis import SCORE_MAX, is_single_threshold
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba.models.jobs import RETHRESHOLD, JobRecord
from napari_cryomamba.app.jobs import JobController
from napari_cryomamba.app.preview import PreviewController
from napari_cryomamba.app.results import Results
from napari_cryomamba.app.server import ServerConnection
from napari_cryomamba.app.task_runner import Task, TaskRunner
from napari_cryomamba.layers.masks import Mask
from napari_cryomamba.layers.overlay import Overlay
from napari_cryomamba.models.jobs import JobKind, kind_of
from napari_cryomamba.models.metadata import size_text
from napari_cryomamba.models.thresholds import (
    Flags,
    LiveThreshold,
    ScoreMap,
    kept_blocks,
    with_thresholds,
    write_thresholded,
)
from napari_cryomamba.napari_types import Viewer
from napari_cryomamba.widgets.layout import button, hbox, text_label, vbox

_LOAD = "Adjust threshold…"
_NO_SCORES = "The threshold cannot be adjusted: this mask has no score map."


class ThresholdPanel(QWidget):
    """Previews another threshold at once, and applies it when asked: on this computer, or on the server as a job."""

    def __init__(
        self,
        viewer: Viewer,
        jobs: JobController,
        preview: PreviewController,
        results: Results,
        server: ServerConnection,
        tasks: TaskRunner,
    ) -> None:
        super().__init__()
        self._viewer, self._jobs, self._preview = viewer, jobs, preview
        self._results, self._server, self._tasks = results, server, tasks
        self._overlay: Overlay | None = None
        self._record: JobRecord | None = None
        self._score_map: ScoreMap | None = None
        self._live: LiveThreshold | None = None
        self._task: Task | None = None
        self.load_button = button(_LOAD, self, self.load_scores)
        self.load_button.setToolTip("Load the job's score map, to change the threshold without running the job again")
        self.controls = QWidget(self)
        self.high = QLabeledSlider(Qt.Orientation.Horizontal, self.controls)
        self.low = QLabeledSlider(Qt.Orientation.Horizontal, self.controls)
        for slider in (self.high, self.low):
            slider.setRange(1, SCORE_MAX)
        self.high.setToolTip("A component is kept if at least one of its voxels has this score (1 to 255)")
        self.low.setToolTip("All voxels of a component have at least this score")
        self.use_low = QCheckBox("Lower threshold", self.controls)
        self.use_low.setToolTip("Hysteresis: without it, one threshold applies to each voxel")
        self.min_volume = QDoubleSpinBox(self.controls)
        self.min_volume.setRange(0, 1e9)
        self.min_volume.setDecimals(0)
        self.min_volume.setSuffix(" nm³")
        self.apply_button = button("Apply", self.controls, self.apply)
        self.apply_button.setToolTip("Compute the whole mask on this computer; earlier edits will be lost")
        self.server_button = button("Apply on server", self.controls, self.apply_on_server)
        self.server_button.setToolTip("Compute the whole mask on the server, as a new job")
        self.discard_button = button("Discard changes", self.controls, self.discard)
        self.discard_button.setToolTip("Return to the mask as it was")
        self.status = text_label()
        self._build()
        self._connect()
        self.show_mask(None, None)

    def _build(self) -> None:
        form = QFormLayout(self.controls)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Threshold", self.high)
        form.addRow(self.use_low, self.low)
        form.addRow("Minimum volume", self.min_volume)
        form.addRow(hbox(self.apply_button, self.server_button, self.discard_button))
        vbox(self, self.load_button, self.controls, self.status)

    def _connect(self) -> None:
        # The lower threshold is not above the other: whichever is moved takes the other along.
        self.high.valueChanged.connect(lambda value: self.low.setValue(min(self.low.value(), value)))
        self.low.valueChanged.connect(lambda value: self.high.setValue(max(self.high.value(), value)))
        self.high.valueChanged.connect(self._on_changed)
        self.low.valueChanged.connect(self._on_changed)
        self.use_low.toggled.connect(self._on_changed)
        self.min_volume.valueChanged.connect(self._on_changed)
        self._viewer.dims.events.ndisplay.connect(self._on_ndisplay)

    def show_mask(self, mask: Mask | None, overlay: Overlay | None) -> None:
        """Show another mask; `overlay` is that of the job that made it. A pending threshold is discarded."""
        if overlay is not None and overlay is self._overlay and self._score_map is not None:
            return
        self._end()
        self._overlay = overlay
        job = self._jobs.table.get(overlay.job_id) if overlay is not None else None
        self._record = job.record if job is not None else None
        complete = overlay is not None and overlay.final
        has_scores = self._record is not None and self._record.has(SCORES.name) and complete
        self.load_button.setVisible(has_scores)
        self.load_button.setEnabled(has_scores)
        self.controls.hide()
        self.status.setText(
            "" if mask is None or has_scores else mask.not_ready.reason if mask.not_ready else _NO_SCORES
        )
        self.status.setVisible(bool(self.status.text()))
        self.load_button.setText(_LOAD)
        if has_scores and self._record is not None and self._is_on_server():
            size = next(artifact.size_bytes for artifact in self._record.artifacts if artifact.name == SCORES.name)
            self.load_button.setText(f"{_LOAD} (downloads {size_text(size)})")

    def _is_on_server(self) -> bool:
        return self._record is not None and kind_of(self._record.job_id) is JobKind.SERVER

    # loading

    def load_scores(self) -> None:
        """Load the score map, and show the controls."""
        record = self._record
        if record is None:
            return
        self.load_button.setEnabled(False)

        def loaded(score_map: ScoreMap) -> None:
            if record is self._record:
                self._start(score_map)

        def progress(fraction: float) -> None:
            self.load_button.setText(f"Loading {fraction:.0%}")

        self._results.load_scores(record, loaded, self._on_load_failed, progress)

    def _on_load_failed(self) -> None:
        self.load_button.setEnabled(True)
        self.load_button.setText(_LOAD)

    def _start(self, score_map: ScoreMap) -> None:
        self._score_map, self._live = score_map, None
        threshold = score_map.threshold
        blockers = [QSignalBlocker(widget) for widget in (self.high, self.low, self.use_low, self.min_volume)]
        self.high.setValue(threshold.high)
        self.low.setValue(threshold.low)
        self.use_low.setChecked(threshold.low < threshold.high)
        self.min_volume.setValue(threshold.min_voxels * score_map.voxel_nm3)
        for blocker in blockers:
            blocker.unblock()
        self.load_button.hide()
        self.controls.show()
        self._update_buttons()
        if self._record is not None:
            self._results.load_candidates(self._record, threshold)

    # previewing

    @property
    def is_computing(self) -> bool:
        """Whether the components at the current threshold are still being computed."""
        return self._task is not None

    def _current(self, score_map: ScoreMap) -> HysteresisThreshold:
        high = self.high.value()
        low = self.low.value() if self.use_low.isChecked() else high
        min_voxels = round(self.min_volume.value() / score_map.voxel_nm3)
        return with_thresholds(score_map.threshold, high=high, low=low, min_voxels=min_voxels)

    def _on_changed(self) -> None:
        score_map, overlay = self._score_map, self._overlay
        if score_map is None or overlay is None or not overlay.in_viewer:
            return
        threshold = self._current(score_map)
        if self._live is None:
            self._live = LiveThreshold(score_map, threshold)
            self._show_live()
            self._preview.overlay_changed.emit(overlay.job_id)
        self._cancel_task()
        if self._record is not None:
            self._results.filter_picks(self._record, threshold)
        if is_single_threshold(threshold):
            self._live.set(threshold)
        else:
            # The components of a moment ago are a good guess until the new ones are known.
            self._live.set(threshold, self._live.kept)
            self._task = self._tasks.run(
                "Previewing the threshold",
                lambda _task: kept_blocks(score_map, threshold),
                lambda kept: self._on_components(threshold, kept),
            )
        self._redraw()
        self._update_buttons()

    def _on_components(self, threshold: HysteresisThreshold, kept: Flags) -> None:
        self._task = None
        if self._live is not None and self._live.threshold == threshold:
            self._live.set(threshold, kept)
            self._redraw()

    def _cancel_task(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _on_ndisplay(self, _event: object = None) -> None:
        if self._live is not None:
            self._show_live()

    def _show_live(self) -> None:
        overlay, score_map, live = self._overlay, self._score_map, self._live
        if overlay is None or score_map is None or live is None:
            return
        if self._viewer.dims.ndisplay == 3:
            overlay.show_temporarily(live.coarse, score_map.factor)
        else:
            overlay.show_temporarily(live, 1)

    def _redraw(self) -> None:
        if self._viewer.dims.ndisplay == 3:
            self._show_live()
        elif self._overlay is not None and self._overlay.in_viewer:
            self._overlay.layer.refresh(thumbnail=False, extent=False)
            self._preview.frame_drawn.emit(self._overlay.job_id)

    def _update_buttons(self) -> None:
        changed = self._live is not None
        self.apply_button.setEnabled(changed)
        self.discard_button.setEnabled(changed)
        self.server_button.setVisible(self._is_on_server())
        self.server_button.setEnabled(changed and self._server.can_run(RETHRESHOLD))
        self.low.setEnabled(self.use_low.isChecked())
        self.status.setVisible(changed)
        self.status.setText("Previewing a new threshold. Apply or discard?" if changed else "")

    # ending

    def discard(self) -> None:
        """Show the mask as it was."""
        score_map, overlay = self._score_map, self._overlay
        self._end()
        if overlay is not None:
            self._preview.overlay_changed.emit(overlay.job_id)
        if score_map is not None:
            self._start(score_map)

    def _end(self) -> None:
        self._cancel_task()
        if self._live is not None and self._overlay is not None:
            self._overlay.restore()
        if self._live is not None and self._score_map is not None and self._record is not None:
            self._results.filter_picks(self._record, self._score_map.threshold)
        self._live, self._score_map = None, None

    def apply(self) -> None:
        """Compute the whole mask in a thread, and show it in place of the one before."""
        score_map, live, record = self._score_map, self._live, self._record
        if score_map is None or live is None or record is None:
            return
        threshold = live.threshold
        name = f"threshold-{threshold.high}-{threshold.low}-{threshold.min_voxels}.mrc"
        path = self._results.path_for(record.job_id, name)
        self.controls.setEnabled(False)

        def done(_none: object) -> None:
            self.controls.setEnabled(True)
            self._end()
            self._results.show_file(record, path)
            self._start(replace(score_map, threshold=threshold))
            self._results.filter_picks(record, threshold)

        self._tasks.run(
            "Applying the threshold",
            lambda task: write_thresholded(score_map, threshold, path, progress=task.progress),
            done,
            progress=lambda fraction: self.status.setText(f"Computing the whole mask: {fraction:.0%}"),
            failed=lambda: self.controls.setEnabled(True),
        )

    def apply_on_server(self) -> None:
        """Submit a job that applies the threshold on the server."""
        record, live, score_map = self._record, self._live, self._score_map
        if record is None or live is None or score_map is None:
            return
        volume = live.threshold.min_voxels * score_map.voxel_nm3
        self._jobs.rethreshold(record, high=live.threshold.high, low=live.threshold.low, min_volume_nm3=volume)
        self.discard()
