"""The table of jobs as Qt's model, and its progress bars."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QRect, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPalette
from qtpy.QtWidgets import QSizePolicy, QStyledItemDelegate, QStyleOptionViewItem, QTableView, QWidget

from cryomamba.engines.info import EngineInfo
from cryomamba.models.jobs import JobState
from cryomamba.printable import printable
from napari_cryomamba.models.job_details import as_lines, changed_parameters, details, when_text
from napari_cryomamba.models.jobs import Job, JobKind, JobTable
from napari_cryomamba.widgets.theme import State, state_colors

COLUMNS = ("Name", "Progress", "State", "Time", "Started", "Engine", "Parameters")
NAME, PROGRESS, STATE, TIME = 0, 1, 2, 3
_STATES: dict[JobState, State] = {JobState.FAILED: "error", JobState.COMPLETED: "ok", JobState.CANCELLED: "inactive"}
Index = QModelIndex | QPersistentModelIndex


_HEIGHT = 112
"""Pixels: three rows, with the header and the scroll bar."""


class JobTableView(QTableView):
    """A table that asks for three rows and takes what is left.

    With the policy to ignore its hint it would count as nothing where the panel is too low, and lie over the buttons.
    """

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setMinimumHeight(_HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def sizeHint(self) -> QSize:
        """Return the usual width and the height of three rows."""
        return QSize(super().sizeHint().width(), _HEIGHT)


class JobTableModel(QAbstractTableModel):
    """Shows the jobs of a table, newest first, in a panel."""

    def __init__(self, table: JobTable, engine: Callable[[str], EngineInfo | None], panel: QWidget) -> None:
        super().__init__(panel)
        self._table, self._engine, self._panel = table, engine, panel
        self._rows: list[Job] = []

    def refresh(self) -> None:
        """Show the jobs as they are; the selection stays if the same jobs are listed."""
        rows = self._table.rows
        if [job.job_id for job in rows] == [job.job_id for job in self._rows]:
            self._rows = rows
            if rows:
                self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, len(COLUMNS) - 1))
            return
        self.beginResetModel()
        self._rows = rows
        self.endResetModel()

    def tick(self) -> bool:
        """Show the times as they are now; return whether any job is unfinished."""
        unfinished = [row for row, job in enumerate(self._rows) if not job.record.state.final]
        for row in unfinished:
            self.dataChanged.emit(self.index(row, PROGRESS), self.index(row, TIME))
        return bool(unfinished)

    def job(self, row: int) -> Job | None:
        """Return the job of a row."""
        return self._rows[row] if 0 <= row < len(self._rows) else None

    def row_of(self, job_id: str) -> int:
        """Return the row of a job, −1 if it is not shown."""
        return next((row for row, job in enumerate(self._rows) if job.job_id == job_id), -1)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 (Qt's own signature)
        """Return the number of jobs."""
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Return the number of columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: ANN401
        """Return the name of a column."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section]
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: ANN401
        """Return the content of a cell."""
        job = self.job(index.row())
        if job is None:
            return None
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return printable(self._text(job, index.column()))
            case Qt.ItemDataRole.UserRole:
                return _fraction(job)
            case Qt.ItemDataRole.ForegroundRole if index.column() == STATE:
                state = _STATES.get(job.record.state)
                return None if state is None else QColor(state_colors(self._panel).of(state))
            case Qt.ItemDataRole.ToolTipRole:
                return self._tooltip(job)
        return None

    def _text(self, job: Job, column: int) -> str:
        record = job.record
        local = " (local)" if job.kind is JobKind.LOCAL else ""
        return (
            record.name or record.volume.name,
            f"{_fraction(job) * 100:.0f} %",
            job.state_text,
            job.time_text(datetime.now(UTC)),
            when_text(record),
            f"{record.engine}{local}",
            ", ".join(changed_parameters(record, self._engine(record.engine))),
        )[column]

    def _tooltip(self, job: Job) -> str:
        name = printable(f"{job.record.volume.name} · job {job.job_id}")
        error = [printable(job.error_text)] if job.error_text else []
        return "\n".join([name, *error, as_lines(details(job.record, self._engine(job.record.engine)))])


def _fraction(job: Job) -> float:
    return 1.0 if job.record.state is JobState.COMPLETED else job.progress.fraction


class ProgressDelegate(QStyledItemDelegate):
    """Paints a progress bar in a table.

    Parameters
    ----------
    table : QWidget
        Whose window's colours are used.
    """

    def __init__(self, table: QWidget) -> None:
        super().__init__(table)
        self._table = table

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Paint one cell."""
        palette = self._table.window().palette()
        frame = option.rect.adjusted(3, 4, -3, -4)
        done = QRect(frame)
        done.setWidth(round(frame.width() * float(index.data(Qt.ItemDataRole.UserRole) or 0)))
        painter.save()
        painter.fillRect(frame, palette.color(QPalette.ColorRole.Window))
        painter.fillRect(done, QColor(state_colors(self._table).bar))
        painter.setPen(palette.color(QPalette.ColorRole.WindowText))
        painter.drawText(option.rect, Qt.AlignmentFlag.AlignCenter, str(index.data()))
        painter.restore()
