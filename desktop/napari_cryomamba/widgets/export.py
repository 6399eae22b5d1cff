"""Saving a mask beside its tomogram or with its job, exporting it, and taking a picture."""

from __future__ import annotations

import uuid
from pathlib import Path

from qtpy.QtWidgets import QComboBox, QLineEdit, QWidget

from cryomamba.models.jobs import JobRecord
from napari_cryomamba.app.edits import Edits
from napari_cryomamba.app.notifications import Notifications
from napari_cryomamba.app.results import Results
from napari_cryomamba.app.revisions import TITLES, export_mask, next_version, save_mask, stem_of, write_centres
from napari_cryomamba.app.task_runner import Task, TaskRunner
from napari_cryomamba.layers.masks import Mask
from napari_cryomamba.layers.overlay import Overlay
from napari_cryomamba.layers.tomograms import require_savable
from napari_cryomamba.models.components import measure_mask
from napari_cryomamba.models.jobs import JobKind, kind_of
from napari_cryomamba.models.notifications import Level, Notification
from napari_cryomamba.napari_types import Viewer
from napari_cryomamba.widgets.layout import button, hbox, text_label, vbox
from napari_cryomamba.widgets.save_dialog import choose_file


class ExportPanel(QWidget):
    """Writes files in threads, and shows where they are."""

    def __init__(
        self, viewer: Viewer, results: Results, edits: Edits, tasks: TaskRunner, notifications: Notifications
    ) -> None:
        super().__init__()
        self._viewer, self._results, self._edits = viewer, results, edits
        self._tasks, self._notifications = tasks, notifications
        self._mask: Mask | None = None
        self._job_id = ""
        self.save_button = button("Save new version", self, self.save_version)
        self.save_button.setToolTip("Save the mask with its edits as a new file in the tomogram's folder")
        self.save_as_button = button("Save as…", self, self._choose_file)
        self.format = QComboBox(self)
        for suffix, title in TITLES.items():
            self.format.addItem(title, suffix)
        self.format.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.export_button = button("Export…", self, self._choose_export)
        self.picture_button = button("Picture…", self, self._choose_picture)
        self.picture_button.setToolTip("Save the canvas with the scale bar as PNG")
        self.status = text_label()
        self.job_row = QWidget(self)
        self.job_button = button("Save to job", self.job_row, self.save_to_job)
        self.job_button.setToolTip("Upload the mask with its edits to its job on the server, where others can see it")
        self.comment = QLineEdit(self.job_row)
        self.comment.setPlaceholderText("Comment")
        self._build()

    def _build(self) -> None:
        self.job_row.setLayout(hbox(self.job_button, self.comment, stretch=self.comment))
        save = hbox(self.save_button, self.save_as_button, self.picture_button)
        vbox(self, save, self.job_row, hbox(self.format, self.export_button, stretch=self.format), self.status)

    def show_mask(self, mask: Mask | None, overlay: Overlay | None = None) -> None:
        """Show another mask; `overlay` is that of the job that made it."""
        self._mask = mask
        on_server = overlay is not None and kind_of(overlay.job_id) is JobKind.SERVER
        self._job_id = overlay.job_id if overlay is not None and on_server else ""
        finished = mask is not None and mask.finished
        for widget in (self.save_as_button, self.export_button, self.format):
            widget.setEnabled(finished)
        self.save_button.setEnabled(mask is not None and finished and mask.folder is not None)
        self.job_row.setVisible(bool(self._job_id))
        self.job_row.setEnabled(finished)

    def save_version(self) -> None:
        """Save beside the tomogram under the next free name."""
        if self._mask is not None and self._mask.folder is not None:
            self.save_to(next_version(self._mask.folder, self._mask.tomogram, self._mask.feature))

    def save_to(self, path: Path) -> None:
        """Save the mask as MRC."""
        mask = self._mask
        if mask is None or not self._is_savable("Saving the mask", path):
            return
        array, header, size, feature = mask.array, mask.header, mask.voxel_size_A, mask.feature
        state, names = self._edits.state(mask.layer), dict(mask.palette.names)
        self.status.setText(f"Saving {path.name} …")

        def saved(_none: object) -> None:
            self._edits.mark_saved(mask.layer, state)
            self._on_saved("Mask", path)

        self._tasks.run(
            "Saving the mask",
            lambda task: save_mask(path, array, header, size, engine=feature, names=names, progress=task.progress),
            saved,
            progress=lambda fraction: self.status.setText(f"Saving {path.name}: {fraction:.0%}"),
            failed=self.status.clear,
        )

    def save_to_job(self) -> None:
        """Write the mask into a temporary file, and upload it as a new version of its job's mask."""
        mask, job_id, comment = self._mask, self._job_id, self.comment.text().strip()
        if mask is None or not job_id:
            return
        array, header, size, feature = mask.array, mask.header, mask.voxel_size_A, mask.feature
        path = self._results.path_for(job_id, f".upload-{uuid.uuid4().hex}.mrc")
        state, names = self._edits.state(mask.layer), dict(mask.palette.names)
        self.job_button.setEnabled(False)

        def ended() -> None:
            self.job_button.setEnabled(True)
            path.unlink(missing_ok=True)

        def done(record: JobRecord) -> None:
            ended()
            self._edits.mark_saved(mask.layer, state)
            self.comment.clear()
            self.status.setText(f"Mask saved with the job as {record.newest_mask}.")

        def failed() -> None:
            ended()
            self.status.clear()

        self._tasks.run(
            "Saving the mask",
            lambda task: save_mask(path, array, header, size, engine=feature, names=names, progress=task.progress),
            lambda _none: self._results.upload_version(job_id, path, comment, done, failed),
            progress=lambda fraction: self.status.setText(f"Writing the mask: {fraction:.0%}"),
            failed=failed,
        )

    def export_to(self, path: Path) -> None:
        """Write the mask in the format of the file extension."""
        mask = self._mask
        if mask is None or not self._is_savable("Exporting the mask", path):
            return
        array, header, size, feature = mask.array, mask.header, mask.voxel_size_A, mask.feature
        names, tomogram = dict(mask.palette.names), mask.tomogram
        self.status.setText(f"Exporting {path.name} …")

        def work(task: Task) -> None:
            if path.suffix == ".star":
                depth, height, width = array.shape
                measured = measure_mask(array, size, names, progress=task.progress)
                write_centres(path, measured, tomogram, (depth, height, width), size)
            else:
                export_mask(path, array, header, size, engine=feature, progress=task.progress)

        self._tasks.run(
            "Exporting the mask",
            work,
            lambda _none: self._on_saved("Mask", path),
            progress=lambda fraction: self.status.setText(f"Exporting {path.name}: {fraction:.0%}"),
            failed=self.status.clear,
        )

    def save_picture(self, path: Path) -> None:
        """Save the canvas as PNG."""
        if not self._is_savable("Saving the picture", path):
            return
        self._viewer.canvas.overlays.scale_bar.visible = True

        def save() -> None:
            self._viewer.screenshot(str(path), canvas_only=True, flash=False)

        if self._notifications.report_errors("Saving the picture", save):
            self._on_saved("Picture", path)

    def _is_savable(self, context: str, path: Path) -> bool:
        return self._notifications.report_errors(context, lambda: require_savable(self._viewer, path))

    def _on_saved(self, what: str, path: Path) -> None:
        self.status.setText(f"{what} saved: {path.name} in {path.parent}.")
        self._notifications.notify(Notification(Level.INFO, f"{what} saved: {path.name}."))

    def _suggested(self, suffix: str) -> str:
        mask = self._mask
        if mask is None:
            return str(Path.home() / f"picture{suffix}")
        return str((mask.folder or Path.home()) / f"{stem_of(mask.tomogram)}__{mask.feature}{suffix}")

    def _choose_file(self) -> None:
        path = choose_file(self, "Save the mask", self._suggested(".mrc"), ".mrc", "MRC (*.mrc)")
        if path is not None:
            self.save_to(path)

    def _choose_export(self) -> None:
        suffix = str(self.format.currentData())
        path = choose_file(self, "Export the mask", self._suggested(suffix), suffix)
        if path is not None:
            self.export_to(path)

    def _choose_picture(self) -> None:
        path = choose_file(self, "Save a picture", self._suggested(".png"), ".png", "PNG (*.png)")
        if path is not None:
            self.save_picture(path)
