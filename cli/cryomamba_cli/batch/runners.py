"""Where tomograms are segmented: in this process, or as jobs on a server."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from cryomamba.errors import CryoMambaError, ErrorCode, JobFailedError, NotFoundError
from cryomamba.models.events import Event, ProgressEvent
from cryomamba_cli.batch.tomogram_run import RunResult
from cryomamba_cli.local_run import segment_locally
from cryomamba_cli.remote_run import download_files
from cryomamba_cli.segmentation_task import Task

if TYPE_CHECKING:
    from cryomamba.client import Client, Job

_POLL_S: Final = 0.5


class InProcessRunner:
    """Segments in threads of this process.

    Parameters
    ----------
    processes : int
        For each tomogram.
    dask : str, optional
        The Dask scheduler whose workers compute the tiles.
    """

    def __init__(self, processes: int, dask: str | None = None) -> None:
        self._processes, self._dask = processes, dask

    def run(
        self,
        task: Task,
        source: str,  # noqa: ARG002 (the protocol's)
        on_event: Callable[[Event], None],
        cancelled: Callable[[], bool],
    ) -> RunResult:
        """Segment a tomogram."""
        result = segment_locally(task, on_event, cancelled, processes=self._processes, dask=self._dask, previews=False)
        return RunResult(result.statistics)


class ServerRunner:
    """Submits jobs to a server and downloads their files.

    The key of a job is made of its content and recipe, so that a session that was ended finds its jobs again.

    Parameters
    ----------
    client : Client
        Shared by all threads.
    cancels : bool
        Whether a job is cancelled when the session ends, or continues, for the session that comes next.
    """

    def __init__(self, client: Client, *, cancels: bool) -> None:
        self._client = client
        self._cancels = cancels

    def run(
        self, task: Task, source: str, on_event: Callable[[Event], None], cancelled: Callable[[], bool]
    ) -> RunResult:
        """Segment a tomogram on the server."""
        key = hashlib.sha256(source.encode("utf-8", "backslashreplace")).hexdigest() if source else uuid.uuid4().hex
        job = self._finished(self._submit(task, key), on_event, cancelled)
        try:
            return RunResult(download_files(self._client, job.job_id, task), job.job_id)
        except NotFoundError:
            # An earlier job, whose files the server has removed since.
            job = self._finished(self._submit(task, f"{key}-after-{job.job_id}"), on_event, cancelled)
            return RunResult(download_files(self._client, job.job_id, task), job.job_id)

    def _submit(self, task: Task, key: str) -> Job:
        from cryomamba.models.jobs import JobState, Priority

        job = self._client.submit(
            task.tomogram,
            engine=task.engine,
            params=task.params,
            voxel_size_A=task.voxel_size_A,
            within=task.within,
            name=task.name or task.tomogram.name,
            priority=Priority[task.priority.upper()],
            client_key=key,
        )
        # It may be one that an earlier session submitted.
        return job.retry() if job.state in {JobState.FAILED, JobState.CANCELLED} else job

    def _finished(self, job: Job, on_event: Callable[[Event], None], cancelled: Callable[[], bool]) -> Job:
        pause = threading.Event()
        while not job.state.final:
            if cancelled():
                self._leave(job)
                raise JobFailedError("The run was ended.", code=ErrorCode.CANCELLED)
            pause.wait(_POLL_S)
            job.refresh()
            on_event(ProgressEvent(job.job_id, job.record.attempt, job.progress))
        job.record.raise_for_state()
        return job

    def _leave(self, job: Job) -> None:
        if self._cancels:
            with contextlib.suppress(CryoMambaError):
                job.cancel()
