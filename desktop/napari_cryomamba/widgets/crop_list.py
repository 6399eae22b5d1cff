"""The crops of a page of picks: how they look, and the keys that decide on them."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QImage, QKeyEvent, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QListWidget, QWidget

from napari_cryomamba.models.gallery import Review

CROP_PIXELS = 56
_FRAME = 3
_COLORS = {Review.OPEN: "#777777", Review.ACCEPTED: "#009e73", Review.REJECTED: "#d55e00"}
_MOVES = {
    Qt.Key.Key_Left: (0, 0, -1),
    Qt.Key.Key_Right: (0, 0, 1),
    Qt.Key.Key_Up: (0, -1, 0),
    Qt.Key.Key_Down: (0, 1, 0),
    Qt.Key.Key_PageUp: (1, 0, 0),
    Qt.Key.Key_PageDown: (-1, 0, 0),
}
_DECISIONS = {Qt.Key.Key_A: Review.ACCEPTED, Qt.Key.Key_R: Review.REJECTED, Qt.Key.Key_U: Review.OPEN}

Array = Any


class CropList(QListWidget):
    """The crops of a page.

    Signals
    -------
    decided : Review
    moved : tuple of int
        Steps along z, y, x.
    turned : int
        To the next page (1) or the previous (-1).
    """

    decided = Signal(object)
    moved = Signal(object)
    turned = Signal(int)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        side = CROP_PIXELS + 2 * _FRAME
        self.setViewMode(QListWidget.ViewMode.IconMode)
        self.setMovement(QListWidget.Movement.Static)
        self.setResizeMode(QListWidget.ResizeMode.Adjust)
        self.setUniformItemSizes(True)
        self.setIconSize(QSize(side, side))
        self.setGridSize(QSize(side + 4, side + 4))
        self.setMinimumHeight(3 * (side + 4) + 4)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Decide, move, or turn the page."""
        if event is None:
            return
        key = Qt.Key(event.key())
        row, last = self.currentRow(), self.count() - 1
        if event.modifiers() & Qt.KeyboardModifier.ShiftModifier and key in _MOVES:
            self.moved.emit(_MOVES[key])
        elif key in _DECISIONS:
            self.decided.emit(_DECISIONS[key])
        elif key == Qt.Key.Key_PageDown or (key == Qt.Key.Key_Right and row == last):
            self.turned.emit(1)
        elif key == Qt.Key.Key_PageUp or (key == Qt.Key.Key_Left and row == 0):
            self.turned.emit(-1)
        elif key in {Qt.Key.Key_Left, Qt.Key.Key_Right}:
            self.setCurrentRow(row + (1 if key == Qt.Key.Key_Right else -1))
        else:
            super().keyPressEvent(event)


def framed_icon(pixels: Array, review: Review) -> QIcon:
    """Return a crop with a frame in the colour of its review; a rejected one is crossed out."""
    height, width = pixels.shape
    # The image does not copy the bytes, so they have to live until it is drawn.
    content = np.ascontiguousarray(pixels).tobytes()
    image = QImage(content, width, height, width, QImage.Format.Format_Grayscale8)
    side = CROP_PIXELS + 2 * _FRAME
    framed = QPixmap(side, side)
    framed.fill(QColor(_COLORS[review]))
    painter = QPainter(framed)
    painter.drawImage(_FRAME, _FRAME, image)
    if review is Review.REJECTED:
        painter.setPen(QPen(QColor(_COLORS[review]), 2))
        painter.drawLine(_FRAME, _FRAME, side - _FRAME, side - _FRAME)
    painter.end()
    icon = QIcon(framed)
    # Otherwise Qt tints the one that is chosen.
    icon.addPixmap(framed, QIcon.Mode.Selected)
    return icon
