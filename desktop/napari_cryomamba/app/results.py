"""The results of finished jobs: downloaded once and shown in the viewer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from qtpy.QtCore import QObject

from cryomamba.client import AsyncClient
from cryomamba.engines.artifacts import CANDIDATES, PICKS, SCORES, STATISTICS, UNCERTAINTY
from cryomamba.errors import CryoMambaError, NotFoundError
from cryomamba.geometry import Spacing
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba.models.jobs import JobRecord
from cryomamba.picks import Kind, Picks, read_csv
from cryomamba.volumes import inspect
from napari_cryomamba.app.downloads import Downloads, Progress
from napari_cryomamba.app.task_runner import Task
from napari_cryomamba.app.window_context import WindowContext
from napari_cryomamba.layers.picks import add_hidden, diameter_A, picks_of_job, show_above, show_picks
from napari_cryomamba.layers.selection import selection_kept
from napari_cryomamba.layers.tomogram import Array, open_mask, source_of
from napari_cryomamba.layers.uncertainty import uncertainty_layer, uncertainty_of_job
from napari_cryomamba.models.notifications import Level, Notification
from napari_cryomamba.models.thresholds import ScoreMap, load_scores
from napari_cryomamba.napari_types import Layer
from napari_cryomamba.net.messages import JobChanged


@dataclass(frozen=True, slots=True)
class OpenMask:
    """A mask that was opened: labels (z, y, x) and the voxel size."""

    array: Array
    voxel_size_A: Spacing


class Results(QObject):
    """Downloads and shows results; `shown` names each job's mask, unless it was made here. For the GUI thread."""

    def __init__(self, context: WindowContext, downloads: Downloads, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._jobs, self._preview = context.viewer, context.jobs, context.preview
        self._bridge, self._downloads = context.server.bridge, downloads
        self._tasks, self._notifications = context.tasks, context.notifications
        self.shown: dict[str, str] = {}
        self._with_candidates: set[str] = set()
        self._preview.job_completed.connect(self.show)

    # masks and picks

    def show(self, record: JobRecord) -> None:
        """Show the newest mask of a job, and its picks, unless they are shown already.

        They are not shown either if the job's preview is removed while they are downloaded and opened.
        """
        overlay = self._preview.overlays.get(record.job_id)
        before = overlay if overlay is not None and overlay.in_viewer else None

        def is_wanted() -> bool:
            return before is None or before.in_viewer

        if (name := record.newest_mask) is not None and not (before is not None and before.final):
            self._downloads.fetch(record, name, lambda path: self._show_mask(record, path, name, is_wanted))
        if record.has(PICKS.name):
            self._downloads.fetch(record, PICKS.name, lambda path: self._show_picks(record, path, is_wanted))

    def show_version(self, record: JobRecord, name: str) -> None:
        """Show one of a job's masks: the engine's, or a corrected one."""
        self._downloads.fetch(record, name, lambda path: self._show_mask(record, path, name))

    def show_file(self, record: JobRecord, path: Path) -> None:
        """Show a mask of a job that was made on this machine."""
        self._show_mask(record, path, "")

    def _show_mask(
        self, record: JobRecord, path: Path, name: str, is_wanted: Callable[[], bool] = lambda: True
    ) -> None:
        def opened(mask: OpenMask) -> None:
            if not is_wanted():
                return
            self.shown[record.job_id] = name
            self._preview.show_mask(record, mask.array, mask.voxel_size_A)

        self._tasks.run(
            f"Opening {path.name} of {record.name or record.volume.name}",
            lambda _task: OpenMask(open_mask(path), inspect(path).voxel_size_A),
            opened,
        )

    def _show_picks(self, record: JobRecord, path: Path, is_wanted: Callable[[], bool]) -> None:
        tomogram = self._preview.tomogram_of(record)
        info = self._jobs.engine(record.engine)

        def opened(picks: Picks) -> None:
            if not is_wanted():
                return
            source = source_of(tomogram) if tomogram is not None else None
            size = source.meta.voxel_size_A if source is not None else record.volume.voxel_size_A
            self._with_candidates.discard(record.job_id)
            with selection_kept(self._viewer):
                show_picks(self._viewer, record, picks, size, diameter_A(record, info))

        kind: Kind = info.picks if info is not None and info.picks is not None else "particles"
        self._tasks.run(f"Opening {path.name} of {record.name}", lambda _task: read_csv(path, kind), opened)

    def show_uncertainty(self, record: JobRecord, mask: Layer, *, visible: bool) -> None:
        """Show the uncertainty of a job below its finished mask, or hide it; downloads it first if need be."""
        layer = uncertainty_of_job(self._viewer, record.job_id)
        if layer is not None:
            layer.visible = visible
        elif visible:
            self._downloads.fetch(record, UNCERTAINTY.name, lambda path: self._open_uncertainty(record, mask, path))

    def _open_uncertainty(self, record: JobRecord, mask: Layer, path: Path) -> None:
        def opened(percent: Array) -> None:
            layers = self._viewer.layers
            if mask in layers and uncertainty_of_job(self._viewer, record.job_id) is None:
                with selection_kept(self._viewer):
                    layers.insert(layers.index(mask), uncertainty_layer(percent, mask, record.job_id))

        self._tasks.run(f"Opening {path.name} of {record.name}", lambda _task: open_mask(path), opened)

    def forget(self, job_id: str) -> None:
        """Delete the downloaded files of a job."""
        self.shown.pop(job_id, None)
        self._with_candidates.discard(job_id)
        self._downloads.forget(job_id)

    # score maps

    def load_scores(
        self,
        record: JobRecord,
        done: Callable[[ScoreMap], None],
        failed: Callable[[], None],
        progress: Progress | None = None,
    ) -> None:
        """Download the score map of a job, and the threshold that its mask was made with."""

        def on_scores(scores: Path) -> None:
            self._downloads.fetch(record, STATISTICS.name, lambda statistics: read(scores, statistics), failed)

        def read(scores: Path, statistics: Path) -> None:
            def work(task: Task) -> ScoreMap:
                return load_scores(scores, _threshold_of(statistics), progress=task.progress)

            self._tasks.run(f"Reading the score map of {record.name}", work, done, progress, failed)

        self._downloads.fetch(record, SCORES.name, on_scores, failed, progress)

    def load_candidates(self, record: JobRecord, threshold: HysteresisThreshold) -> None:
        """Add to a job's picks, hidden, those that a lower threshold than the job's own would show."""
        if not record.has(CANDIDATES.name) or record.job_id in self._with_candidates:
            return
        self._with_candidates.add(record.job_id)

        def on_downloaded(path: Path) -> None:
            self._tasks.run(f"Opening {path.name} of {record.name}", lambda _task: read_csv(path), add)

        def add(candidates: Picks) -> None:
            layer = picks_of_job(self._viewer, record.job_id)
            if layer is not None:
                below = np.ones(len(candidates), np.bool_)
                below[candidates.indices_above(threshold.high, threshold.low)] = False
                add_hidden(layer, candidates.select(below))

        self._downloads.fetch(record, CANDIDATES.name, on_downloaded)

    def filter_picks(self, record: JobRecord, threshold: HysteresisThreshold) -> None:
        """Show those of a job's picks that are above a threshold."""
        layer = picks_of_job(self._viewer, record.job_id)
        if layer is not None and record.job_id in self._with_candidates:
            show_above(layer, threshold.high, threshold.low)

    def path_for(self, job_id: str, name: str) -> Path:
        """Return where a file that is made from a job's results may be kept for as long as the job is listed."""
        return self._downloads.path_for(job_id, name)

    # corrected masks

    def upload_version(
        self, job_id: str, path: Path, comment: str, done: Callable[[JobRecord], None], failed: Callable[[], None]
    ) -> None:
        """Upload a corrected mask, a file on this machine, as a new version of the job's mask."""

        def report(count: int, total: int) -> None:
            text = f"Uploading the mask: {count / total:.0%}" if total else ""
            self._downloads.progress_changed.emit(job_id, text)

        def on_done(record: JobRecord) -> None:
            self._downloads.progress_changed.emit(job_id, "")
            self.shown[job_id] = record.newest_mask or ""
            text = f"Saved with the job as {record.newest_mask}."
            self._notifications.notify(Notification(Level.INFO, text, context="Saving the mask"))
            self._jobs.message_received.emit(JobChanged(record))
            done(record)

        def on_failed(error: CryoMambaError) -> None:
            self._downloads.progress_changed.emit(job_id, "")
            self._notifications.notify_error(error, "Uploading the mask")
            failed()

        async def call(client: AsyncClient) -> JobRecord:
            return await client.revise(job_id, path, note=comment, progress=report)

        self._bridge.request("Uploading the mask", call, on_done, on_failed)


def _threshold_of(statistics: Path) -> HysteresisThreshold:
    found: dict[str, int] | None = json.loads(statistics.read_text(encoding="utf-8")).get("threshold")
    if found is None:
        raise NotFoundError("The job's statistics have no threshold.", hint="Run the job again.")
    return HysteresisThreshold(found["high"], found["low"], found.get("min_voxels", 0))
