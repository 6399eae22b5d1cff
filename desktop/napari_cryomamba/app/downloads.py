"""Files of jobs on this machine: downloaded from the server once, or written by a local job."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QObject, Signal

from cryomamba.client import AsyncClient
from cryomamba.errors import CryoMambaError
from cryomamba.models.jobs import Artifact, JobRecord
from napari_cryomamba.app.jobs import JobController
from napari_cryomamba.app.notifications import Notifications
from napari_cryomamba.net.bridge import Bridge

Progress = Callable[[float], None]


class Downloads(QObject):
    """Downloads the artifacts of jobs. For the GUI thread.

    Parameters
    ----------
    folder : Path
        Where downloaded files are kept, a folder for each job.

    Signals
    -------
    progress_changed : (str, str)
        A job, and the transfer that is running for it; an empty text when it has ended.
    """

    progress_changed = Signal(str, str)

    def __init__(
        self,
        jobs: JobController,
        bridge: Bridge,
        notifications: Notifications,
        folder: Path,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._jobs, self._bridge, self._notifications, self._folder = jobs, bridge, notifications, folder
        self._running: set[tuple[str, str]] = set()

    def fetch(
        self,
        record: JobRecord,
        name: str,
        done: Callable[[Path], None],
        failed: Callable[[], None] | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Call `done` with the path of a job's file on this machine; a file that is here already is not downloaded."""
        local = self._jobs.source(record.job_id).file(record.job_id, name)
        artifact = next((found for found in record.artifacts if found.name == name), None)
        target = local or self._folder / record.job_id / name
        if local is not None or (artifact is not None and _is_complete(target, artifact)):
            done(target)
        elif (record.job_id, name) not in self._running:
            self._download(record.job_id, name, target, done, failed, progress)

    def _download(
        self,
        job_id: str,
        name: str,
        target: Path,
        done: Callable[[Path], None],
        failed: Callable[[], None] | None,
        progress: Progress | None,
    ) -> None:
        context = f"Downloading {name}"
        self._running.add((job_id, name))

        def report(count: int, total: int) -> None:
            fraction = count / total if total else 0.0
            self.progress_changed.emit(job_id, f"{context}: {fraction:.0%}")
            if progress is not None:
                progress(fraction)

        async def call(client: AsyncClient) -> Path:
            await asyncio.to_thread(target.parent.mkdir, parents=True, exist_ok=True)
            return await client.download(job_id, name, target, progress=report)

        def ended() -> None:
            self._running.discard((job_id, name))
            self.progress_changed.emit(job_id, "")

        def on_done(path: Path) -> None:
            ended()
            done(path)

        def on_failed(error: CryoMambaError) -> None:
            ended()
            self._notifications.notify_error(error, context)
            if failed is not None:
                failed()

        self._bridge.request(context, call, on_done, on_failed)

    def forget(self, job_id: str) -> None:
        """Delete the downloaded files of a job."""
        shutil.rmtree(self._folder / job_id, ignore_errors=True)

    def path_for(self, job_id: str, name: str) -> Path:
        """Return where a file that is made from a job's results may be kept for as long as the job is listed."""
        path = self._jobs.source(job_id).file(job_id, name) or self._folder / job_id / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def _is_complete(path: Path, artifact: Artifact) -> bool:
    try:
        return path.stat().st_size == artifact.size_bytes
    except OSError:
        return False
