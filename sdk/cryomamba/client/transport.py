"""What a transport does; nothing above it knows which one it has."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Protocol

from cryomamba.models.events import Event
from cryomamba.models.files import FileRecord
from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import JobPage, JobRecord, JobState, SubmitRequest
from cryomamba.models.server import ServerInfo


class Transport(Protocol):
    """A way to the jobs. All methods raise :class:`~cryomamba.errors.CryoMambaError` and belong to one event loop."""

    url: str
    name: str

    async def info(self) -> ServerInfo:
        """Ask who is there: version, engines, workers."""

    async def submit(self, request: SubmitRequest) -> JobRecord:
        """Hand in a job; the request carries a client key, so it may be sent again."""

    async def get(self, job_id: str) -> JobRecord:
        """Return a job as it stands."""

    async def page(self, *, state: JobState | None, limit: int, cursor: str | None) -> JobPage:
        """Return one page of the listing, newest first."""

    async def cancel(self, job_id: str) -> JobRecord:
        """Cancel a job that is not final."""

    async def retry(self, job_id: str) -> JobRecord:
        """Put a failed or cancelled job back into the queue."""

    async def focus(self, job_id: str, position: tuple[float, float, float]) -> None:
        """Say at which tomogram voxel (z, y, x) the person looks."""

    def watch(self, job_id: str | None, *, previews: bool) -> AsyncGenerator[Event, None]:
        """Follow a job to its end, or all jobs for ever (None); reconnects by itself."""

    async def upload(
        self,
        path: Path,
        *,
        progress: Callable[[int, int], None] | None,
        reading: Callable[[int, int], None] | None,
        parallel: int,
        keep: bool,
    ) -> FileRecord:
        """Send a file, or what is missing of it; a bus takes none."""

    async def send_revision(
        self, job_id: str, path: Path, *, note: str, progress: Callable[[int, int], None] | None
    ) -> JobRecord:
        """Make a mask on this machine a revision of a job's."""

    def artifact(self, job_id: str, name: str) -> AsyncGenerator[bytes, None]:
        """Read a finished file in pieces."""

    async def preview(self, job_id: str) -> PreviewFrame:
        """Return the newest frame.

        Raises
        ------
        NotFoundError
            There is none (any more).
        """

    async def latency(self) -> float:
        """Return the seconds that one small question takes to be answered."""

    async def close(self) -> None:
        """Give every socket back."""
