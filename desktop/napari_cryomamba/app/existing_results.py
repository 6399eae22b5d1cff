"""Results that exist for a tomogram that is opened: masks beside its file, and finished jobs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from qtpy.QtCore import QObject, Signal

from cryomamba.client import AsyncClient
from cryomamba.errors import CryoMambaError, VolumeError
from cryomamba.file_names import split_result_name, stem
from cryomamba.models.jobs import JobRecord, JobState
from cryomamba.volumes import inspect, result_kind
from napari_cryomamba.app.tomograms import TomogramController
from napari_cryomamba.app.window_context import WindowContext
from napari_cryomamba.layers.tomogram import source_of
from napari_cryomamba.napari_types import Layer, LayerEvent
from napari_cryomamba.net.messages import JobChanged

SHOWN_MAX = 5
"""How many results are shown at a time, the newest: each is downloaded or read."""
_ASKED_MAX = 50


@dataclass(slots=True)
class ExistingResults:
    """What was found for a tomogram, newest first."""

    tomogram: Layer
    files: list[Path] = field(default_factory=list)
    jobs: list[JobRecord] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.files) + len(self.jobs)


class ResultFinder(QObject):
    """Looks for results of each tomogram that is opened. For the GUI thread; :meth:`close` it.

    Signals
    -------
    found : ExistingResults
        There are some that are not shown.
    """

    found = Signal(object)

    def __init__(self, context: WindowContext, tomograms: TomogramController, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._jobs, self._preview = context.viewer, context.jobs, context.preview
        self._tomograms, self._server, self._tasks = tomograms, context.server, context.tasks
        self._viewer.layers.events.inserted.connect(self._on_inserted)

    def _on_inserted(self, event: LayerEvent) -> None:
        source = source_of(event.value)
        if source is not None and not source.is_mask and source.folder is not None:
            self.look_for(event.value)

    def look_for(self, layer: Layer) -> None:
        """Look for results of a tomogram: in its folder, among the jobs that are known, and on the server."""
        source = source_of(layer)
        if source is None:
            return
        results, path = ExistingResults(layer), Path(source.opened)

        def listed(files: list[Path]) -> None:
            shown = {Path(shown.opened) for each in self._viewer.layers if (shown := source_of(each)) is not None}
            results.files = [file for file in files if file not in shown]
            self._add_jobs(results, [job.record for job in self._jobs.table.all_jobs()])
            if self._server.usable:
                self._ask(results, path)
            else:
                self._report(results)

        self._tasks.run(
            f"Looking for results of {path.name}", lambda _task: masks_beside(path), listed, background=True
        )

    def _ask(self, results: ExistingResults, path: Path) -> None:
        async def call(client: AsyncClient) -> list[JobRecord]:
            found = await client.jobs(limit=_ASKED_MAX, state=JobState.COMPLETED, search=path.name)
            return [job.record for job in found]

        def answered(records: list[JobRecord]) -> None:
            self._add_jobs(results, records)
            self._report(results)

        def failed(_error: CryoMambaError) -> None:
            self._report(results)

        # Without a context: nobody waits for it.
        self._server.bridge.request("", call, answered, failed)

    def _add_jobs(self, results: ExistingResults, records: list[JobRecord]) -> None:
        known = {record.job_id for record in results.jobs}
        source = source_of(results.tomogram)
        for record in records:
            path = self._jobs.tomogram_path(record)
            same = source is not None and path is not None and Path(path).resolve() == Path(source.opened).resolve()
            overlay = self._preview.overlays.get(record.job_id)
            shown = overlay is not None and overlay.in_viewer
            completed = record.state is JobState.COMPLETED and record.newest_mask is not None
            if same and completed and not shown and record.job_id not in known | self._jobs.table.hidden:
                results.jobs.append(record)

    def _report(self, results: ExistingResults) -> None:
        if results.count and results.tomogram in self._viewer.layers:
            results.jobs.sort(key=lambda record: record.created_at, reverse=True)
            self.found.emit(results)

    def show(self, results: ExistingResults) -> None:
        """Show the newest results over their tomogram."""
        jobs = results.jobs[:SHOWN_MAX]
        for record in reversed(jobs):
            self._jobs.message_received.emit(JobChanged(record))
            self._preview.watch(record.job_id)
        self._tomograms.open_files(results.files[: SHOWN_MAX - len(jobs)])

    def close(self) -> None:
        """Disconnect from the viewer."""
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)


def masks_beside(tomogram: Path) -> list[Path]:
    """Return the masks in a tomogram's folder that CryoMamba wrote for it, newest first. For any thread."""
    name, found = stem(tomogram), []
    for path in tomogram.parent.glob("*.mrc"):
        if path == tomogram or split_result_name(path)[0] != name:
            continue
        try:
            if result_kind(inspect(path).labels) == "mask":
                found.append((path.stat().st_mtime, path))
        except (VolumeError, OSError):
            # A file that is being written, or damaged: there is nothing to offer.
            continue
    return [path for _, path in sorted(found, reverse=True)]
