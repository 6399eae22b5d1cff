"""Where a mask goes: a revision beside its tomogram, another program's format, a picture."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_cryomamba.aside import Task
from napari_cryomamba.desk import Desk
from napari_cryomamba.masks import Mask
from napari_cryomamba.models.history import Level, Notice
from napari_cryomamba.pieces import measure_mask
from napari_cryomamba.revisions import (
    TITLES,
    export_mask,
    next_revision,
    save_mask,
    stem_of,
    write_star,
)


class KeepPanel(QWidget):
    """Saves and exports in a thread, and says where the file is."""

    def __init__(self, desk: Desk, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self._mask: Mask | None = None
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
        first, second = QHBoxLayout(), QHBoxLayout()
        for button in (self.save, self.save_as, self.snapshot):
            first.addWidget(button)
        second.addWidget(self.format, 1)
        second.addWidget(self.export)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(first)
        layout.addLayout(second)
        layout.addWidget(self.said)
        self.save.clicked.connect(self.save_revision)
        self.save_as.clicked.connect(self._choose_revision)
        self.export.clicked.connect(self._choose_export)
        self.snapshot.clicked.connect(self._choose_picture)

    def show_mask(self, mask: Mask | None) -> None:
        """Offer another mask."""
        self._mask = mask
        finished = mask is not None and not mask.growing
        for widget in (self.save_as, self.export, self.format):
            widget.setEnabled(finished)
        self.save.setEnabled(mask is not None and finished and mask.folder is not None)

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
                write_star(path, measured, tomogram, (depth, height, width), size)
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
        if self._desk.attempt("Saving the picture", lambda: _picture(self._desk, path)):
            self._say(path)

    def _say(self, path: Path) -> None:
        self.said.setText(f"Saved {path.name} in {path.parent}.")
        self._desk.tell(Notice(Level.INFO, f"Saved {path.name}.", context="Keeping the mask"))

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


def _picture(desk: Desk, path: Path) -> None:
    desk.viewer.screenshot(str(path), canvas_only=True, flash=False)
