"""Edits of a finished mask beyond napari's brush: pieces and holes."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QSpinBox, QVBoxLayout, QWidget

from cryomamba.errors import InvalidRequestError
from napari_cryomamba.desk import Desk
from napari_cryomamba.masks import Indices, Mask, apply_edit, find_holes, find_other_pieces, find_small_pieces
from napari_cryomamba.models.history import Level, Notice


class EditPanel(QWidget):
    """Each edit runs aside and goes through napari's history, so that Ctrl-Z takes it back."""

    def __init__(self, desk: Desk, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self._mask: Mask | None = None
        self.smallest = QSpinBox(self)
        self.smallest.setRange(1, 10_000_000)
        self.smallest.setValue(100)
        self.smallest.setSuffix(" voxels")
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
        self.small.clicked.connect(self.remove_small_pieces)
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
        self.volume.setText(f"≙ {self.smallest.value() * z * y * x / 1000:,.0f} nm³")

    def _mode(self, mode: str) -> None:
        if self._mask is not None:
            self._desk.viewer.layers.selection.active = self._mask.layer
            self._mask.layer.mode = mode

    def _undo(self) -> None:
        if self._mask is not None:
            self._mask.layer.undo()

    def remove_small_pieces(self) -> None:
        """Remove every piece with fewer voxels than the field says, of every label."""
        if self._mask is not None:
            array, least = self._mask.array, self.smallest.value()
            labels = self._mask.palette.labels or [1]
            self._edit("Removing small pieces", lambda: find_small_pieces(array, labels, least), 0)

    def fill_holes(self) -> None:
        """Fill what the selected label encloses."""
        if self._mask is not None:
            array, label = self._mask.array, int(self._mask.layer.selected_label) or 1
            self._edit("Filling holes", lambda: find_holes(array, label), label)

    def keep_this_piece(self) -> None:
        """Keep the piece under the cursor, and remove the others of its label."""
        mask = self._mask
        if mask is None:
            return
        point = mask.layer.world_to_data(self._desk.viewer.cursor.position[-3:])
        z, y, x = (round(float(value)) for value in point)
        if not all(0 <= at < side for at, side in zip((z, y, x), mask.array.shape, strict=True)):
            error = InvalidRequestError("The cursor is not on the mask.", hint="Move it onto the piece to keep.")
            self._desk.tell(Notice.of_error(error, context="Keeping a piece"))
            return
        array = mask.array
        self._edit("Keeping a piece", lambda: find_other_pieces(array, (z, y, x)), 0)

    def _edit(self, context: str, find: Callable[[], Indices], label: int) -> None:
        mask = self._mask
        if mask is None or not self._desk.attempt(context, mask.require_finished):
            return
        self.setEnabled(False)

        def done(indices: Indices) -> None:
            self.setEnabled(True)
            count = apply_edit(mask.layer, indices, label)
            self._desk.tell(Notice(Level.INFO, f"{count:,} voxels changed.", context=context))

        self._desk.aside.run(context, lambda _task: find(), done, failed=lambda: self.setEnabled(True))
