"""Where a mask goes: a revision beside its tomogram, another program's format, a picture."""

from __future__ import annotations

import uuid
from pathlib import Path

from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from cryomamba.models.jobs import JobRecord
from napari_cryomamba.app.controller import AppController
from napari_cryomamba.app.revisions import TITLES, export_mask, next_revision, save_mask, stem_of, write_centres
from napari_cryomamba.app.task_runner import Task
from napari_cryomamba.layers.masks import Mask
from napari_cryomamba.layers.overlay import Overlay
from napari_cryomamba.models.components import measure_mask
from napari_cryomamba.models.history import Level, Notice
from napari_cryomamba.models.jobs import is_here
from napari_cryomamba.net.messages import JobChanged


class ExportPanel(QWidget):
    """Saves and exports in a thread, and says where the file is."""

    def __init__(self, desk: AppController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self._mask: Mask | None = None
        self._job_id = ""
        self.save = QPushButton("Save revision", self)
        self.save.setToolTip("Save the mask as it is, edits included, as a new file beside the tomogram")
        self.save_as = QPushButton("Save as…", self)
        self.format = QComboBox(self)
        for suffix, title in TITLES.items():
            self.format.addItem(title, suffix)
        self.format.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.export = QPushButton("Export…", self)
        self.snapshot = QPushButton("Picture…", self)
        self.snapshot.setToolTip("Save what the canvas shows, with the scale bar, as PNG")
        self.said = QLabel(self)
        self.said.setWordWrap(True)
        self.to_job = QPushButton("Save to job", self)
        self.to_job.setToolTip("Keep the mask as it is, edits included, with its job on the server, for others too")
        self.note = QLineEdit(self)
        self.note.setPlaceholderText("what was changed")
        self.job_row = QWidget(self)
        first, second, third = QHBoxLayout(), QHBoxLayout(), QHBoxLayout(self.job_row)
        third.setContentsMargins(0, 0, 0, 0)
        third.addWidget(self.to_job)
        third.addWidget(self.note, 1)
        for button in (self.save, self.save_as, self.snapshot):
            first.addWidget(button)
        second.addWidget(self.format, 1)
        second.addWidget(self.export)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(first)
        layout.addWidget(self.job_row)
        layout.addLayout(second)
        layout.addWidget(self.said)
        self.save.clicked.connect(self.save_revision)
        self.to_job.clicked.connect(self.save_to_job)
        self.save_as.clicked.connect(self._choose_revision)
        self.export.clicked.connect(self._choose_export)
        self.snapshot.clicked.connect(self._choose_picture)

    def show_mask(self, mask: Mask | None, overlay: Overlay | None = None) -> None:
        """Offer another mask; `overlay` tells which job made it."""
        self._mask = mask
        self._job_id = overlay.job_id if overlay is not None and not is_here(overlay.job_id) else ""
        finished = mask is not None and not mask.growing
        for widget in (self.save_as, self.export, self.format):
            widget.setEnabled(finished)
        self.save.setEnabled(mask is not None and finished and mask.folder is not None)
        self.job_row.setVisible(bool(self._job_id))
        self.job_row.setEnabled(finished)

    @property
    def suffix(self) -> str:
        """The chosen format's ending."""
        return str(self.format.currentData())

    def save_revision(self) -> None:
        """Save beside the tomogram under the next free name."""
        if self._mask is not None and self._mask.folder is not None:
            self.save_to(next_revision(self._mask.folder, self._mask.tomogram, self._mask.feature))

    def save_to(self, path: Path) -> None:
        """Save the mask as MRC."""
        mask = self._mask
        if mask is None:
            return
        array, like, size, feature = mask.array, mask.like, mask.voxel_size_A, mask.feature
        self.said.setText(f"Saving {path.name} …")
        self._desk.aside.run(
            "Saving the mask",
            lambda task: save_mask(path, array, like, size, engine=feature, progress=task.progress),
            lambda _none: self._say(path),
            progress=lambda fraction: self.said.setText(f"Saving {path.name}: {fraction:.0%}"),
            failed=lambda: self.said.setText(""),
        )

    def save_to_job(self) -> None:
        """Write the mask aside, and send it to its job as a revision."""
        mask, job_id, note = self._mask, self._job_id, self.note.text().strip()
        if mask is None or not job_id:
            return
        array, like, size, feature = mask.array, mask.like, mask.voxel_size_A, mask.feature
        path = self._desk.downloads.place_for(job_id, f".sending-{uuid.uuid4().hex}.mrc")
        self.to_job.setEnabled(False)

        def ready() -> None:
            self.to_job.setEnabled(True)
            path.unlink(missing_ok=True)

        def sent(record: JobRecord) -> None:
            ready()
            self.note.clear()
            self._desk.take(JobChanged(record))
            self.said.setText(f"The job keeps it as {record.newest_mask}.")

        def not_sent() -> None:
            ready()
            self.said.setText("")

        self._desk.aside.run(
            "Saving the mask",
            lambda task: save_mask(path, array, like, size, engine=feature, progress=task.progress),
            lambda _none: self._desk.results.send_revision(job_id, path, note, sent, not_sent),
            progress=lambda fraction: self.said.setText(f"Writing the mask: {fraction:.0%}"),
            failed=not_sent,
        )

    def export_to(self, path: Path) -> None:
        """Write the mask in the format that the name's ending says."""
        mask = self._mask
        if mask is None:
            return
        array, like, size, feature = mask.array, mask.like, mask.voxel_size_A, mask.feature
        names, tomogram = dict(mask.palette.names), mask.tomogram
        self.said.setText(f"Exporting {path.name} …")

        def work(task: Task) -> None:
            if path.suffix == ".star":
                depth, height, width = array.shape
                measured = measure_mask(array, size, names, step=task.progress)
                write_centres(path, measured, tomogram, (depth, height, width), size)
            else:
                export_mask(path, array, like, size, engine=feature, progress=task.progress)

        self._desk.aside.run(
            "Exporting the mask",
            work,
            lambda _none: self._say(path),
            progress=lambda fraction: self.said.setText(f"Exporting {path.name}: {fraction:.0%}"),
            failed=lambda: self.said.setText(""),
        )

    def save_picture(self, path: Path) -> None:
        """Save what the canvas shows as PNG."""
        self._desk.viewer.canvas.overlays.scale_bar.visible = True
        if self._desk.notices.attempt("Saving the picture", lambda: _picture(self._desk, path)):
            self._say(path)

    def _say(self, path: Path) -> None:
        self.said.setText(f"Saved {path.name} in {path.parent}.")
        self._desk.notices.tell(Notice(Level.INFO, f"Saved {path.name}.", context="Keeping the mask"))

    def _offered(self, suffix: str) -> str:
        mask = self._mask
        if mask is None:
            return str(Path.home() / f"picture{suffix}")
        return str((mask.folder or Path.home()) / f"{stem_of(mask.tomogram)}__{mask.feature}{suffix}")

    def _choose_revision(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save the mask", self._offered(".mrc"), "MRC (*.mrc)")
        if name:
            self.save_to(Path(name))

    def _choose_export(self) -> None:
        suffix = self.suffix
        name, _ = QFileDialog.getSaveFileName(self, "Export the mask", self._offered(suffix), f"*{suffix}")
        if name:
            self.export_to(Path(name if name.endswith(suffix) else name + suffix))

    def _choose_picture(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save a picture", self._offered(".png"), "PNG (*.png)")
        if name:
            self.save_picture(Path(name))


def _picture(desk: AppController, path: Path) -> None:
    desk.viewer.screenshot(str(path), canvas_only=True, flash=False)
