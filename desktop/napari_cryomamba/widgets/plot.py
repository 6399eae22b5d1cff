"""A small plot of one curve."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPalette, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

_MARGIN = 4
_TICKS = 4
_COLOR = "#56b4e9"

Floats = npt.NDArray[np.float64]


class LinePlot(QWidget):
    """Draws y over x with a few ticks; gaps where y is not finite."""

    def __init__(self, x_title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._x_title = x_title
        self.position: Floats = np.empty(0)
        self.value: Floats = np.empty(0)
        self.setMinimumHeight(9 * self.fontMetrics().height())
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_curve(self, x: Floats, y: Floats) -> None:
        """Draw another curve."""
        self.position, self.value = x, y
        self.update()

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Draw axes and curve."""
        finite = np.isfinite(self.value)
        if not finite.any():
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        x_ticks, y_ticks = (
            ticks(0.0, float(self.position[-1])),
            ticks(float(self.value[finite].min()), float(self.value[finite].max())),
        )
        metrics = painter.fontMetrics()
        labels = [f"{value:.3g}" for value in y_ticks]
        left = max(metrics.horizontalAdvance(text) for text in labels) + 2 * _MARGIN
        below = 2 * metrics.height() + _MARGIN
        area = QRectF(left, metrics.height() / 2, self.width() - left - 3 * _MARGIN, self.height() - below - _MARGIN)
        low, high = min(y_ticks[0], float(self.value[finite].min())), max(y_ticks[-1], float(self.value[finite].max()))

        def at(x: float, y: float) -> QPointF:
            right = x / (float(self.position[-1]) or 1.0)
            up = (y - low) / ((high - low) or 1.0)
            return QPointF(area.left() + right * area.width(), area.bottom() - up * area.height())

        text = self.palette().color(QPalette.ColorRole.WindowText)
        faint = self.palette().color(QPalette.ColorRole.Mid)
        for value, label in zip(y_ticks, labels, strict=True):
            y = at(0, value).y()
            painter.setPen(QPen(faint, 1))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(text)
            box = QRectF(0, y - metrics.height() / 2, left - _MARGIN, metrics.height())
            painter.drawText(box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, label)
        for value in x_ticks:
            x = at(value, low).x()
            box = QRectF(x - 40, area.bottom() + 2, 80, metrics.height())
            painter.drawText(box, Qt.AlignmentFlag.AlignHCenter, f"{value:.4g}")
        title = QRectF(area.left(), area.bottom() + metrics.height(), area.width(), metrics.height())
        painter.drawText(title, Qt.AlignmentFlag.AlignHCenter, self._x_title)
        painter.setPen(QPen(QColor(_COLOR), 1.5))
        for run in np.split(np.arange(len(self.position)), np.flatnonzero(np.diff(finite)) + 1):
            if finite[run[0]]:
                painter.drawPolyline(QPolygonF([at(float(self.position[i]), float(self.value[i])) for i in run]))
        painter.end()


def ticks(low: float, high: float) -> list[float]:
    """Return about four round numbers from `low` to `high`."""
    span = high - low or abs(high) or 1.0
    raw = span / _TICKS
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= raw)
    first = math.ceil(low / step)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)] or [low]
