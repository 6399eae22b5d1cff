"""What can be done with a job, wherever it runs: one interface, and the jobs on the server."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path

from qtpy.QtCore import QObject, Signal

from cryomamba.client import AsyncClient
from cryomamba.errors import CryoMambaError
from cryomamba.geometry import Spacing
from cryomamba.masks.strokes import Strokes
from cryomamba.models.jobs import JobRecord
from napari_cryomamba.app.settings import Preferences
from napari_cryomamba.net.bridge import Bridge
from napari_cryomamba.net.messages import JobChanged


class JobSource(QObject):
    """The jobs of one :class:`~napari_cryomamba.models.jobs.JobKind`. Methods return at once; for the GUI thread.

    Signals
    -------
    message_received : Message
        A job of this source changed.
    restarted : str
        This job runs again, so its results are out of date.
    """

    message_received = Signal(object)
    restarted = Signal(str)

    @abstractmethod
    def cancel(self, job_id: str) -> None:
        """Cancel a job."""

    @abstractmethod
    def retry(self, job_id: str) -> None:
        """Run a failed or cancelled job again."""

    @abstractmethod
    def remove(self, job_id: str) -> None:
        """Forget a job that has ended."""

    def watch(self, job_id: str) -> None:
        """Subscribe to the previews of a job; nothing to do where they arrive without."""

    def unwatch(self, job_id: str) -> None:
        """Unsubscribe."""

    def focus(self, job_id: str, position: Spacing) -> None:
        """Ask for the tiles around a voxel (z, y, x) first, where the order of tiles can be changed."""

    def set_strokes(
        self,
        job_id: str,  # noqa: ARG002 (for those that can)
        strokes: Strokes,  # noqa: ARG002
        refused: Callable[[CryoMambaError], None],  # noqa: ARG002
    ) -> bool:
        """Have a job learn from other strokes while it runs, and return whether that is possible here."""
        return False

    def file(self, job_id: str, name: str) -> Path | None:  # noqa: ARG002 (for those that have files here)
        """Return the path of a job's file, None if the job's files are not on this machine."""
        return None


class ServerJobs(JobSource):
    """Jobs on the server; they continue without this window."""

    def __init__(self, bridge: Bridge, preferences: Preferences, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._bridge, self._preferences = bridge, preferences

    def cancel(self, job_id: str) -> None:
        """Cancel a job at its next tile."""
        self._bridge.request("Cancelling the job", lambda client: client.cancel(job_id), self._changed)

    def retry(self, job_id: str) -> None:
        """Queue a job again."""

        def retried(record: JobRecord) -> None:
            self._changed(record)
            self.restarted.emit(job_id)

        self._bridge.request("Retrying the job", lambda client: client.retry(job_id), retried)

    def remove(self, job_id: str) -> None:
        """Remember that the job is not to be listed any more; it stays on the server."""
        self._preferences.values.forget_job(job_id)
        self._preferences.save()

    def watch(self, job_id: str) -> None:
        """Subscribe to the previews of a job."""
        self._bridge.watch(job_id)

    def unwatch(self, job_id: str) -> None:
        """Unsubscribe."""
        self._bridge.unwatch(job_id)

    def focus(self, job_id: str, position: Spacing) -> None:
        """Tell the server which tiles to compute first; an error is ignored, since the next request replaces it."""
        self._bridge.request("", partial(AsyncClient.focus, job_id=job_id, position=position), failed=_ignore)

    def set_strokes(self, job_id: str, strokes: Strokes, refused: Callable[[CryoMambaError], None]) -> bool:
        """Have a job learn from other strokes; `refused` is called if the server does not take them."""
        call = partial(AsyncClient.set_strokes, job_id=job_id, strokes=strokes)
        self._bridge.request("", call, self._changed, refused)
        return True

    def _changed(self, record: JobRecord) -> None:
        self.message_received.emit(JobChanged(record))


def _ignore(_error: CryoMambaError) -> None:
    """Drop an error that the user can do nothing about."""
