"""Writes the report of a session: its jobs, the masks as they are shown, and a picture of each."""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal

from cryomamba._version import __version__
from cryomamba.atomic import write_atomically
from napari_cryomamba.app.task_runner import Task
from napari_cryomamba.app.window_context import WindowContext
from napari_cryomamba.layers.overlay import Overlay
from napari_cryomamba.layers.picks import picks_in, picks_of_job
from napari_cryomamba.layers.section_picture import label_voxels, section_png
from napari_cryomamba.layers.tomogram import Array, source_of
from napari_cryomamba.layers.tomograms import require_savable
from napari_cryomamba.models.job_details import details
from napari_cryomamba.models.jobs import Job, JobKind
from napari_cryomamba.models.notifications import Level, Notification
from napari_cryomamba.models.palette import Palette
from napari_cryomamba.models.session_report import JobReport, LabelVolume, Picture, TomogramReport, session_report

SUFFIX = ".html"


@dataclass(frozen=True, slots=True)
class _Entry:
    """A job as it is when the report is asked for; voxels are read later, in a thread."""

    tomogram: TomogramReport
    job: JobReport
    mask: Array | None
    density: Any
    palette: Palette


class SessionReports(QObject):
    """Collects what the report has, and writes it in a thread. For the GUI thread.

    Signals
    -------
    written : Path
        The page is there.
    """

    written = Signal(object)

    def __init__(self, context: WindowContext, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._jobs, self._preview = context.viewer, context.jobs, context.preview
        self._server, self._tasks = context.server, context.tasks
        self._notifications, self._preferences = context.notifications, context.preferences
        self._began = datetime.now(UTC)

    @property
    def suggested(self) -> Path:
        """Where the report may be written: beside the tomogram of the newest job."""
        paths = [self._jobs.tomogram_path(job.record) for job in self._reported()]
        folder = next((Path(path).parent for path in paths if path and Path(path).is_file()), Path.home())
        return folder / f"cryomamba-session-{datetime.now():%Y-%m-%d-%H%M}{SUFFIX}"

    def write(self, path: Path) -> None:
        """Write the report of the jobs of this session, and of those whose masks are shown."""
        if not self._notifications.report_errors("Writing the report", lambda: require_savable(self._viewer, path)):
            return
        entries = [self._entry(job) for job in self._reported()]
        title = f"CryoMamba session of {self._began.astimezone():%d %B %Y}"
        environment = self._environment()
        y_up = self._preferences.values.y_up

        def work(task: Task) -> None:
            tomograms: dict[str, TomogramReport] = {}
            for number, entry in enumerate(entries):
                task.progress(number / len(entries))
                found = tomograms.setdefault(entry.tomogram.where or entry.tomogram.name, entry.tomogram)
                found.jobs.append(_with_mask(entry, y_up=y_up))
            write_atomically(path, session_report(title, environment, tomograms.values()))

        def done(_nothing: None) -> None:
            self._notifications.notify(Notification(Level.INFO, f"Report written: {path.name} in {path.parent}."))
            self.written.emit(path)

        self._tasks.run("Writing the report", work, done)

    def _reported(self) -> list[Job]:
        shown = self._preview.overlays
        jobs = [job for job in self._jobs.table.rows if job.kind is not JobKind.UPLOAD]
        return [job for job in jobs if job.record.created_at >= self._began or job.job_id in shown]

    def _environment(self) -> list[tuple[str, str]]:
        now = datetime.now(UTC).astimezone()
        return [
            ("Written", f"{now:%Y-%m-%d %H:%M %Z}"),
            ("Program", f"CryoMamba {__version__}, Python {platform.python_version()} on {platform.system()}"),
            ("Server", self._server.state.server or "not connected"),
        ]

    def _entry(self, job: Job) -> _Entry:
        record = job.record
        overlay = self._preview.overlays.get(job.job_id)
        layer = self._preview.tomogram_of(record)
        source = source_of(layer) if layer is not None else None
        size = source.meta.voxel_size_A if source is not None else record.volume.voxel_size_A
        where = self._jobs.tomogram_path(record) or ""
        picks = picks_of_job(self._viewer, job.job_id)
        report = JobReport(
            title=record.engine,
            state=job.state_text,
            rows=self._rows(job),
            warnings=[str(text) for text in record.warning_texts],
            error=job.error_text,
            picks=None if picks is None else len(picks_in(picks)),
        )
        name = record.volume.name or record.name or "demo"
        tomogram = TomogramReport(name, record.volume.shape, size, where)
        density = None if layer is None else layer.data
        return _Entry(tomogram, report, _mask(overlay), density, Palette() if overlay is None else overlay.palette)

    def _rows(self, job: Job) -> list[tuple[str, str]]:
        record = job.record
        rows = details(record, self._jobs.engine(record.engine))
        if record.started_at is not None:
            rows.append(("Started", f"{record.started_at.astimezone():%Y-%m-%d %H:%M:%S}"))
        if duration := job.time_text(datetime.now(UTC)):
            rows.append(("Time", duration))
        rows.append(("Where", "on this computer" if job.kind is JobKind.LOCAL else f"server, job {job.job_id}"))
        return rows


def _mask(overlay: Overlay | None) -> Array | None:
    """Return the finished mask that is shown, corrections included."""
    if overlay is None or not overlay.in_viewer or not overlay.final or overlay.temporary:
        return None
    mask: Array = overlay.layer.data
    return mask


def _with_mask(entry: _Entry, *, y_up: bool) -> JobReport:
    if entry.mask is None:
        return entry.job
    counts, section = label_voxels(entry.mask)
    colors = {label: entry.palette.color(label) for label in counts}
    labels = [LabelVolume(label, entry.palette.name(label), colors[label], count) for label, count in counts.items()]
    if entry.density is None or entry.density.shape != entry.mask.shape:
        return replace(entry.job, labels=labels)
    png = section_png(entry.density, entry.mask, section, colors, y_up=y_up)
    return replace(entry.job, labels=labels, picture=Picture(png, section + 1))
