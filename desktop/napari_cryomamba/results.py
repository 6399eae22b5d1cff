"""What a finished job left: its files are fetched once, kept, and shown in the viewer."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject

from cryomamba.client import AsyncClient
from cryomamba.engine import ScoreCut
from cryomamba.errors import CryoMambaError, NotFoundError
from cryomamba.records import PICKS, SCORES, Artifact, JobRecord, Spacing
from cryomamba.volumes import inspect

from .aside import Aside, Task
from .local_jobs import STATISTICS
from .models.history import Level, Notice
from .models.jobs import is_here
from .models.picks import Picks, read_picks
from .notices import Notices
from .picks_layer import show_picks
from .runs import Runs
from .signals import Signal
from .thresholds import ScoreMap, load_scores
from .tomogram import Array, open_mask, source_of
from .watching import Watching

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class ShownMask:
    """A mask that was opened: labels (z, y, x) and the size of a voxel."""

    array: Array
    voxel_size_A: Spacing


class Results(QObject):
    """Fetches and shows results. For the GUI thread.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    folder : Path
        Where fetched files are kept, a folder for each job.

    Signals
    -------
    progressed : (str, str)
        A job, and what of it is being fetched how far; an empty text when it is there.
    """

    progressed = Signal(str, str)

    def __init__(
        self,
        viewer: Any,  # noqa: ANN401 (napari has no types)
        runs: Runs,
        watching: Watching,
        aside: Aside,
        notices: Notices,
        folder: Path,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._runs, self._watching = viewer, runs, watching
        self._aside, self._notices, self._folder = aside, notices, folder
        self._fetching: set[tuple[str, str]] = set()
        self.versions: dict[str, str] = {}
        watching.complete.connect(self.show)

    def show(self, record: JobRecord) -> None:
        """Show the newest mask of a job, and its picks, unless they are shown already."""
        overlay = self._watching.overlays.get(record.job_id)
        if record.newest_mask is not None and not (overlay is not None and overlay.final and overlay.in_viewer):
            self.show_version(record, record.newest_mask)
        if record.has(PICKS):
            self.fetch(record, PICKS, lambda path: self._show_picks(record, path))

    def show_version(self, record: JobRecord, name: str) -> None:
        """Show one of a job's masks: the engine's, or a revision."""

        def fetched(path: Path) -> None:
            self._aside.run("Opening the mask", lambda _task: _open(path), opened)

        def opened(mask: ShownMask) -> None:
            self.versions[record.job_id] = name
            self._watching.show_mask(record, mask.array, mask.voxel_size_A)

        self.fetch(record, name, fetched)

    def show_file(self, record: JobRecord, path: Path) -> None:
        """Show a mask of a job's that was made here."""

        def opened(mask: ShownMask) -> None:
            self.versions.pop(record.job_id, None)
            self._watching.show_mask(record, mask.array, mask.voxel_size_A)

        self._aside.run("Opening the mask", lambda _task: _open(path), opened)

    def _show_picks(self, record: JobRecord, path: Path) -> None:
        tomogram = self._watching.tomogram_of(record)

        def shown(picks: Picks) -> None:
            source = source_of(tomogram) if tomogram is not None else None
            size = source.meta.voxel_size_A if source is not None else record.volume.voxel_size_A
            show_picks(self._viewer, record, picks, size)

        self._aside.run("Opening the picks", lambda _task: read_picks(path), shown)

    # files

    def fetch(
        self,
        record: JobRecord,
        name: str,
        done: Callable[[Path], None],
        failed: Callable[[], None] | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Have a file of a job on this machine, and go on with its path; what was fetched before is taken as it is."""
        job_id = record.job_id
        if is_here(job_id):
            done(self._runs.local.file(job_id, name))
            return
        artifact = next((found for found in record.artifacts if found.name == name), None)
        target = self._folder / job_id / name
        if artifact is not None and _is_there(target, artifact):
            done(target)
            return
        if (job_id, name) in self._fetching:
            return
        self._fetching.add((job_id, name))

        def step(count: int, total: int) -> None:
            fraction = count / total if total else 0.0
            self.progressed.emit(job_id, f"Fetching {name}: {fraction:.0%}")
            if progress is not None:
                progress(fraction)

        async def ask(client: AsyncClient) -> Path:
            await asyncio.to_thread(target.parent.mkdir, parents=True, exist_ok=True)
            return await client.download(job_id, name, target, progress=step)

        def ended() -> None:
            self._fetching.discard((job_id, name))
            self.progressed.emit(job_id, "")

        def arrived(path: Path) -> None:
            ended()
            done(path)

        def broken(error: CryoMambaError) -> None:
            ended()
            self._notices.tell_error(error, f"Fetching {name}")
            if failed is not None:
                failed()

        self._runs.bridge.ask(f"Fetching {name}", ask, arrived, broken)

    def forget(self, job_id: str) -> None:
        """Remove what was fetched of a job."""
        self.versions.pop(job_id, None)
        shutil.rmtree(self._folder / job_id, ignore_errors=True)

    def place_for(self, job_id: str, name: str) -> Path:
        """Return where something that is made here of a job's results may be kept, as long as the job is listed."""
        path = self._runs.local.file(job_id, name) if is_here(job_id) else self._folder / job_id / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

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
            self.fetch(record, STATISTICS, lambda facts: read(path, facts), failed)

        def read(path: Path, facts: Path) -> None:
            def work(task: Task) -> ScoreMap:
                return load_scores(path, _cut_of(facts), step=task.progress)

            self._aside.run("Reading the scores", work, done, progress, failed)

        self.fetch(record, SCORES, with_scores, failed, progress)

    # back to the job

    def send_revision(
        self, job_id: str, path: Path, note: str, done: Callable[[JobRecord], None], not_sent: Callable[[], None]
    ) -> None:
        """Keep an edited mask, a file on this machine, with its job on the server."""

        def step(count: int, total: int) -> None:
            self.progressed.emit(job_id, f"Sending the revision: {count / total:.0%}" if total else "")

        def sent(record: JobRecord) -> None:
            self.progressed.emit(job_id, "")
            name = record.newest_mask or ""
            self.versions[job_id] = name
            self._notices.tell(Notice(Level.INFO, f"The job keeps it as {name}.", context="Keeping the mask"))
            done(record)

        def failed(error: CryoMambaError) -> None:
            self.progressed.emit(job_id, "")
            self._notices.tell_error(error, "Sending the revision")
            not_sent()

        async def ask(client: AsyncClient) -> JobRecord:
            return await client.revise(job_id, path, note=note, progress=step)

        self._runs.bridge.ask("Sending the revision", ask, sent, failed)


def _is_there(path: Path, artifact: Artifact) -> bool:
    try:
        return path.stat().st_size == artifact.size_bytes
    except OSError:
        return False


def _open(path: Path) -> ShownMask:
    return ShownMask(open_mask(path), inspect(path).voxel_size_A)


def _cut_of(facts: Path) -> ScoreCut:
    """Return the thresholds that a job's statistics name.

    Raises
    ------
    NotFoundError
        They name none.
    """
    cut: dict[str, int] | None = json.loads(facts.read_text(encoding="utf-8")).get("threshold")
    if cut is None:
        raise NotFoundError("The job does not say at which threshold its mask was cut.", hint="Run it again.")
    return ScoreCut(cut["high"], cut["low"], cut.get("min_voxels", 0))
