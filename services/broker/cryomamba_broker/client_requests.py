"""What clients ask of the broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from cryomamba._version import __version__
from cryomamba.engines.info import EngineInfo
from cryomamba.errors import NotFoundError
from cryomamba.models.jobs import JobRecord, SubmitRequest
from cryomamba.models.server import Activity, ServerInfo, WorkerInfo
from cryomamba.wire.constants import PROTOCOL_VERSION
from cryomamba.wire.requests import (
    ArtifactRead,
    Empty,
    EventsSince,
    FocusRequest,
    JobRef,
    ListRequest,
    PreviewRead,
    ReviseRequest,
)
from cryomamba_broker.admission import VolumeRoots, admit, require_json_serializable
from cryomamba_broker.artifacts import read_chunk, remove_files, require_listed
from cryomamba_broker.core import Core
from cryomamba_broker.disk_space import DiskSpace, job_nbytes
from cryomamba_broker.dispatch import Answer, Handler
from cryomamba_broker.revisions import Revision, stage
from cryomamba_broker.store import NewJob
from cryomamba_broker.store.rows import REPLY_BUDGET, to_time, wire_nbytes


class ClientRequests:
    """Handlers of the requests that need no lease.

    Parameters
    ----------
    core : Core
        What all handlers share.
    places : Places
        Where volumes may lie.
    files : ThreadPoolExecutor
        Where files are read.
    room : callable
        Looks at what the disk of the finished files has room for; blocks.
    """

    def __init__(
        self, core: Core, *, places: VolumeRoots, files: ThreadPoolExecutor, room: Callable[[], DiskSpace]
    ) -> None:
        self._core = core
        self._places = places
        self._files = files
        self._room = room

    def handlers(self) -> Mapping[str, Handler]:
        """Return the handlers by request type."""
        return {
            "ping": self.ping,
            "server.info": self.info,
            "server.activity": self.activity,
            "job.submit": self.submit,
            "job.get": self.get,
            "job.list": self.page,
            "job.cancel": self.cancel,
            "job.retry": self.retry,
            "job.delete": self.delete,
            "job.focus": self.focus,
            "job.revise": self.revise,
            "events.since": self.events_since,
            "artifact.read": self.artifact,
            "preview.get": self.preview,
        }

    async def ping(self, _: Empty, _sees: str | None) -> Answer:
        """Say that the broker lives."""
        return Answer(
            {
                "version": __version__,
                "protocol": PROTOCOL_VERSION,
                "epoch": self._core.epoch,
                "workers": len(self._core.workers),
            }
        )

    async def info(self, _: Empty, sees: str | None) -> Answer:
        """Say who is there."""
        core = self._core
        info = ServerInfo(
            version=__version__,
            protocol=PROTOCOL_VERSION,
            status="ok" if len(core.workers) else "degraded",
            epoch=core.epoch,
            timestamp=to_time(core.clock.wall()),
            started_at=to_time(core.started),
            default_engine=core.workers.default(),
            engines=core.workers.engines(),
            workers=tuple(_in_sight(worker, sees) for worker in core.workers.infos()),
            endpoints=core.endpoints.model_dump(),
        )
        body = info.model_dump(mode="json")
        while body["workers"] and wire_nbytes(body) > REPLY_BUDGET:
            body["workers"].pop()
        return Answer(body)

    async def activity(self, _: Empty, _sees: str | None) -> Answer:
        """Say how busy the server is."""
        core = self._core
        now = core.clock.wall()
        pending, running, oldest_s = await core.store.call(lambda store: store.events.waiting(now))
        activity = Activity(
            workers=len(core.workers), pending=pending, running=running, oldest_pending_s=oldest_s, ended=core.ended
        )
        return Answer(activity.model_dump(mode="json"))

    async def submit(self, request: SubmitRequest, sees: str | None) -> Answer:
        """Check a job and queue it."""
        if sees is not None:
            request = request.model_copy(update={"owner": sees})
        require_json_serializable(request)
        known = await self._core.store.call(lambda store: store.jobs.find(request))
        if known is not None:
            return job_answer(known)
        if request.volume.job_id is not None:
            await self._require(request.volume.job_id, sees)
        engines = self._core.workers.engines()
        loop = asyncio.get_running_loop()
        new, room = await loop.run_in_executor(self._files, self._admit, request, engines, sees)
        record = await self._core.change(lambda store: store.jobs.submit(new, room))
        self._core.waiting.wake_all()
        return job_answer(record)

    def _admit(
        self, request: SubmitRequest, engines: Sequence[EngineInfo], sees: str | None
    ) -> tuple[NewJob, DiskSpace]:
        new = admit(request, engines, self._places, sees=sees)
        engine = next(info for info in engines if info.name == new.engine)
        nbytes = job_nbytes(new.volume, engine, new.request.params)
        return replace(new, nbytes=nbytes), self._room()

    async def get(self, request: JobRef, sees: str | None) -> Answer:
        """Return a job."""
        return job_answer(await self._core.store.call(lambda store: store.jobs.get(request.job, sees)))

    async def page(self, request: ListRequest, sees: str | None) -> Answer:
        """Return a page of jobs."""
        wanted = request if sees is None else request.model_copy(update={"owner": sees})
        page = await self._core.store.call(lambda store: store.jobs.page(wanted))
        return Answer(page.model_dump(mode="json"))

    async def cancel(self, request: JobRef, sees: str | None) -> Answer:
        """Cancel a job."""
        return job_answer(await self._core.change(lambda store: store.jobs.cancel(request.job, sees)))

    async def retry(self, request: JobRef, sees: str | None) -> Answer:
        """Queue a failed or cancelled job again."""
        record = await self._core.change(lambda store: store.jobs.retry(request.job, sees))
        self._core.waiting.wake_all()
        return job_answer(record)

    async def delete(self, request: JobRef, sees: str | None) -> Answer:
        """Forget a job that has ended, and remove its files."""
        record = await self._core.store.call(lambda store: store.jobs.delete(request.job, sees))
        self._core.cache.drop(request.job)
        # The row goes first: a job that is listed has its files, whenever the broker dies.
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._files, remove_files, self._places.artifacts / record.job_id)
        return job_answer(record)

    async def focus(self, request: FocusRequest, sees: str | None) -> Answer:
        """Note where the viewer looks."""
        record = await self._core.store.call(lambda store: store.jobs.focus(request.job, request.position, sees))
        return job_answer(record)

    async def revise(self, request: ReviseRequest, sees: str | None) -> Answer:
        """Take a revised mask in among the files of its job."""
        record = await self._core.store.call(lambda store: store.jobs.require_revisable(request.job, sees))
        promised = await self._core.store.call(lambda store: store.jobs.promised())
        loop = asyncio.get_running_loop()
        revision = await loop.run_in_executor(self._files, self._stage, request, record, promised, sees)
        try:
            changed = await self._core.change(lambda store: store.jobs.revise(request.job, revision, request.note))
        finally:
            await loop.run_in_executor(self._files, revision.discard)
        return job_answer(changed)

    def _stage(self, request: ReviseRequest, record: JobRecord, promised: int, sees: str | None) -> Revision:
        def require_room(nbytes: int) -> None:
            self._room().require(nbytes, promised)

        return stage(request, record, self._places, require_room, sees)

    async def events_since(self, request: EventsSince, sees: str | None) -> Answer:
        """Return what happened after an event."""
        page = await self._core.store.call(
            lambda store: store.events.since(request.n, job_id=request.job, limit=request.limit, sees=sees)
        )
        return Answer(page.model_dump(mode="json"))

    async def artifact(self, request: ArtifactRead, sees: str | None) -> Answer:
        """Return a piece of a finished file."""
        record = await self._core.store.call(lambda store: store.jobs.get(request.job, sees))
        require_listed(record, request.name)
        loop = asyncio.get_running_loop()
        spec, piece, size = await loop.run_in_executor(self._files, read_chunk, self._places.artifacts, request)
        body = {"name": request.name, "offset": request.offset, "size_bytes": size}
        return Answer(body, buffers=(spec,), parts=(piece,), job=request.job, attempt=record.attempt)

    async def preview(self, request: PreviewRead, sees: str | None) -> Answer:
        """Return the newest frame of a job."""
        await self._require(request.job, sees)
        frame = self._core.cache.get(request.job)
        if frame is None:
            raise NotFoundError(
                "There is no preview of this job.",
                hint="A job that has not begun has none yet, and those of old jobs are not kept.",
            )
        envelope = frame.envelope
        return Answer(
            {**envelope.body, "seq": envelope.seq, "ts": envelope.ts},
            buffers=envelope.buffers,
            parts=(frame.payload,),
            job=envelope.job,
            attempt=envelope.attempt,
        )

    async def _require(self, job_id: str, sees: str | None) -> None:
        """Refuse a job that is not there, or not in sight."""
        await self._core.store.call(lambda store: store.jobs.row(job_id, sees)["id"])


def _in_sight(worker: WorkerInfo, sees: str | None) -> WorkerInfo:
    """Return what may be told of a worker: which job it is at is between its owner and the administrators."""
    return worker if sees is None else worker.model_copy(update={"job_id": None})


def job_answer(record: JobRecord) -> Answer:
    """Return the answer that is a job."""
    return Answer(record.model_dump(mode="json"), job=record.job_id, attempt=record.attempt)
