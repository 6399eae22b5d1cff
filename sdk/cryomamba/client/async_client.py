"""The asynchronous client."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any, Protocol, Self, Unpack

from pydantic import ValidationError

from cryomamba.client import calls
from cryomamba.client.address import make_transport
from cryomamba.client.job import AsyncJob
from cryomamba.client.job_requests import JobRequests
from cryomamba.client.model_methods import ModelMethods
from cryomamba.client.submit import JobSubmission, UploadMode, submit
from cryomamba.client.transport import ProgressCallback
from cryomamba.client.webhook_methods import WebhookMethods
from cryomamba.client.worker_methods import WorkerMethods
from cryomamba.engines.info import EngineInfo
from cryomamba.geometry import Shape, Spacing
from cryomamba.models.events import Event
from cryomamba.models.files import FileRecord
from cryomamba.models.job_filter import JobConditions, JobFilter
from cryomamba.models.jobs import RETHRESHOLD, JobRecord, PreviewOptions, SubmitRequest, VolumeSource
from cryomamba.models.masks import MaskSource
from cryomamba.models.server import ServerInfo
from cryomamba.wire.requests import invalid_fields

PAGE = 500


class HasJobId(Protocol):
    """A handle or a record of a job."""

    @property
    def job_id(self) -> str:
        """The job's id."""


async def aconnect(url: str | None = None, *, token: str | None = None) -> AsyncClient:
    """Return a client of a server; the server need not be reachable yet.

    Parameters
    ----------
    url : str, optional
        ``http://…`` for a gateway, ``tcp://…`` or ``ipc://…`` for a direct connection to the broker. Without it: the
        variable ``CRYOMAMBA_SERVER``, the broker of this data directory, or the gateway of this machine.
    token : str, optional
        For a gateway that requires one; ``CRYOMAMBA_TOKEN`` if not given.

    Raises
    ------
    InvalidRequestError
        The address is neither.
    """
    return AsyncClient(make_transport(url, token))


