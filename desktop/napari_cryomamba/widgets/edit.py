"""Edits of a finished mask beyond napari's brush: pieces and holes."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QDoubleSpinBox, QGridLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from cryomamba.errors import InvalidRequestError
from napari_cryomamba.app.controller import AppController
from napari_cryomamba.layers.masks import Mask, apply_edit
from napari_cryomamba.models.components import Edit, fill_holes, keep_component, remove_small_components
from napari_cryomamba.models.history import Level, Notice


class EditPanel(QWidget):
    """Each edit runs aside and goes through napari's history, so that Ctrl-Z takes it back."""

    def __init__(self, desk: AppController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self._mask: Mask | None = None
        self.smallest = QDoubleSpinBox(self)
        self.smallest.setRange(0.1, 1e9)
        self.smallest.setDecimals(1)
        self.smallest.setValue(1000)
        self.smallest.setSuffix(" nm³")
        self.volume = QLabel(self)
        self.small = QPushButton("Remove small pieces", self)
        self.holes = QPushButton("Fill holes", self)
        self.piece = QPushButton("Keep this piece", self)
        self.piece.setToolTip("Keep only the piece under the cursor's last place on the canvas (Alt-K)")
        self.paint = QPushButton("Brush", self)
        self.erase = QPushButton("Eraser", self)
        self.undo = QPushButton("Undo", self)
        hint = QLabel("Brush, eraser, fill and polygon are napari's own: keys 2, 1, 3, 4 and P.", self)
        hint.setWordWrap(True)
        tools, grid = QHBoxLayout(), QGridLayout()
        for button in (self.paint, self.erase, self.undo):
            tools.addWidget(button)
        grid.addWidget(self.small, 0, 0)
        grid.addWidget(self.smallest, 0, 1)
        grid.addWidget(self.volume, 0, 2)
        grid.addWidget(self.holes, 1, 0)
        grid.addWidget(self.piece, 1, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(tools)
        layout.addLayout(grid)
        layout.addWidget(hint)
        self.small.clicked.connect(self.remove_small_components)
        self.holes.clicked.connect(self.fill_holes)
        self.piece.clicked.connect(self.keep_this_piece)
        self.paint.clicked.connect(lambda: self._mode("paint"))
        self.erase.clicked.connect(lambda: self._mode("erase"))
        self.undo.clicked.connect(self._undo)
        self.smallest.valueChanged.connect(self._show_volume)

    def show_mask(self, mask: Mask | None) -> None:
        """Offer another mask."""
        self._mask = mask
        self.setEnabled(mask is not None and not mask.growing)
        self._show_volume()

    def _show_volume(self) -> None:
        if self._mask is None:
            return
        z, y, x = self._mask.voxel_size_A
        self.volume.setText(f"≙ {self.smallest.value() * 1000 / (z * y * x):,.0f} voxels")

    def _mode(self, mode: str) -> None:
        if self._mask is not None:
            self._desk.viewer.layers.selection.active = self._mask.layer
            self._mask.layer.mode = mode

    def _undo(self) -> None:
        if self._mask is not None:
            self._mask.layer.undo()

    def remove_small_components(self) -> None:
        """Remove every piece below the volume in the field, of every label."""
        if self._mask is not None:
            array, size, least = self._mask.array, self._mask.voxel_size_A, self.smallest.value()
            self._edit("Removing small pieces", lambda: remove_small_components(array, size, least))

    def fill_holes(self) -> None:
        """Fill what the mask encloses."""
        if self._mask is not None:
            array, size = self._mask.array, self._mask.voxel_size_A
            self._edit("Filling holes", lambda: fill_holes(array, size))

    def keep_this_piece(self) -> None:
        """Keep the piece under the cursor, and remove the others of its label."""
        mask = self._mask
        if mask is None:
            return
        point = mask.layer.world_to_data(self._desk.viewer.cursor.position[-3:])
        z, y, x = (round(float(value)) for value in point)
        if not all(0 <= at < side for at, side in zip((z, y, x), mask.array.shape, strict=True)):
            error = InvalidRequestError("The cursor is not on the mask.", hint="Move it onto the piece to keep.")
            self._desk.notices.tell(Notice.of_error(error, context="Keeping a piece"))
            return
        array, size = mask.array, mask.voxel_size_A
        self._edit("Keeping a piece", lambda: keep_component(array, size, (z, y, x)))

    def _edit(self, context: str, find: Callable[[], Edit]) -> None:
        mask = self._mask
        if mask is None or not self._desk.notices.attempt(context, mask.require_finished):
            return
        self.setEnabled(False)

        def done(edit: Edit) -> None:
            self.setEnabled(True)
            apply_edit(mask.layer, edit)
            self._desk.notices.tell(Notice(Level.INFO, f"{len(edit):,} voxels changed.", context=context))

        self._desk.aside.run(context, lambda _task: find(), done, failed=lambda: self.setEnabled(True))
