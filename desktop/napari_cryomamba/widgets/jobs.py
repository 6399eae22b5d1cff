"""The table of jobs."""

from __future__ import annotations

import time
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QRect, Qt, QTimer
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from cryomamba.models.jobs import JobState
from napari_cryomamba.app.controller import AppController
from napari_cryomamba.models.jobs import Job, is_here, is_sending
from napari_cryomamba.signals import Signal

COLUMNS = ("Name", "Engine", "State", "Progress", "To go")
PROGRESS = 3
Index = QModelIndex | QPersistentModelIndex
_TICK_MS = 500
_BAR, _BAR_BACK = "#3f6fb5", "#1c1f26"
_COLORS = {JobState.FAILED: "#f85149", JobState.COMPLETED: "#3fb950", JobState.CANCELLED: "#8b949e"}


class JobTableModel(QAbstractTableModel):
    """Shows the desk's jobs, newest first."""

    def __init__(self, desk: AppController) -> None:
        super().__init__(desk)
        self._desk = desk
        self._rows: list[Job] = []

    def refresh(self) -> None:
        """Take the jobs as they are; the selection stays where rows only change."""
        rows = self._desk.runs.table.rows
        if [job.job_id for job in rows] == [job.job_id for job in self._rows]:
            self._rows = rows
            if rows:
                self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, len(COLUMNS) - 1))
            return
        self.beginResetModel()
        self._rows = rows
        self.endResetModel()

    def job(self, row: int) -> Job | None:
        """Return the job of a row."""
        return self._rows[row] if 0 <= row < len(self._rows) else None

    def row_of(self, job_id: str) -> int:
        """Return the row of a job, −1 if it is not shown."""
        return next((row for row, job in enumerate(self._rows) if job.job_id == job_id), -1)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 (Qt's own signature)
        """Return how many jobs there are."""
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Return how many columns there are."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: ANN401
        """Return a column's name."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section]
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: ANN401
        """Return what a cell shows."""
        job = self.job(index.row())
        if job is None:
            return None
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return self._text(job, index.column())
            case Qt.ItemDataRole.UserRole:
                return 1.0 if job.record.state is JobState.COMPLETED else job.progress.fraction
            case Qt.ItemDataRole.ForegroundRole if index.column() == 2 and job.record.state in _COLORS:
                return QColor(_COLORS[job.record.state])
            case Qt.ItemDataRole.ToolTipRole:
                return job.error_text or f"{job.record.volume.name} · job {job.job_id}"
        return None

    @staticmethod
    def _text(job: Job, column: int) -> str:
        record = job.record
        here = " (here)" if is_here(job.job_id) else ""
        percent = 100.0 if record.state is JobState.COMPLETED else job.progress.fraction * 100
        return (
            record.name or record.volume.name,
            f"{record.engine}{here}",
            job.state_text,
            f"{percent:.0f} %",
            job.eta_text,
        )[column]


class ProgressDelegate(QStyledItemDelegate):
    """Paints a progress bar."""

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        """Paint one cell."""
        frame = option.rect.adjusted(3, 4, -3, -4)
        done = QRect(frame)
        done.setWidth(round(frame.width() * float(index.data(Qt.ItemDataRole.UserRole) or 0)))
        painter.save()
        painter.fillRect(frame, QColor(_BAR_BACK))
        painter.fillRect(done, QColor(_BAR))
        painter.setPen(QColor("white"))
        painter.drawText(option.rect, Qt.AlignmentFlag.AlignCenter, str(index.data()))
        painter.restore()


class JobsPanel(QWidget):
    """The table, what can be done with the selected job, and how its preview fares.

    Signals
    -------
    error_wanted : str
        The person asks for the messages of a job.
    """

    error_wanted = Signal(str)

    def __init__(self, desk: AppController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self._fetching: dict[str, str] = {}
        self.model = JobTableModel(desk)
        self.table = QTableView(self)
        self.table.setModel(self.model)
        self.table.setItemDelegateForColumn(PROGRESS, ProgressDelegate(self.table))
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setMinimumHeight(110)
        rows, columns = self.table.verticalHeader(), self.table.horizontalHeader()
        rows.hide()
        rows.setDefaultSectionSize(22)
        columns.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        columns.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        columns.setMinimumSectionSize(64)
        self.show_button = QPushButton("Show", self)
        self.cancel_button = QPushButton("Cancel", self)
        self.retry_button = QPushButton("Retry", self)
        self.remove_button = QPushButton("Remove", self)
        self.remove_button.setToolTip("Take the job out of this table; its files stay on the server")
        self.everyone = QCheckBox("All jobs of the server", self)
        self.everyone.setChecked(desk.runs.table.show_all)
        self.error = QLabel(self)
        self.error.setWordWrap(True)
        self.error.setStyleSheet("color: #f85149;")
        self.preview = QLabel(self)
        self.preview.setWordWrap(True)
        self._build()
        self._ticks = QTimer(self)
        self._ticks.setInterval(_TICK_MS)
        self._ticks.timeout.connect(self._show_preview)
        self._connect()
        self.refresh()

    def _build(self) -> None:
        buttons = QHBoxLayout()
        for button in (self.show_button, self.cancel_button, self.retry_button, self.remove_button):
            buttons.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(self.table, 1)
        layout.addLayout(buttons)
        layout.addWidget(self.error)
        layout.addWidget(self.preview)
        layout.addWidget(self.everyone)

    def _connect(self) -> None:
        selection = self.table.selectionModel()
        if selection is not None:
            selection.selectionChanged.connect(self._enable)
        self.table.doubleClicked.connect(self._show_selected)
        self.show_button.clicked.connect(self._show_selected)
        self.cancel_button.clicked.connect(lambda: self._with_selected(self._desk.runs.cancel))
        self.retry_button.clicked.connect(lambda: self._with_selected(self._desk.runs.retry))
        self.remove_button.clicked.connect(lambda: self._with_selected(self._desk.runs.remove))
        self.everyone.toggled.connect(lambda on: self._desk.runs.show_all(show=on))
        self._desk.runs.changed.connect(self.refresh)
        self._desk.runs.started.connect(self.select)
        self._desk.watching.frame_shown.connect(self._show_preview)
        self._desk.server.changed.connect(self._show_preview)
        self._desk.downloads.progressed.connect(self._show_fetching)

    @property
    def selected(self) -> Job | None:
        """The selected job; the newest if none is."""
        index = self.table.currentIndex()
        return self.model.job(index.row() if index.isValid() else 0)

    def select(self, job_id: str) -> None:
        """Select a job."""
        row = self.model.row_of(job_id)
        if row >= 0:
            self.table.selectRow(row)

    def refresh(self) -> None:
        """Show the jobs as they are."""
        kept = self.selected
        self.model.refresh()
        if kept is not None and self.selected != kept:
            self.select(kept.job_id)
        self._enable()

    def _enable(self) -> None:
        job = self.selected
        self.show_button.setEnabled(job is not None)
        self.cancel_button.setEnabled(job is not None and job.can_cancel)
        self.retry_button.setEnabled(job is not None and job.can_retry)
        self.remove_button.setEnabled(job is not None and job.record.state.final)
        failed = job is not None and job.record.state is JobState.FAILED
        self.error.setText(job.error_text if job is not None and failed else "")
        self.error.setVisible(failed)
        self._show_preview()

    def _show_preview(self) -> None:
        job = self.selected
        if job is not None and self._fetching.get(job.job_id):
            self.preview.setText(self._fetching[job.job_id])
            return
        watching = job is not None and self._desk.watching.is_watched(job.job_id)
        if job is None or not watching or is_sending(job.job_id):
            self.preview.setText("")
            self._ticks.stop()
            return
        link = self._desk.server.link
        where = "in this process" if job.local else f"by {link.transport or 'network'}"
        latency = "" if job.local or link.latency_s is None else f", {link.latency_s * 1000:.0f} ms"
        text = self._desk.watching.frame_place(job.job_id).statistics.text(time.time())
        self.preview.setText(f"{text} · {where}{latency}")
        if not self._ticks.isActive():
            self._ticks.start()

    def _show_fetching(self, job_id: str, text: str) -> None:
        self._fetching[job_id] = text
        self._show_preview()

    def _show_selected(self) -> None:
        self._with_selected(self._desk.show_job)

    def _with_selected(self, action: Any) -> None:  # noqa: ANN401 (one of the desk's methods)
        job = self.selected
        if job is not None:
            action(job.job_id)
