"""The handle of a job on a server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final, Self

from cryomamba import notebook
from cryomamba.client.job_requests import JobRequests
from cryomamba.client.transport import ProgressCallback
from cryomamba.engines.artifacts import MASK, STATISTICS
from cryomamba.errors import CryoMambaError
from cryomamba.models.estimates import estimates_line
from cryomamba.models.events import Event, PreviewEvent, ProgressEvent, StateEvent
from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import Artifact, JobRecord, JobState, Progress
from cryomamba.models.statistics import Row, Table, statistics_rows

SHOW_S: Final = 5.0


class JobFields(ABC):
    """The fields of a job that both handles have, as of the last request or event."""

    @property
    @abstractmethod
    def record(self) -> JobRecord:
        """The whole record of the job."""

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self.record.job_id

    @property
    def name(self) -> str:
        """The label that it was submitted with."""
        return self.record.name

    @property
    def engine(self) -> str:
        """Name of the engine."""
        return self.record.engine

    @property
    def state(self) -> JobState:
        """The state of the job."""
        return self.record.state

    @property
    def progress(self) -> Progress:
        """The progress of a running job."""
        return self.record.progress

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """The finished files."""
        return self.record.artifacts

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.job_id} {self.state} {self.progress.fraction:.0%}>"


class AsyncJob(JobFields):
    """A job on a server; for the event loop of the client that it comes from.

    The fields are updated by :meth:`refresh`, :meth:`wait` and :meth:`watch`, and by each change made through the
    handle. All methods raise :class:`~cryomamba.errors.CryoMambaError`.
    """

    def __init__(self, requests: JobRequests, record: JobRecord) -> None:
        self._requests = requests
        self._record = record
        self._frame: PreviewFrame | None = None
        self._mask: Path | None = None

    @property
    def record(self) -> JobRecord:
        """The whole record of the job."""
        return self._record

    async def refresh(self) -> Self:
        """Update the fields from the server."""
        self._record = await self._requests.record(self.job_id)
        return self

    async def watch(self, *, previews: bool = True) -> AsyncGenerator[Event, None]:
        """Follow the job to its end; see :meth:`~cryomamba.client.AsyncClient.watch`."""
        async with contextlib.aclosing(self._requests.watch(self.job_id, previews=previews)) as events:
            async for event in events:
                self._note(event)
                yield event

    def _note(self, event: Event) -> None:
        match event:
            case StateEvent():
                self._record = event.record
            case ProgressEvent():
                self._record = self._record.model_copy(update={"progress": event.progress})
            case PreviewEvent():
                self._frame = event.frame

    async def wait(self, timeout: float | None = None) -> Self:  # noqa: ASYNC109 (what callers expect of a wait)
        """Wait until the job is completed and return the handle.

        Parameters
        ----------
        timeout : float, optional
            Seconds; without it, however long it takes.

        Raises
        ------
        JobFailedError
            The job failed or was cancelled.
        TimeoutError
            The job has not ended by then; it continues.
        """
        try:
            async with asyncio.timeout(timeout):
                async for _ in self.watch(previews=False):
                    pass
        except TimeoutError:
            raise TimeoutError(f"The job has not ended within {timeout} s; it continues.") from None
        self._record.raise_for_state()
        return self

    async def cancel(self) -> Self:
        """Cancel the job; a final one raises :class:`~cryomamba.errors.ConflictError`."""
        self._record = await self._requests.cancel(self.job_id)
        return self

    async def retry(self) -> Self:
        """Put a failed or cancelled job back into the queue."""
        self._record = await self._requests.retry(self.job_id)
        return self

    async def preview(self) -> PreviewFrame:
        """Return the newest preview."""
        self._frame = await self._requests.preview(self.job_id)
        return self._frame

    async def download(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        name: str = MASK.name,
        progress: ProgressCallback | None = None,
    ) -> Path:
        """Download a finished file; see :meth:`~cryomamba.client.AsyncClient.download`.

        Parameters
        ----------
        path : path, optional
            A file or a folder; the working folder if not given.
        name : str
            One of the names of :attr:`artifacts`.
        """
        target = await self._requests.download(self.job_id, name, path, progress=progress)
        if name == MASK.name:
            self._mask = target
        return target

    async def statistics(self, table: Table = "labels") -> list[Row]:
        """Return the measurements of the finished mask, one flat row for each label.

        ``pandas.DataFrame(job.statistics())`` makes a table of them; lengths are in ångström, volumes in nm³.

        Parameters
        ----------
        table : {'labels', 'instances'}
            ``instances`` are the connected components, the largest first, at most a thousand.
        """
        with tempfile.TemporaryDirectory(prefix="cryomamba-") as folder:
            path = await self.download(folder, name=STATISTICS.name)
            return statistics_rows(json.loads(path.read_text(encoding="utf-8")), table)

    async def show(self) -> str:
        """Return HTML with state, progress and the central slice of the newest preview, for a notebook.

        Never raises: what the server does not answer within five seconds is left out.
        """
        # Whatever it is, such as a client that was closed: a notebook shows what is known.
        with contextlib.suppress(Exception):
            async with asyncio.timeout(SHOW_S):
                await self.refresh()
                await self.preview()
        return self.html()

    def html(self) -> str:
        """Return HTML of what is known, without asking the server; never raises."""
        record, progress = self._record, self._record.progress
        rows = {"State": record.state, "Progress": f"{progress.fraction:.0%} {progress.stage}".strip()}
        rows |= {"Engine": record.engine, "Tomogram": record.volume.name, "Job": record.job_id}
        if record.estimates:
            rows["Estimated"] = estimates_line(record.estimates)
        if record.warning_texts:
            rows["Warnings"] = " ".join(record.warning_texts)
        if record.errors and record.state is JobState.FAILED:
            rows["Error"] = record.errors[-1].message
        return notebook.card(record.name or record.volume.name, rows, self._slice(), fraction=progress.fraction)

    _repr_html_ = html

    def _slice(self) -> notebook.Labels | None:
        if self._frame is not None:
            return notebook.central_slice(self._frame.mask)
        try:
            return None if self._mask is None else notebook.slice_of_file(self._mask)
        except (CryoMambaError, OSError):
            # The file may have been moved or changed since.
            return None
