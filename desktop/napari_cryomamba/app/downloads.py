"""Files of jobs on this machine: fetched once from the server, or left by a job that ran here."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QObject

from cryomamba.client import AsyncClient
from cryomamba.errors import CryoMambaError
from cryomamba.models.jobs import Artifact, JobRecord
from napari_cryomamba.app.jobs import JobController
from napari_cryomamba.app.notifications import Notifications
from napari_cryomamba.models.jobs import is_here
from napari_cryomamba.signals import Signal

Progress = Callable[[float], None]


class Downloads(QObject):
    """Fetches artifacts. For the GUI thread.

    Parameters
    ----------
    folder : Path
        Where fetched files are kept, a folder for each job.

    Signals
    -------
    progressed : (str, str)
        A job, and what is being moved how far; an empty text when it is done.
    """

    progressed = Signal(str, str)

    def __init__(
        self, runs: JobController, notices: Notifications, folder: Path, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._runs, self._notices, self._folder = runs, notices, folder
        self._fetching: set[tuple[str, str]] = set()

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
        shutil.rmtree(self._folder / job_id, ignore_errors=True)

    def place_for(self, job_id: str, name: str) -> Path:
        """Return where something that is made here of a job's results may be kept, as long as the job is listed."""
        path = self._runs.local.file(job_id, name) if is_here(job_id) else self._folder / job_id / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def _is_there(path: Path, artifact: Artifact) -> bool:
    try:
        return path.stat().st_size == artifact.size_bytes
    except OSError:
        return False