class AsyncClient(JobRequests, ModelMethods, WebhookMethods, WorkerMethods):
    """A client for one event loop; close it, or use it as ``async with``.

    All methods raise :class:`~cryomamba.errors.CryoMambaError`: :class:`~cryomamba.errors.UnavailableError` when the
    server cannot be reached, and the type that fits otherwise.
    """

    @property
    def url(self) -> str:
        """The address of the server."""
        return self.transport.url

    async def info(self) -> ServerInfo:
        """Return version, status, engines and workers of the server."""
        return await self.transport.call(calls.server_info())

    async def engines(self) -> tuple[EngineInfo, ...]:
        """Return the engines of the server, with their parameters as JSON schemas."""
        return (await self.info()).engines

    async def latency(self) -> float:
        """Return the seconds that a small request takes to be answered."""
        started = time.perf_counter()
        await self.transport.call(calls.ping())
        return time.perf_counter() - started

    async def submit(
        self,
        volume: str | os.PathLike[str] | None = None,
        *,
        upload: UploadMode = "auto",
        shape: Shape | None = None,
        file_id: str | None = None,
        voxel_size_A: Spacing | None = None,
        engine: str | None = None,
        params: Mapping[str, Any] | None = None,
        within: str | os.PathLike[str] | MaskSource | None = None,
        preview: PreviewOptions | None = None,
        name: str = "",
        priority: int = 0,
        client_key: str | None = None,
        progress: ProgressCallback | None = None,
        reading: ProgressCallback | None = None,
        keep: bool = True,
    ) -> AsyncJob:
        """Submit a job.

        Parameters
        ----------
        volume : path, optional
            A tomogram on this machine, or a path that the server can read; or give `file_id` or, for a demo job,
            `shape` (ZYX).
        upload : {'auto', 'never', 'always'}
            Whether the tomogram is uploaded first: by default where the server cannot read it by its path, or has
            another file there. A direct connection to the broker takes no uploads.
        voxel_size_A : tuple of float, optional
            Ångström (z, y, x), in place of the header's.
        engine : str, optional
            The server's default if not given.
        params : mapping, optional
            The engine's parameters.
        within : path or MaskSource, optional
            A mask on the tomogram's grid, such as one of a lamella or a cell; only where it is not 0 is the tomogram
            segmented and measured. A path is handled like that of `volume`; or give the id of an uploaded file or of a
            job with a mask, ``MaskSource(job_id=…)``.
        preview : PreviewOptions, optional
            How often and how finely previews are made.
        name : str
            Shown to people; several may have the same.
        priority : int
            −100 to 100, higher first.
        client_key : str, optional
            Two submits with the same key make one job. A new key is made if not given.
        progress, reading : callable, optional
            As for :meth:`upload`.
        keep : bool
            As for :meth:`upload`.

        Returns
        -------
        AsyncJob

        Raises
        ------
        ConflictError
            ``volume_not_found``: the server has another file under this path, and this one was not uploaded.
        InvalidRequestError
            ``invalid_parameters``: the mask is not on the tomogram's grid, or a parameter is not valid.
        """

        def request(source: VolumeSource, mask: MaskSource | None) -> SubmitRequest:
            return SubmitRequest(
                volume=source.model_copy(update={"voxel_size_A": voxel_size_A}),
                engine=engine,
                params=dict(params or {}),
                within=mask,
                preview=preview or PreviewOptions(),
                name=name,
                priority=priority,
                client_key=client_key or uuid.uuid4().hex,
            )

        try:
            named = None
            if volume is None or file_id is not None or shape is not None:
                path = None if volume is None else os.fspath(volume)
                named = VolumeSource(path=path, shape=shape, file_id=file_id)
            submission = JobSubmission(self.transport, volume, named, within, request, progress, reading, keep)
            return AsyncJob(self, await submission.run(upload))
        except ValidationError as error:
            raise invalid_fields(error) from None

    async def upload(
        self,
        path: str | os.PathLike[str],
        *,
        progress: ProgressCallback | None = None,
        reading: ProgressCallback | None = None,
        parallel: int = 4,
        keep: bool = True,
    ) -> FileRecord:
        """Upload a tomogram to the gateway, so that jobs can name it by its ``file_id``.

        Parameters
        ----------
        path : path
            A file on this machine.
        progress : callable, optional
            Called with bytes sent and bytes in all.
        reading : callable, optional
            Called before that, while the checksum is computed, with bytes read and bytes in all.
        parallel : int
            Parts at a time.
        keep : bool
            Whether the parts of a cancelled upload stay on the gateway, so that it can be resumed.

        Returns
        -------
        FileRecord
            At once if the gateway has the same content from the same owner already. An interrupted upload is resumed.

        Raises
        ------
        VolumeError
            There is no such file, or it is not a volume.
        """
        uploaded = await self.transport.upload(
            Path(path), progress=progress, reading=reading, parallel=parallel, keep=keep
        )
        return uploaded.file

    async def files(self) -> list[FileRecord]:
        """Return the uploaded files, newest first."""
        return list((await self.transport.call(calls.list_files())).files)

    async def delete(self, item: HasJobId | FileRecord | str) -> None:
        """Delete a job that has ended, with its files, or an uploaded file.

        Parameters
        ----------
        item : AsyncJob, JobRecord, str or FileRecord
            A string is the id of a job.
        """
        if isinstance(item, FileRecord):
            await self.transport.call(calls.delete_file(item.file_id))
        else:
            await self.transport.call(calls.delete_job(item if isinstance(item, str) else item.job_id))

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
    ) -> AsyncJob:
        """Submit a job that re-thresholds the score map of a finished one, without rerunning the segmentation.

        Parameters
        ----------
        job_id : str
            A finished job that has an artifact ``scores.mrc``.
        high, low : int
            Scores, 1 to 255: a connected component is kept if all its voxels reach `low` and one reaches `high`.
            Without `low`, that is `high` too.
        min_volume_nm3 : float
            Smaller components are removed.

        Raises
        ------
        NotFoundError
            There is no such job, or it has no score map.
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
        return AsyncJob(self, await submit(self.transport, request))

    async def job(self, job_id: str) -> AsyncJob:
        """Return a job."""
        return AsyncJob(self, await self.transport.call(calls.get_job(job_id)))

    async def jobs(self, *, limit: int = 50, **conditions: Unpack[JobConditions]) -> list[AsyncJob]:
        """Return up to `limit` jobs, newest first.

        Parameters
        ----------
        limit : int
        conditions
            Only jobs that meet all of these: ``state`` (one or several), ``engine``, ``owner``, ``name``,
            ``created_after`` and ``created_before`` (with time zone), and ``search``, words that occur in the job's id,
            label, volume, engine or owner.

        Raises
        ------
        InvalidRequestError
            A condition does not fit.
        """
        try:
            wanted = JobFilter.model_validate(conditions)
        except ValidationError as error:
            raise invalid_fields(error) from None
        records: list[JobRecord] = []
        cursor = None
        while len(records) < limit:
            size = min(limit - len(records), PAGE)
            page = await self.transport.call(calls.list_jobs(wanted, limit=size, cursor=cursor))
            records += page.jobs
            cursor = page.cursor
            if cursor is None:
                break
        return [AsyncJob(self, record) for record in records]

    def watch_all(self) -> AsyncGenerator[Event, None]:
        """Follow the states and progress of all jobs without end."""
        return self.transport.watch_all()

    async def close(self) -> None:
        """Close every socket."""
        await self.transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
