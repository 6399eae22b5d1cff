"""The jobs, what can be done with them, and the state of the selected job's preview."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from qtpy.QtCore import QPoint, Qt, QTimer, Signal
from qtpy.QtWidgets import QAbstractItemView, QCheckBox, QHeaderView, QMenu, QWidget

from cryomamba.models.jobs import JobState
from napari_cryomamba.app.downloads import Downloads
from napari_cryomamba.app.jobs import JobController
from napari_cryomamba.app.preview import PreviewController
from napari_cryomamba.app.server import ServerConnection
from napari_cryomamba.models.connection import TRANSPORTS
from napari_cryomamba.models.frames import FrameStore
from napari_cryomamba.models.job_details import as_lines, changed_parameters, decided_rows
from napari_cryomamba.models.jobs import Job, JobKind
from napari_cryomamba.widgets.clipboard import copy_text
from napari_cryomamba.widgets.job_table import NAME, PROGRESS, STATE, JobTableModel, JobTableView, ProgressDelegate
from napari_cryomamba.widgets.layout import button, hbox, text_label, vbox

_TICK_MS = 500
_WIDTHS = {NAME: 110, PROGRESS: 64, STATE: 150}
"""Pixels; the other columns are as wide as their text. A longer state is shown whole below the table."""


class JobsPanel(QWidget):
    """The table with a menu for each job, buttons for the selected one, its error, warnings, details and preview.

    Signals
    -------
    parameters_requested : JobRecord
        The next job is to have the parameters of this one.
    """

    parameters_requested = Signal(object)

    def __init__(
        self,
        jobs: JobController,
        preview: PreviewController,
        frames: FrameStore,
        server: ServerConnection,
        downloads: Downloads,
    ) -> None:
        super().__init__()
        self._jobs, self._preview, self._frames, self._server = jobs, preview, frames, server
        self._transfers: dict[str, str] = {}
        self.model = JobTableModel(jobs.table, jobs.engine, self)
        self.table = JobTableView(self)
        self.show_button = button("Show", self, self._show_selected)
        self.cancel_button = button("Cancel", self, lambda: self._with_selected(self._jobs.cancel))
        self.retry_button = button("Retry", self, lambda: self._with_selected(self._jobs.retry))
        self.remove_button = button("Remove", self, lambda: self._with_selected(self._jobs.remove))
        self.remove_button.setToolTip("Remove the job from this table; a job on the server stays there with its files")
        self.show_all = QCheckBox("Show all jobs on the server", self)
        self.show_all.setChecked(jobs.table.show_all)
        self.status = text_label()
        self.error = text_label(state="error")
        self.warnings = text_label(state="warning")
        self.details = text_label()
        self.preview = text_label()
        self._build()
        self._timer = QTimer(self)
        self._timer.setInterval(_TICK_MS)
        self._timer.timeout.connect(self._tick)
        self._connect(downloads)
        self.refresh()

    def _build(self) -> None:
        self.table.setModel(self.model)
        self.table.setItemDelegateForColumn(PROGRESS, ProgressDelegate(self.table))
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        rows, columns = self.table.verticalHeader(), self.table.horizontalHeader()
        rows.hide()
        rows.setDefaultSectionSize(22)
        columns.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        for column, width in _WIDTHS.items():
            columns.setSectionResizeMode(column, QHeaderView.ResizeMode.Interactive)
            self.table.setColumnWidth(column, width)
        columns.setMinimumSectionSize(48)
        buttons = hbox(self.show_button, self.cancel_button, self.retry_button, self.remove_button)
        vbox(
            self,
            self.table,
            buttons,
            self.status,
            self.error,
            self.warnings,
            self.details,
            self.preview,
            self.show_all,
            margin=4,
            stretch=self.table,
        )

    def _connect(self, downloads: Downloads) -> None:
        selection = self.table.selectionModel()
        if selection is not None:
            selection.selectionChanged.connect(self._update_buttons)
        self.table.doubleClicked.connect(self._show_selected)
        self.table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.table.customContextMenuRequested.connect(self._open_menu)
        self.show_all.toggled.connect(lambda on: self._jobs.show_all(show=on))
        self._jobs.changed.connect(self.refresh)
        self._jobs.started.connect(self.select)
        self._preview.frame_drawn.connect(self._show_preview)
        self._server.state_changed.connect(self._show_preview)
        downloads.progress_changed.connect(self._show_transfer)

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
        before = self.selected
        self.model.refresh()
        if before is not None and self.selected != before:
            self.select(before.job_id)
        self._update_buttons()

    def _update_buttons(self) -> None:
        job = self.selected
        self.show_button.setEnabled(job is not None)
        self.cancel_button.setEnabled(job is not None and job.can_cancel)
        self.retry_button.setEnabled(job is not None and job.can_retry)
        self.remove_button.setEnabled(job is not None and job.record.state.final)
        failed = job is not None and job.record.state is JobState.FAILED
        self.error.setText(job.error_text if job is not None and failed else "")
        self.error.setVisible(failed)
        for label, text in (
            (self.warnings, "" if job is None else job.warning_text),
            (self.details, "" if job is None else self._details(job)),
        ):
            label.setText(text)
            label.setVisible(bool(text))
        self._show_status()
        self._show_preview()
        if job is not None and not self._timer.isActive():
            self._timer.start()

    def _details(self, job: Job) -> str:
        parameters = ", ".join(changed_parameters(job.record, self._jobs.engine(job.record.engine)))
        return as_lines([*([("Parameters", parameters)] if parameters else []), *decided_rows(job.record)])

    def _show_status(self) -> None:
        job = self.selected
        unfinished = job is not None and not job.record.state.final
        self.status.setVisible(unfinished)
        if job is not None and unfinished:
            time_text = job.time_text(datetime.now(UTC))
            self.status.setText(f"{job.state_text} · {time_text}" if time_text else job.state_text)

    def _tick(self) -> None:
        self._show_status()
        self._show_preview()
        if not self.model.tick():
            self._timer.stop()

    def _show_preview(self) -> None:
        job = self.selected
        if job is not None and self._transfers.get(job.job_id):
            self.preview.setText(self._transfers[job.job_id])
        elif job is None or not self._preview.is_watched(job.job_id) or job.kind is JobKind.UPLOAD:
            self.preview.clear()
        else:
            text = self._frames[job.job_id].statistics.text(time.time())
            self.preview.setText(f"{text} · {self._transport(job)}")

    def _transport(self, job: Job) -> str:
        if job.kind is JobKind.LOCAL:
            return "on this computer"
        state = self._server.state
        latency = "" if state.latency_s is None else f", {state.latency_s * 1000:.0f} ms"
        return f"{TRANSPORTS.get(state.transport, 'not connected')}{latency}"

    def _show_transfer(self, job_id: str, text: str) -> None:
        self._transfers[job_id] = text
        self._show_preview()

    def make_menu(self) -> QMenu | None:
        """Return the menu of the selected job."""
        job = self.selected
        if job is None:
            return None
        menu = QMenu(self)
        for text, enabled, action in (
            ("&Show", True, self._show_selected),
            (
                "&Use these parameters",
                job.kind is not JobKind.UPLOAD,
                lambda: self.parameters_requested.emit(job.record),
            ),
            ("&Cancel", job.can_cancel, lambda: self._with_selected(self._jobs.cancel)),
            ("&Retry", job.can_retry, lambda: self._with_selected(self._jobs.retry)),
            ("Re&move", job.record.state.final, lambda: self._with_selected(self._jobs.remove)),
            ("Copy &id", True, lambda: copy_text(job.job_id)),
        ):
            menu.addAction(text, action).setEnabled(enabled)
        return menu

    def _open_menu(self, where: QPoint) -> None:
        menu = self.make_menu() if self.table.indexAt(where).isValid() else None
        if menu is not None:
            menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            menu.popup(self.table.viewport().mapToGlobal(where))

    def _show_selected(self) -> None:
        self._with_selected(self._preview.show_job)

    def _with_selected(self, action: Callable[[str], None]) -> None:
        job = self.selected
        if job is not None:
            action(job.job_id)
