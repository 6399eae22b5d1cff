"""What clients ask of the broker."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from cryomamba._version import __version__
from cryomamba.errors import NotFoundError
from cryomamba.records import EngineInfo, JobRecord, ServerInfo, SubmitRequest
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

from .admission import Places, admit, require_plain
from .artifacts import read_piece, remove_files, require_listed
from .core import Core
from .dispatch import Answer, Handler
from .revisions import Revision, stage
from .room import mask_nbytes, require_room
from .store import NewJob
from .store.rows import REPLY_BUDGET, to_time, wire_nbytes


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
    reserve : int
        Bytes that must stay free on the disk of the finished files.
    """

    def __init__(self, core: Core, *, places: Places, files: ThreadPoolExecutor, reserve: int) -> None:
        self._core = core
        self._places = places
        self._files = files
        self._reserve = reserve

    def handlers(self) -> Mapping[str, Handler]:
        """Return the handlers by request type."""
        return {
            "ping": self.ping,
            "server.info": self.info,
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

    async def ping(self, _: Empty) -> Answer:
        """Say that the broker lives."""
        return Answer(
            {
                "version": __version__,
                "protocol": PROTOCOL_VERSION,
                "epoch": self._core.epoch,
                "workers": len(self._core.workers),
            }
        )

    async def info(self, _: Empty) -> Answer:
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
            workers=core.workers.infos(),
            endpoints=core.endpoints.model_dump(),
        )
        body = info.model_dump(mode="json")
        while body["workers"] and wire_nbytes(body) > REPLY_BUDGET:
            body["workers"].pop()
        return Answer(body)

    async def submit(self, request: SubmitRequest) -> Answer:
        """Check a job and queue it."""
        require_plain(request)
        known = await self._core.store.call(lambda store: store.jobs.find(request))
        if known is not None:
            return job_answer(known)
        engines = self._core.workers.engines()
        loop = asyncio.get_running_loop()
        new = await loop.run_in_executor(self._files, self._admit, request, engines)
        record = await self._core.change(lambda store: store.jobs.submit(new))
        self._core.waiting.call_all()
        return job_answer(record)

    def _admit(self, request: SubmitRequest, engines: Sequence[EngineInfo]) -> NewJob:
        new = admit(request, engines, self._places)
        require_room(self._places.artifacts.parent, mask_nbytes(new.volume), self._reserve)
        return new

    async def get(self, request: JobRef) -> Answer:
        """Return a job."""
        return job_answer(await self._core.store.call(lambda store: store.jobs.get(request.job)))

    async def page(self, request: ListRequest) -> Answer:
        """Return a page of jobs."""
        page = await self._core.store.call(lambda store: store.jobs.page(request))
        return Answer(page.model_dump(mode="json"))

    async def cancel(self, request: JobRef) -> Answer:
        """Cancel a job."""
        return job_answer(await self._core.change(lambda store: store.jobs.cancel(request.job)))

    async def retry(self, request: JobRef) -> Answer:
        """Queue a failed or cancelled job again."""
        record = await self._core.change(lambda store: store.jobs.retry(request.job))
        self._core.waiting.call_all()
        return job_answer(record)

    async def delete(self, request: JobRef) -> Answer:
        """Forget a job that has ended, and remove its files."""
        record = await self._core.store.call(lambda store: store.jobs.delete(request.job))
        self._core.cache.drop(request.job)
        # The row goes first: a job that is listed has its files, whenever the broker dies.
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._files, remove_files, self._places.artifacts / record.job_id)
        return job_answer(record)

    async def focus(self, request: FocusRequest) -> Answer:
        """Note where the viewer looks."""
        return job_answer(await self._core.store.call(lambda store: store.jobs.focus(request.job, request.position)))

    async def revise(self, request: ReviseRequest) -> Answer:
        """Take a revised mask in among the files of its job."""
        record = await self._core.store.call(lambda store: store.jobs.require_revisable(request.job))
        loop = asyncio.get_running_loop()
        revision = await loop.run_in_executor(self._files, self._stage, request, record)
        try:
            changed = await self._core.change(lambda store: store.jobs.revise(request.job, revision, request.note))
        finally:
            await loop.run_in_executor(self._files, revision.discard)
        return job_answer(changed)

    def _stage(self, request: ReviseRequest, record: JobRecord) -> Revision:
        return stage(request, record, self._places, self._reserve)

    async def events_since(self, request: EventsSince) -> Answer:
        """Return what happened after an event."""
        page = await self._core.store.call(
            lambda store: store.events.since(request.n, job_id=request.job, limit=request.limit)
        )
        return Answer(page.model_dump(mode="json"))

    async def artifact(self, request: ArtifactRead) -> Answer:
        """Return a piece of a finished file."""
        record = await self._core.store.call(lambda store: store.jobs.get(request.job))
        require_listed(record, request.name)
        loop = asyncio.get_running_loop()
        spec, piece, size = await loop.run_in_executor(self._files, read_piece, self._places.artifacts, request)
        body = {"name": request.name, "offset": request.offset, "size_bytes": size}
        return Answer(body, buffers=(spec,), parts=(piece,), job=request.job, attempt=record.attempt)

    async def preview(self, request: PreviewRead) -> Answer:
        """Return the newest frame of a job."""
        frame = self._core.cache.get(request.job)
        if frame is None:
            await self._core.store.call(lambda store: store.jobs.row(request.job)["id"])
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


def job_answer(record: JobRecord) -> Answer:
    """Return the answer that is a job."""
    return Answer(record.model_dump(mode="json"), job=record.job_id, attempt=record.attempt)
