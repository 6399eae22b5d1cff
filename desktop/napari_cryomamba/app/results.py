"""What a finished job left: its files are fetched once, kept, and shown in the viewer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QObject

from cryomamba.client import AsyncClient
from cryomamba.engines.artifacts import CANDIDATES, PICKS, SCORES, STATISTICS
from cryomamba.errors import CryoMambaError, NotFoundError
from cryomamba.geometry import Spacing
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba.models.jobs import JobRecord
from cryomamba.picks import Kind, Picks, read_csv
from cryomamba.volumes import inspect
from napari_cryomamba.app.downloads import Downloads, Progress
from napari_cryomamba.app.jobs import JobController
from napari_cryomamba.app.notifications import Notifications
from napari_cryomamba.app.preview import PreviewController
from napari_cryomamba.app.task_runner import Task, TaskRunner
from napari_cryomamba.app.thresholds import ScoreMap, load_scores
from napari_cryomamba.layers.picks import add_hidden, diameter_A, picks_of_job, show_above, show_picks
from napari_cryomamba.layers.tomogram import Array, open_mask, source_of
from napari_cryomamba.models.history import Level, Notice


@dataclass(frozen=True, slots=True)
class ShownMask:
    """A mask that was opened: labels (z, y, x) and the size of a voxel."""

    array: Array
    voxel_size_A: Spacing


class Results(QObject):
    """Fetches and shows results. For the GUI thread.

    Attributes
    ----------
    downloads : Downloads
    versions : dict
        Which of a job's masks is shown, by job; none where it is one that was made here.
    """

    def __init__(
        self,
        viewer: Any,  # noqa: ANN401 (napari has no types)
        runs: JobController,
        watching: PreviewController,
        aside: TaskRunner,
        notices: Notifications,
        downloads: Downloads,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._runs, self._watching = viewer, runs, watching
        self._aside, self._notices, self.downloads = aside, notices, downloads
        self.versions: dict[str, str] = {}
        self._joined: set[str] = set()
        watching.complete.connect(self.show)

    def show(self, record: JobRecord) -> None:
        """Show the newest mask of a job, and its picks, unless they are shown already."""
        overlay = self._watching.overlays.get(record.job_id)
        if record.newest_mask is not None and not (overlay is not None and overlay.final and overlay.in_viewer):
            self.show_version(record, record.newest_mask)
        if record.has(PICKS.name):
            self.downloads.fetch(record, PICKS.name, lambda path: self._show_picks(record, path))

    def show_version(self, record: JobRecord, name: str) -> None:
        """Show one of a job's masks: the engine's, or a revision."""

        def fetched(path: Path) -> None:
            self._aside.run("Opening the mask", lambda _task: _open(path), opened)

        def opened(mask: ShownMask) -> None:
            self.versions[record.job_id] = name
            self._watching.show_mask(record, mask.array, mask.voxel_size_A)

        self.downloads.fetch(record, name, fetched)

    def show_file(self, record: JobRecord, path: Path) -> None:
        """Show a mask of a job's that was made here."""

        def opened(mask: ShownMask) -> None:
            self.versions.pop(record.job_id, None)
            self._watching.show_mask(record, mask.array, mask.voxel_size_A)

        self._aside.run("Opening the mask", lambda _task: _open(path), opened)

    def _show_picks(self, record: JobRecord, path: Path) -> None:
        tomogram = self._watching.tomogram_of(record)
        info = next((info for info in self._runs.engines if info.name == record.engine), None)

        def shown(picks: Picks) -> None:
            source = source_of(tomogram) if tomogram is not None else None
            size = source.meta.voxel_size_A if source is not None else record.volume.voxel_size_A
            self._joined.discard(record.job_id)
            show_picks(self._viewer, record, picks, size, diameter_A(record, info))

        kind: Kind = info.picks if info is not None and info.picks is not None else "particles"
        self._aside.run("Opening the picks", lambda _task: read_csv(path, kind), shown)

    def forget(self, job_id: str) -> None:
        """Remove what was fetched of a job."""
        self.versions.pop(job_id, None)
        self._joined.discard(job_id)
        self.downloads.forget(job_id)

    # scores

    def scores(
        self,
        record: JobRecord,
        done: Callable[[ScoreMap], None],
        failed: Callable[[], None],
        progress: Progress | None = None,
    ) -> None:
        """Have the scores of a job, and the cut that its mask was made with."""

        def with_scores(path: Path) -> None:
            self.downloads.fetch(record, STATISTICS.name, lambda facts: read(path, facts), failed)

        def read(path: Path, facts: Path) -> None:
            def work(task: Task) -> ScoreMap:
                return load_scores(path, _cut_of(facts), step=task.progress)

            self._aside.run("Reading the scores", work, done, progress, failed)

        self.downloads.fetch(record, SCORES.name, with_scores, failed, progress)

    def join_candidates(self, record: JobRecord, cut: HysteresisThreshold) -> None:
        """Add to a job's picks, hidden, those that a lower threshold than the job's own would show."""
        if not record.has(CANDIDATES.name) or record.job_id in self._joined:
            return
        self._joined.add(record.job_id)

        def arrived(path: Path) -> None:
            self._aside.run("Opening the picks", lambda _task: read_csv(path), read)

        def read(every: Picks) -> None:
            layer = picks_of_job(self._viewer, record.job_id)
            if layer is not None:
                below = np.ones(len(every), np.bool_)
                below[every.above(cut.high, cut.low)] = False
                add_hidden(layer, every.chosen(below))

        self.downloads.fetch(record, CANDIDATES.name, arrived)

    def follow_cut(self, record: JobRecord, cut: HysteresisThreshold) -> None:
        """Show of a job's picks those that a threshold leaves."""
        layer = picks_of_job(self._viewer, record.job_id)
        if layer is not None and record.job_id in self._joined:
            show_above(layer, cut.high, cut.low)

    # back to the job

    def send_revision(
        self, job_id: str, path: Path, note: str, done: Callable[[JobRecord], None], not_sent: Callable[[], None]
    ) -> None:
        """Keep an edited mask, a file on this machine, with its job on the server."""

        def step(count: int, total: int) -> None:
            self.downloads.progressed.emit(job_id, f"Sending the revision: {count / total:.0%}" if total else "")

        def sent(record: JobRecord) -> None:
            self.downloads.progressed.emit(job_id, "")
            name = record.newest_mask or ""
            self.versions[job_id] = name
            self._notices.tell(Notice(Level.INFO, f"The job keeps it as {name}.", context="Keeping the mask"))
            done(record)

        def failed(error: CryoMambaError) -> None:
            self.downloads.progressed.emit(job_id, "")
            self._notices.tell_error(error, "Sending the revision")
            not_sent()

        async def ask(client: AsyncClient) -> JobRecord:
            return await client.revise(job_id, path, note=note, progress=step)

        self._runs.bridge.ask("Sending the revision", ask, sent, failed)


def _open(path: Path) -> ShownMask:
    return ShownMask(open_mask(path), inspect(path).voxel_size_A)


def _cut_of(facts: Path) -> HysteresisThreshold:
    """Return the thresholds that a job's statistics name.

    Raises
    ------
    NotFoundError
        They name none.
    """
    cut: dict[str, int] | None = json.loads(facts.read_text(encoding="utf-8")).get("threshold")
    if cut is None:
        raise NotFoundError("The job does not say at which threshold its mask was cut.", hint="Run it again.")
    return HysteresisThreshold(cut["high"], cut["low"], cut.get("min_voxels", 0))
