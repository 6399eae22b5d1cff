"""Jobs that run in this process, each in a thread of its own, and look like any other job to the panels."""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from qtpy.QtCore import QObject

from cryomamba.errors import CryoMambaError, ErrorCode, InternalError, JobFailedError
from cryomamba.events import ProgressEvent
from cryomamba.local import LocalEvent, find_local_runner
from cryomamba.records import (
    EngineInfo,
    JobError,
    JobEvent,
    JobRecord,
    JobState,
    PreviewOptions,
    Progress,
    SubmitRequest,
    VolumeSource,
    VolumeSummary,
)

from .models.frames import NewestFrame
from .net.messages import FrameWaits, JobChanged, JobProgressed
from .signals import Signal
from .tomogram import Source

JOIN_S = 10.0
LOCAL_PREFIX = "local-"

EventType = Literal["job_created", "job_started", "job_completed", "job_failed", "job_cancelled"]


class LocalJobs(QObject):
    """Runs engines here. Methods belong to the GUI thread and return at once.

    Parameters
    ----------
    folder : Path
        Where the masks of local jobs go, a folder for each.

    Signals
    -------
    arrived : Message
        What happened to a job.
    engines_found : tuple of EngineInfo
        Answer to :meth:`find_engines`; empty where none can run here.
    """

    arrived = Signal(object)
    engines_found = Signal(object)

    def __init__(self, folder: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.folder = folder
        self._runs: dict[str, _Run] = {}
        self._finder: threading.Thread | None = None

    def find_engines(self) -> None:
        """Look for the engines of this environment; importing them takes a second or two, aside."""

        def find() -> None:
            try:
                found: tuple[EngineInfo, ...] = find_local_runner().engines()
            except CryoMambaError:
                found = ()
            self.engines_found.emit(found)

        self._finder = threading.Thread(target=find, name="cryomamba-engines", daemon=True)
        self._finder.start()

    def start(self, source: Source, *, engine: str, params: dict[str, Any], name: str, interval_s: float) -> JobRecord:
        """Start a job and return it as it stands."""
        request = SubmitRequest(
            volume=VolumeSource(
                path=str(source.path), voxel_size_A=source.meta.voxel_size_A if source.corrected else None
            ),
            engine=engine,
            params=params,
            name=name or source.path.name,
            preview=PreviewOptions(interval_s=interval_s),
        )
        run = _Run(source, request, self.folder, self.arrived.emit)
        self._runs[run.record.job_id] = run
        run.start()
        return run.record

    def cancel(self, job_id: str) -> None:
        """Ask a job to stop at its next tile."""
        if job_id in self._runs:
            self._runs[job_id].cancel()

    def frame_place(self, job_id: str) -> NewestFrame:
        """Return where a job's previews are left."""
        return self._runs[job_id].frames

    def mask(self, job_id: str) -> Path:
        """Return where a job's mask appears."""
        return self._runs[job_id].output

    def close(self) -> None:
        """Cancel every job and wait for the threads to end."""
        for run in self._runs.values():
            run.cancel()
        for run in self._runs.values():
            run.join(JOIN_S)
        if self._finder is not None:
            self._finder.join(JOIN_S)


class _Run(threading.Thread):
    def __init__(self, source: Source, request: SubmitRequest, folder: Path, post: Any) -> None:  # noqa: ANN401
        job_id = f"{LOCAL_PREFIX}{uuid.uuid4()}"
        super().__init__(name=f"cryomamba-{job_id}", daemon=True)
        self.frames = NewestFrame()
        self.output = folder / job_id / "mask.mrc"
        self._source, self._request, self._post = source, request, post
        self._cancelled = threading.Event()
        meta, now = source.meta, datetime.now(UTC)
        self.record = JobRecord(
            job_id=job_id,
            state=JobState.PENDING,
            name=request.name,
            engine=request.engine or "",
            params=request.params,
            volume=VolumeSummary(
                name=meta.name, shape=meta.shape, voxel_size_A=meta.voxel_size_A, path=str(source.path)
            ),
            preview=request.preview,
            created_at=now,
            updated_at=now,
        )
        self._move(JobState.PENDING, "job_created")

    def cancel(self) -> None:
        self._cancelled.set()
        if not self.record.state.final and not self.record.cancel_requested:
            self.record = self.record.model_copy(update={"cancel_requested": True, "updated_at": datetime.now(UTC)})
            self._post(JobChanged(self.record))

    def run(self) -> None:
        self._move(JobState.RUNNING, "job_started", attempt=1, progress=Progress(stage="preparing"))
        try:
            self.output.parent.mkdir(parents=True, exist_ok=True)
            find_local_runner().run(
                self._source.path,
                self._request,
                output=self.output,
                on_event=self._on_event,
                cancelled=self._cancelled.is_set,
            )
        except CryoMambaError as error:
            self._end(error)
        except Exception as error:  # noqa: BLE001 (an engine of a third party may raise anything; the job must end)
            wrong = f"The engine failed with {type(error).__name__}: {error}"
            self._end(JobFailedError(wrong, hint="Try other parameters, or report it to the engine's authors."))
        else:
            self._move(JobState.COMPLETED, "job_completed", progress=Progress(fraction=1.0))

    def _end(self, error: CryoMambaError) -> None:
        if error.code is ErrorCode.CANCELLED:
            self._move(JobState.CANCELLED, "job_cancelled")
            return
        told = error if error.message else InternalError("The job failed without saying why.")
        failure = JobError(code=told.code, message=told.message[:2000], hint=told.hint[:1000], attempt=1)
        self._move(JobState.FAILED, "job_failed", errors=(failure,))

    def _on_event(self, event: LocalEvent) -> None:
        job_id = self.record.job_id
        if isinstance(event, ProgressEvent):
            self._post(JobProgressed(job_id, 1, event.progress))
        elif self.frames.put(event.frame, skipped=event.skipped):
            self._post(FrameWaits(job_id))

    def _move(self, state: JobState, what: EventType, **changes: Any) -> None:  # noqa: ANN401
        now = datetime.now(UTC)
        event = JobEvent(
            n=len(self.record.history) + 1,
            type=what,
            job_id=self.record.job_id,
            state=state,
            attempt=changes.get("attempt", self.record.attempt),
            at=now,
        )
        changes |= {"state": state, "updated_at": now, "history": (*self.record.history, event)}
        if state.final:
            changes["completed_at"] = now
        self.record = self.record.model_copy(update=changes)
        self._post(JobChanged(self.record))
