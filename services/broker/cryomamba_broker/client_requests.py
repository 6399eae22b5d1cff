"""Handlers of the requests of clients."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

from cryomamba._version import __version__
from cryomamba.access.visibility import Visibility
from cryomamba.engines.info import EngineInfo
from cryomamba.errors import AccessError, NotFoundError, no_such_model
from cryomamba.models.jobs import JobRecord, JobState, SubmitRequest
from cryomamba.models.model_listing import ListedModel, ModelPage
from cryomamba.models.server import Activity, ServerInfo, WorkerInfo
from cryomamba.wire import messages
from cryomamba.wire.buffers import encode_bytes
from cryomamba.wire.constants import PROTOCOL_VERSION
from cryomamba.wire.model_requests import ModelListRequest, ModelRef
from cryomamba.wire.requests import (
    ArtifactRead,
    Empty,
    EventsSince,
    FocusRequest,
    JobRef,
    ListRequest,
    PreviewRead,
    ReviseRequest,
    StrokesRequest,
)
from cryomamba.wire.trace_context import TraceContext, current_trace
from cryomamba_broker.admission import VolumeRoots, admit
from cryomamba_broker.artifacts import read_chunk, remove_files, require_listed
from cryomamba_broker.core import Core
from cryomamba_broker.disk_space import DiskSpace, job_nbytes
from cryomamba_broker.dispatch import Answer, Caller, Handler, job_answer
from cryomamba_broker.fair_share import allowed_priority
from cryomamba_broker.mask_admission import admit_mask
from cryomamba_broker.model_admission import required_model
from cryomamba_broker.revisions import Revision, stage
from cryomamba_broker.store import NewJob
from cryomamba_broker.store.rows import REPLY_BUDGET, fitting, parse_cursor, to_time, wire_nbytes


class ClientRequests:
    """Handlers of the requests that need no lease; `measure_disk` blocks, so it runs in a thread."""

    def __init__(
        self, core: Core, *, roots: VolumeRoots, files: ThreadPoolExecutor, measure_disk: Callable[[], DiskSpace]
    ) -> None:
        self._core, self._roots, self._files, self._measure_disk = core, roots, files, measure_disk

    def handlers(self) -> Mapping[str, Handler]:
        """Return the handlers by request type."""
        handlers: dict[str, Callable[[Any, Visibility], Awaitable[Answer]]] = {
            messages.PING: self.ping,
            messages.SERVER_INFO: self.info,
            messages.SERVER_ACTIVITY: self.activity,
            messages.SERVER_METRICS: self.metrics,
            messages.JOB_SUBMIT: self.submit,
            messages.JOB_GET: self.get,
            messages.JOB_LIST: self.page,
            messages.JOB_CANCEL: self.cancel,
            messages.JOB_RETRY: self.retry,
            messages.JOB_DELETE: self.delete,
            messages.JOB_FOCUS: self.focus,
            messages.JOB_STROKES: self.set_strokes,
            messages.JOB_REVISE: self.revise,
            messages.EVENTS_SINCE: self.events_since,
            messages.ARTIFACT_READ: self.artifact,
            messages.PREVIEW_GET: self.preview,
            messages.MODEL_GET: self.model,
            messages.MODEL_LIST: self.models,
        }
        return {type_: _by_visibility(handler) for type_, handler in handlers.items()}

    async def ping(self, _: Empty, _visibility: Visibility) -> Answer:
        """Answer a ping with versions, epoch and the number of workers."""
        return Answer(
            {
                "version": __version__,
                "protocol": PROTOCOL_VERSION,
                "epoch": self._core.epoch,
                "workers": len(self._core.workers),
            }
        )

    async def info(self, _: Empty, visibility: Visibility) -> Answer:
        """Return versions, engines, workers and endpoints; refused while the job store is damaged."""
        core = self._core
        core.store.require_undamaged()
        info = ServerInfo(
            version=__version__,
            protocol=PROTOCOL_VERSION,
            status="ok" if len(core.workers) else "degraded",
            epoch=core.epoch,
            timestamp=to_time(core.clock.wall()),
            started_at=to_time(core.started),
            default_engine=core.workers.default(),
            engines=core.workers.engines(),
            workers=tuple(_visible_part(worker, visibility) for worker in core.workers.infos()),
            endpoints=core.endpoints.model_dump(),
        )
        body = info.model_dump(mode="json")
        while body["workers"] and wire_nbytes(body) > REPLY_BUDGET:
            body["workers"].pop()
        return Answer(body)

    async def activity(self, _: Empty, visibility: Visibility) -> Answer:
        """Return how busy the server is, with the jobs of all owners: for administrators."""
        _require_everything(visibility, "activity")
        core = self._core
        now = core.clock.wall()
        pending, running, oldest_s = await core.store.call(lambda store: store.events.waiting(now, visibility))
        activity = Activity(
            workers=len(core.workers), pending=pending, running=running, oldest_pending_s=oldest_s, ended=core.ended
        )
        return Answer(activity.model_dump(mode="json"))

    async def metrics(self, _: Empty, visibility: Visibility) -> Answer:
        """Return the metrics of the broker and its workers as text: for administrators."""
        _require_everything(visibility, "metrics")
        pending, oldest_s = await self._core.store.call(lambda store: store.deliveries.waiting())
        self._core.metrics.webhooks.set_pending(pending, oldest_s)
        spec, text = encode_bytes(self._core.metrics.text())
        return Answer({}, buffers=(spec,), parts=(text,))

    async def submit(self, request: SubmitRequest, visibility: Visibility) -> Answer:
        """Check a job and queue it."""
        if visibility.owner is not None:
            request = request.model_copy(update={"owner": visibility.owner})
        priority = allowed_priority(request.priority, visibility)
        request = request.model_copy(update={"priority": priority})
        known = await self._core.store.call(lambda store: store.submissions.find(request, visibility))
        if known is not None:
            return job_answer(known)
        if request.volume.job_id is not None:
            await self._require_visible(request.volume.job_id, visibility)
        newest_mask = None
        if request.within is not None and (job_id := request.within.job_id) is not None:
            newest_mask = (await self._core.store.call(lambda store: store.jobs.get(job_id, visibility))).newest_mask
        engines = self._core.workers.engines()
        models = self._known_models()
        loop = asyncio.get_running_loop()
        admitting = partial(self._admit, request, engines, models, visibility, newest_mask, current_trace())
        new, space = await loop.run_in_executor(self._files, admitting)
        record = await self._core.change(lambda store: store.submissions.submit(new, visibility, space))
        self._core.claims.wake_all()
        return job_answer(await self._placed(record))

    async def _placed(self, record: JobRecord) -> JobRecord:
        placement = self._core.workers.placement()
        return await self._core.store.call(lambda store: store.jobs.placed(record, placement))

    def _admit(
        self,
        request: SubmitRequest,
        engines: Sequence[EngineInfo],
        models: Sequence[ListedModel] | None,
        visibility: Visibility,
        newest_mask: str | None,
        trace: TraceContext,
    ) -> tuple[NewJob, DiskSpace]:
        new = admit(request, engines, self._roots, visibility)
        if request.within is not None:
            mask = admit_mask(request.within, new.volume, self._roots, visibility, newest_mask)
            new = replace(new, within=mask)
        engine = next(info for info in engines if info.name == new.engine)
        nbytes = job_nbytes(new.volume, engine, new.request.params)
        model = required_model(engine, new.request.params, models)
        if model is not None:
            new = replace(new, model=model.name, model_sha256=model.sha256)
        return replace(new, nbytes=nbytes, trace=trace), self._measure_disk()

    async def get(self, request: JobRef, visibility: Visibility) -> Answer:
        """Return a job."""
        placement = self._core.workers.placement()
        return job_answer(await self._core.store.call(lambda store: store.jobs.get(request.job, visibility, placement)))

    async def page(self, request: ListRequest, visibility: Visibility) -> Answer:
        """Return a page of jobs."""
        placement = self._core.workers.placement()
        page = await self._core.store.call(lambda store: store.jobs.page(request, visibility, placement))
        return Answer(page.model_dump(mode="json"))

    async def cancel(self, request: JobRef, visibility: Visibility) -> Answer:
        """Cancel a job."""
        return job_answer(await self._core.change(lambda store: store.jobs.cancel(request.job, visibility)))

    async def retry(self, request: JobRef, visibility: Visibility) -> Answer:
        """Queue a failed or cancelled job again, if a worker has the model that it needs."""
        await self._require_model(request.job, visibility)
        record = await self._core.change(lambda store: store.jobs.retry(request.job, visibility))
        self._core.claims.wake_all()
        return job_answer(record)

    async def delete(self, request: JobRef, visibility: Visibility) -> Answer:
        """Delete a job that has ended, and its files."""
        record = await self._core.store.call(lambda store: store.jobs.delete(request.job, visibility))
        self._core.cache.drop(request.job)
        # The row is deleted first: a job that is listed has its files, even if the broker is killed in between.
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._files, remove_files, self._roots.artifacts / record.job_id)
        return job_answer(record)

    async def focus(self, request: FocusRequest, visibility: Visibility) -> Answer:
        """Move the focus of a job."""
        record = await self._core.store.call(lambda store: store.jobs.focus(request.job, request.position, visibility))
        self._core.renewals.wake(request.job)
        return job_answer(record)

    async def set_strokes(self, request: StrokesRequest, visibility: Visibility) -> Answer:
        """Replace the strokes of a job."""
        record = await self._core.store.call(
            lambda store: store.jobs.set_strokes(request.job, request.strokes, visibility)
        )
        self._core.renewals.wake(request.job)
        return job_answer(record)

    async def revise(self, request: ReviseRequest, visibility: Visibility) -> Answer:
        """Add a revised mask to the files of its job."""
        record = await self._core.store.call(lambda store: store.revisions.require_allowed(request.job, visibility))
        reserved = await self._core.store.call(lambda store: store.submissions.reserved())
        loop = asyncio.get_running_loop()
        revision = await loop.run_in_executor(self._files, self._stage, request, record, reserved, visibility)
        try:
            changed = await self._core.change(
                lambda store: store.revisions.add(request.job, revision, request.note, visibility)
            )
        finally:
            await loop.run_in_executor(self._files, revision.discard)
        return job_answer(changed)

    def _stage(self, request: ReviseRequest, record: JobRecord, reserved: int, visibility: Visibility) -> Revision:
        def require_space(nbytes: int) -> None:
            self._measure_disk().require(nbytes, reserved)

        return stage(request, record, self._roots, require_space, visibility)

    async def events_since(self, request: EventsSince, visibility: Visibility) -> Answer:
        """Return the events after a given one."""
        page = await self._core.store.call(
            lambda store: store.events.since(request.n, visibility, job_id=request.job, limit=request.limit)
        )
        return Answer(page.model_dump(mode="json"))

    async def artifact(self, request: ArtifactRead, visibility: Visibility) -> Answer:
        """Return a chunk of a finished file."""
        record = await self._core.store.call(lambda store: store.jobs.get(request.job, visibility))
        require_listed(record, request.name)
        loop = asyncio.get_running_loop()
        spec, chunk, size = await loop.run_in_executor(self._files, read_chunk, self._roots.artifacts, request)
        body = {"name": request.name, "offset": request.offset, "size_bytes": size}
        return Answer(body, buffers=(spec,), parts=(chunk,), job=request.job, attempt=record.attempt)

    async def preview(self, request: PreviewRead, visibility: Visibility) -> Answer:
        """Return the newest frame of a job."""
        await self._require_visible(request.job, visibility)
        frame = self._core.cache.get(request.job)
        if frame is None:
            raise NotFoundError(
                "There is no preview of this job.",
                hint="A job has no preview before it runs, and previews of old jobs are not kept.",
            )
        envelope = frame.envelope
        return Answer(
            {**envelope.body, "seq": envelope.seq, "ts": envelope.ts},
            buffers=envelope.buffers,
            parts=(frame.payload,),
            job=envelope.job,
            attempt=envelope.attempt,
        )

    async def model(self, request: ModelRef, _visibility: Visibility) -> Answer:
        """Return a trained model that a worker has."""
        found = next((model for model in self._core.workers.models() if model.name == request.model), None)
        if found is None:
            raise no_such_model(request.model)
        return Answer(found.model_dump(mode="json"))

    async def models(self, request: ModelListRequest, _visibility: Visibility) -> Answer:
        """Return a page of the trained models that workers have; they are for everybody."""
        begin = parse_cursor(request.cursor) if request.cursor else 0
        listed = self._core.workers.models()[begin:]
        shown = fitting(listed[: request.limit])
        cursor = str(begin + len(shown)) if len(shown) < len(listed) else None
        return Answer(ModelPage(models=shown, cursor=cursor).model_dump(mode="json"))

    async def _require_model(self, job_id: str, visibility: Visibility) -> None:
        record = await self._core.store.call(lambda store: store.jobs.get(job_id, visibility))
        engine = next((info for info in self._core.workers.engines() if info.name == record.engine), None)
        if engine is not None and record.state is not JobState.COMPLETED:
            required_model(engine, record.params, self._known_models())

    def _known_models(self) -> Sequence[ListedModel] | None:
        """Return the models of the connected workers, None if none is connected."""
        return self._core.workers.models() if len(self._core.workers) else None

    async def _require_visible(self, job_id: str, visibility: Visibility) -> None:
        await self._core.store.call(lambda store: store.jobs.owner(job_id, visibility))


def _require_everything(visibility: Visibility, what: str) -> None:
    if not visibility.is_everything:
        raise AccessError(
            f"The {what} of the whole server is for administrators.",
            hint="Ask for it with the key of an administrator, on behalf of all owners ('*').",
        )


def _by_visibility(handler: Callable[[Any, Visibility], Awaitable[Answer]]) -> Handler:
    """Return a handler that looks at what its caller may see, and not at who it is."""

    async def handle(request: Any, caller: Caller) -> Answer:  # noqa: ANN401 (the checked body)
        return await handler(request, caller.visibility)

    return handle


def _visible_part(worker: WorkerInfo, visibility: Visibility) -> WorkerInfo:
    """Return a worker's description; only administrators learn which job it runs and which folders it sees."""
    return worker if visibility.is_everything else worker.model_copy(update={"job_id": None, "folders": ()})
