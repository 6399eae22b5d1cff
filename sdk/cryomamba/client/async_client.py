"""The asynchronous client."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import ValidationError

from cryomamba.client.address import make_transport
from cryomamba.client.saving import save
from cryomamba.client.transport import Transport
from cryomamba.geometry import Shape, Spacing
from cryomamba.models.events import Event, StateEvent
from cryomamba.models.files import FileRecord
from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import (
    RETHRESHOLD,
    Artifact,
    JobPage,
    JobRecord,
    JobState,
    PreviewOptions,
    SubmitRequest,
    VolumeSource,
)
from cryomamba.models.server import ServerInfo
from cryomamba.wire.requests import invalid_fields


async def aconnect(url: str | None = None, *, token: str | None = None) -> AsyncClient:
    """Connect to a server.

    Parameters
    ----------
    url : str, optional
        ``http://…`` for a gateway, ``tcp://…`` or ``ipc://…`` straight to the bus. Without it: the variable
        ``CRYOMAMBA_SERVER``, the broker of this home, or the gateway of this machine. It need not be there yet.
    token : str, optional
        For a gateway that wants one; ``CRYOMAMBA_TOKEN`` if not given.

    Raises
    ------
    InvalidRequestError
        The address is neither.
    """
    return AsyncClient(make_transport(url, token))


class AsyncClient:
    """A client for one event loop; close it, or use it as ``async with``.

    All methods raise :class:`~cryomamba.errors.CryoMambaError`: :class:`~cryomamba.errors.UnavailableError` when the
    server is away, and the type that fits otherwise.
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    @property
    def url(self) -> str:
        """Where it is connected to."""
        return self.transport.url

    async def info(self) -> ServerInfo:
        """Return version, status, engines and workers of the server."""
        return await self.transport.info()

    async def submit(
        self,
        volume: str | os.PathLike[str] | None = None,
        *,
        shape: Shape | None = None,
        file_id: str | None = None,
        voxel_size_A: Spacing | None = None,
        engine: str | None = None,
        params: Mapping[str, Any] | None = None,
        preview: PreviewOptions | None = None,
        name: str = "",
        priority: int = 0,
        client_key: str | None = None,
    ) -> JobRecord:
        """Hand in a job.

        Parameters
        ----------
        volume : path, optional
            A tomogram that the *server* can read; or give `file_id` or, for a demo job, `shape` (ZYX).
        voxel_size_A : tuple of float, optional
            Ångström (z, y, x), in place of the header's.
        engine : str, optional
            The server's default if not given.
        params : mapping, optional
            The engine's parameters.
        preview : PreviewOptions, optional
            How often and how finely the growing mask is shown.
        name : str
            A label for people.
        priority : int
            −100 to 100, higher first.
        client_key : str, optional
            Two submits with the same key make one job. A fresh key is made if not given.
        """
        try:
            source = VolumeSource(
                path=os.fspath(volume) if volume is not None else None,
                shape=shape,
                file_id=file_id,
                voxel_size_A=voxel_size_A,
            )
            request = SubmitRequest(
                volume=source,
                engine=engine,
                params=dict(params or {}),
                preview=preview or PreviewOptions(),
                name=name,
                priority=priority,
                client_key=client_key or uuid.uuid4().hex,
            )
        except ValidationError as error:
            raise invalid_fields(error) from None
        return await self.transport.submit(request)

    async def upload(
        self,
        path: str | os.PathLike[str],
        *,
        progress: Callable[[int, int], None] | None = None,
        reading: Callable[[int, int], None] | None = None,
        parallel: int = 4,
        keep: bool = True,
    ) -> FileRecord:
        """Send a tomogram to the gateway, so that jobs can name it by its ``file_id``.

        Parameters
        ----------
        path : path
            A file on this machine.
        progress : callable, optional
            Called with bytes there and bytes in all.
        reading : callable, optional
            Called before that, while the file's checksum is made, with bytes read and bytes in all.
        parallel : int
            Parts at a time.
        keep : bool
            Whether what was sent stays on the gateway if this is cancelled, so that it can go on later.

        Returns
        -------
        FileRecord
            At once if the gateway has the very same content from the same owner already. An upload that was
            interrupted goes on where it was.

        Raises
        ------
        VolumeError
            There is no such file, or it is no volume.
        """
        return await self.transport.upload(Path(path), progress=progress, reading=reading, parallel=parallel, keep=keep)

    async def revise(
        self,
        job_id: str,
        mask: str | os.PathLike[str],
        *,
        note: str = "",
        progress: Callable[[int, int], None] | None = None,
    ) -> JobRecord:
        """Keep a corrected mask with its job, as an artifact ``mask_r1.mrc`` and so on; the first mask stays.

        Parameters
        ----------
        job_id : str
            A job that is completed.
        mask : path
            An MRC file of whole numbers and of the tomogram's shape on this machine; straight on a bus, the broker
            must be able to read it by the same path.
        note : str
            What was changed, for people.
        progress : callable, optional
            Called with bytes sent and bytes in all.

        Returns
        -------
        JobRecord
            With the revision as the last of its ``revisions``; content that one of them has already adds none.

        Raises
        ------
        ConflictError
            The job has no mask, or too many revisions.
        VolumeError
            The file is no mask of this job.
        """
        return await self.transport.send_revision(job_id, Path(mask), note=note, progress=progress)

    async def threshold(
        self,
        job_id: str,
        high: int,
        *,
        low: int | None = None,
        min_volume_nm3: float = 0.0,
        preview: PreviewOptions | None = None,
        name: str = "",
        client_key: str | None = None,
    ) -> JobRecord:
        """Hand in a job that cuts the scores of a finished one at another threshold; its engine does not run again.

        Parameters
        ----------
        job_id : str
            A finished job that has an artifact ``scores.mrc``.
        high, low : int
            Scores, 1 to 255: a connected piece stays if all its voxels reach `low` and one reaches `high`. Without
            `low`, that is `high` too.
        min_volume_nm3 : float
            Smaller pieces go.

        Raises
        ------
        NotFoundError
            There is no such job, or it has no scores.
        """
        params: dict[str, Any] = {"high": high, "min_volume_nm3": min_volume_nm3}
        if low is not None:
            params["low"] = low
        try:
            request = SubmitRequest(
                volume=VolumeSource(job_id=job_id),
                engine=RETHRESHOLD,
                params=params,
                preview=preview or PreviewOptions(),
                name=name,
                client_key=client_key or uuid.uuid4().hex,
            )
        except ValidationError as error:
            raise invalid_fields(error) from None
        return await self.transport.submit(request)

    async def get(self, job_id: str) -> JobRecord:
        """Return a job as it stands."""
        return await self.transport.get(job_id)

    async def page(self, *, state: JobState | None = None, limit: int = 50, cursor: str | None = None) -> JobPage:
        """Return one page of the jobs, newest first."""
        return await self.transport.page(state=state, limit=limit, cursor=cursor)

    async def list(self, *, state: JobState | None = None, limit: int = 50) -> list[JobRecord]:
        """Return up to `limit` jobs, newest first."""
        jobs: list[JobRecord] = []
        cursor = None
        while len(jobs) < limit:
            page = await self.page(state=state, limit=min(limit - len(jobs), 500), cursor=cursor)
            jobs += page.jobs
            cursor = page.cursor
            if cursor is None:
                break
        return jobs

    async def cancel(self, job_id: str) -> JobRecord:
        """Cancel a job; a final one raises :class:`~cryomamba.errors.ConflictError`."""
        return await self.transport.cancel(job_id)

    async def retry(self, job_id: str) -> JobRecord:
        """Put a failed or cancelled job back into the queue."""
        return await self.transport.retry(job_id)

    async def focus(self, job_id: str, position: tuple[float, float, float]) -> None:
        """Say at which tomogram voxel (z, y, x) the person looks: tiles there come first."""
        await self.transport.focus(job_id, position)

    def watch(self, job_id: str, *, previews: bool = True) -> AsyncGenerator[Event, None]:
        """Follow a job: the present state and the newest preview at once, then what happens, to its end.

        The last event is the final :class:`~cryomamba.models.events.StateEvent`. Previews and progress that were not
        fetched in time are replaced by newer ones. Disconnects are reported as
        :class:`~cryomamba.models.events.ConnectionEvent`; the client reconnects.
        """
        return self.transport.watch(job_id, previews=previews)

    def watch_all(self) -> AsyncGenerator[Event, None]:
        """Follow the states and progress of all jobs, for ever."""
        return self.transport.watch(None, previews=False)

    async def wait(self, job_id: str) -> JobRecord:
        """Wait until a job is final and return it.

        Raises
        ------
        JobFailedError
            It failed or was cancelled.
        """
        record: JobRecord | None = None
        async for event in self.watch(job_id, previews=False):
            if isinstance(event, StateEvent):
                record = event.record
        record = record or await self.get(job_id)
        record.raise_for_state()
        return record

    async def preview(self, job_id: str) -> PreviewFrame:
        """Return the newest preview of a job."""
        return await self.transport.preview(job_id)

    async def download(
        self,
        job_id: str,
        name: str = "mask.mrc",
        to: str | os.PathLike[str] | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> Path:
        """Fetch a finished file, checked against its SHA-256, written aside and renamed.

        Parameters
        ----------
        job_id, name : str
        to : path, optional
            A file or a folder; the working folder if not given.
        progress : callable, optional
            Called with bytes done and bytes in all.

        Returns
        -------
        pathlib.Path
            The file.

        Raises
        ------
        ConflictError
            ``checksum_mismatch``: other bytes came than the job's record says.
        """
        record = await self.get(job_id)
        artifact = next((a for a in record.artifacts if a.name == name), None) or Artifact(name=name, size_bytes=0)
        target = Path(to) if to is not None else Path(name)
        if target.is_dir():
            target = target / name
        await save(self.transport.artifact(job_id, name), target, artifact, progress)
        return target

    async def latency(self) -> float:
        """Return the seconds that one small question takes."""
        return await self.transport.latency()

    async def close(self) -> None:
        """Give every socket back."""
        await self.transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
