"""The threshold of a finished mask, moved while one looks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledSlider

from cryomamba.engines.artifacts import SCORES
from cryomamba.errors import ErrorCode, JobFailedError
from cryomamba.masks.hysteresis import SCORE_MAX, is_single_threshold
from cryomamba.models.jobs import RETHRESHOLD, JobRecord
from napari_cryomamba.app.controller import AppController
from napari_cryomamba.app.task_runner import Task
from napari_cryomamba.app.thresholds import LiveThreshold, ScoreMap, cut_whole, kept_blocks, moved
from napari_cryomamba.layers.overlay import Overlay
from napari_cryomamba.models.jobs import is_here
from napari_cryomamba.models.metadata import size_text


class ThresholdPanel(QWidget):
    """Shows at once what another threshold does, and applies it when asked: here, or on the server as a job."""

    def __init__(self, desk: AppController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self._overlay: Overlay | None = None
        self._record: JobRecord | None = None
        self._found: ScoreMap | None = None
        self._live: LiveThreshold | None = None
        self._task: Task | None = None
        self.load = QPushButton("Load the scores", self)
        self.load.setToolTip("Fetch the job's scores, so that the threshold can be moved without running it again")
        self.high = QLabeledSlider(Qt.Orientation.Horizontal, self)
        self.low = QLabeledSlider(Qt.Orientation.Horizontal, self)
        for slider in (self.high, self.low):
            slider.setRange(1, SCORE_MAX)
        self.high.setToolTip("Score (1 to 255) that a connected piece must reach somewhere")
        self.low.setToolTip("Score that every voxel of a piece must reach")
        self.linked = QCheckBox("Lower threshold", self)
        self.linked.setToolTip("Without it, each voxel is decided by itself")
        self.smallest = QDoubleSpinBox(self)
        self.smallest.setRange(0, 1e9)
        self.smallest.setDecimals(0)
        self.smallest.setSuffix(" nm³")
        self.apply = QPushButton("Apply", self)
        self.apply.setToolTip("Cut the whole mask here, exactly; edits of the mask before go")
        self.on_server = QPushButton("As a job", self)
        self.on_server.setToolTip("Cut it on the server, as a job of its own beside this one")
        self.back = QPushButton("Back", self)
        self.back.setToolTip("Leave the mask as it was")
        self.said = QLabel(self)
        self.said.setWordWrap(True)
        self.controls = QWidget(self)
        self._build()
        self._connect()
        self.show_overlay(None)

    def _build(self) -> None:
        form = QFormLayout(self.controls)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Threshold", self.high)
        form.addRow(self.linked, self.low)
        form.addRow("Smallest piece", self.smallest)
        buttons = QHBoxLayout()
        for button in (self.apply, self.on_server, self.back):
            buttons.addWidget(button)
        form.addRow(buttons)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.load, self.controls, self.said):
            layout.addWidget(widget)

    def _connect(self) -> None:
        self.load.clicked.connect(self.load_scores)
        self.high.valueChanged.connect(self._move)
        self.low.valueChanged.connect(self._move)
        self.linked.toggled.connect(self._move)
        self.smallest.valueChanged.connect(self._move)
        self.apply.clicked.connect(self.apply_here)
        self.on_server.clicked.connect(self.apply_on_server)
        self.back.clicked.connect(self.give_up)
        self._desk.viewer.dims.events.ndisplay.connect(self._on_dimensions)

    def show_overlay(self, overlay: Overlay | None) -> None:
        """Offer the mask of another job; a threshold that is being moved on the one before is given up."""
        if overlay is not None and overlay is self._overlay and self._found is not None:
            return
        self._leave()
        self._overlay = overlay
        job = self._desk.runs.table.get(overlay.job_id) if overlay is not None else None
        self._record = job.record if job is not None else None
        complete = overlay is not None and overlay.final
        has_scores = self._record is not None and self._record.has(SCORES.name) and complete
        self.load.setVisible(has_scores)
        self.load.setEnabled(has_scores)
        self.controls.hide()
        self.said.setText("" if has_scores else "The engine of this mask keeps no scores, or it is not complete.")
        self.said.setVisible(not has_scores)
        if has_scores and self._record is not None and not is_here(self._record.job_id):
            size = next(a.size_bytes for a in self._record.artifacts if a.name == SCORES.name)
            self.load.setText(f"Load the scores ({size_text(size)})")
        else:
            self.load.setText("Load the scores")

    # beginning

    def load_scores(self) -> None:
        """Have the scores here, and let the threshold be moved."""
        if self._record is None:
            return
        record = self._record
        self.load.setEnabled(False)

        def loaded(found: ScoreMap) -> None:
            if record is self._record:
                self._begin(found)

        self._desk.results.scores(record, loaded, self._not_loaded, self._show_loading)

    def _show_loading(self, fraction: float) -> None:
        self.load.setText(f"Loading {fraction:.0%}")

    def _not_loaded(self) -> None:
        self.load.setEnabled(True)
        self.load.setText("Load the scores")

    def _begin(self, found: ScoreMap) -> None:
        self._found = found
        self._live = None
        for widget in (self.high, self.low, self.linked, self.smallest):
            widget.blockSignals(True)  # noqa: FBT003 (Qt's own signature)
        self.high.setValue(found.cut.high)
        self.low.setValue(found.cut.low)
        self.linked.setChecked(found.cut.low < found.cut.high)
        self.smallest.setValue(found.cut.min_voxels * found.voxel_nm3)
        for widget in (self.high, self.low, self.linked, self.smallest):
            widget.blockSignals(False)  # noqa: FBT003
        self.load.hide()
        self.controls.show()
        self._enable()
        if self._record is not None:
            self._desk.results.join_candidates(self._record, found.cut)

    # moving

    def _move(self) -> None:
        found, overlay = self._found, self._overlay
        if found is None or overlay is None or not overlay.in_viewer:
            return
        self.low.setEnabled(self.linked.isChecked())
        low = self.low.value() if self.linked.isChecked() else self.high.value()
        least = round(self.smallest.value() / found.voxel_nm3)
        cut = moved(found.cut, high=self.high.value(), low=low, min_voxels=least)
        if self._live is None:
            self._live = LiveThreshold(found, cut)
            self._show_live()
            self._desk.watching.overlay_changed.emit(overlay.job_id)
        live = self._live
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._record is not None:
            self._desk.results.follow_cut(self._record, cut)
        if is_single_threshold(cut):
            live.move(cut)
            self._draw()
        else:
            # What was kept a moment ago is a good guess until the pieces are known.
            live.move(cut, live.kept)
            self._draw()
            self._task = self._desk.aside.run(
                "Moving the threshold", lambda _task: kept_blocks(found, cut), lambda kept: self._settle(cut, kept)
            )
        self._enable()

    def _settle(self, cut: Any, kept: Any) -> None:  # noqa: ANN401
        self._task = None
        if self._live is not None and self._live.cut == cut:
            self._live.move(cut, kept)
            self._draw()

    def _on_dimensions(self, _event: object = None) -> None:
        if self._live is not None:
            self._show_live()

    def _show_live(self) -> None:
        overlay, found, live = self._overlay, self._found, self._live
        if overlay is None or found is None or live is None:
            return
        if self._desk.viewer.dims.ndisplay == 3:
            overlay.try_on(live.coarse, found.factor)
        else:
            overlay.try_on(live, 1)

    def _draw(self) -> None:
        if self._desk.viewer.dims.ndisplay == 3:
            self._show_live()
        elif self._overlay is not None and self._overlay.in_viewer:
            self._overlay.layer.refresh(thumbnail=False, extent=False)
            self._desk.watching.frame_shown.emit(self._overlay.job_id)

    def _enable(self) -> None:
        moved_away = self._live is not None
        here = self._record is not None and is_here(self._record.job_id)
        self.apply.setEnabled(moved_away)
        self.back.setEnabled(moved_away)
        self.on_server.setVisible(not here)
        self.on_server.setEnabled(moved_away and self._desk.server.offers(RETHRESHOLD))
        self.low.setEnabled(self.linked.isChecked())
        self.said.setVisible(moved_away)
        self.said.setText("A look at the new threshold: apply it, or go back." if moved_away else "")

    # ending

    def give_up(self) -> None:
        """Show the mask as it was."""
        found, overlay = self._found, self._overlay
        self._leave()
        if overlay is not None:
            self._desk.watching.overlay_changed.emit(overlay.job_id)
        if found is not None:
            self._begin(found)

    def _leave(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._live is not None and self._overlay is not None:
            self._overlay.take_off()
        if self._live is not None and self._found is not None and self._record is not None:
            self._desk.results.follow_cut(self._record, self._found.cut)
        self._live, self._found = None, None

    def apply_here(self) -> None:
        """Cut the whole mask in a thread, and show it in place of the one before."""
        overlay, found, live, record = self._overlay, self._found, self._live, self._record
        if overlay is None or found is None or live is None or record is None:
            return
        cut = live.cut
        path = self._desk.downloads.place_for(record.job_id, f"threshold-{cut.high}-{cut.low}-{cut.min_voxels}.mrc")
        self.controls.setEnabled(False)

        def work(task: Task) -> None:
            def step(fraction: float) -> None:
                if task.cancelled():
                    raise JobFailedError("It was stopped.", code=ErrorCode.CANCELLED)
                task.progress(fraction)

            cut_whole(found, cut, path, step=step)

        def done(_none: object) -> None:
            self.controls.setEnabled(True)
            self._leave()
            self._desk.results.show_file(record, path)
            self._begin(replace(found, cut=cut))
            self._desk.results.follow_cut(record, cut)

        self._desk.aside.run(
            "Applying the threshold",
            work,
            done,
            progress=lambda fraction: self.said.setText(f"Cutting the whole mask: {fraction:.0%}"),
            failed=lambda: self.controls.setEnabled(True),
        )

    def apply_on_server(self) -> None:
        """Hand in a job that cuts the scores on the server."""
        record, live, found = self._record, self._live, self._found
        if record is None or live is None or found is None:
            return
        volume = live.cut.min_voxels * found.voxel_nm3
        self._desk.threshold(record, high=live.cut.high, low=live.cut.low, min_volume_nm3=volume)
        self.give_up()
