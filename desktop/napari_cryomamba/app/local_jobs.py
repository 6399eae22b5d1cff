"""Jobs that run in this process, each in a thread of its own, and look like any other job to the panels."""

from __future__ import annotations

import json
import shutil
import threading
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError
from qtpy.QtCore import QObject

from cryomamba.engines.artifacts import ARTIFACTS, EXPORTS, MASK, STATISTICS, ExportFormat, requested_formats
from cryomamba.engines.info import EngineInfo
from cryomamba.engines.registry import Registry
from cryomamba.errors import CryoMambaError, ErrorCode, InternalError, JobFailedError, UnavailableError
from cryomamba.models.events import ProgressEvent
from cryomamba.models.jobs import (
    Artifact,
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
from cryomamba.optional_imports import requires_extra
from napari_cryomamba.models.frames import NewestFrame
from napari_cryomamba.models.jobs import LOCAL_PREFIX
from napari_cryomamba.net.messages import FrameWaits, JobChanged, JobProgressed
from napari_cryomamba.net.submit import JobSubmission
from napari_cryomamba.signals import Signal

if TYPE_CHECKING:
    from cryomamba_inference.local import LocalEvent, LocalRunner

JOIN_S = 10.0
_RECORD = "job.json"

EventType = Literal["job_created", "job_started", "job_completed", "job_failed", "job_cancelled"]


class LocalJobs(QObject):
    """Runs engines here. Methods belong to the GUI thread and return at once.

    Parameters
    ----------
    folder : Path
        Where the results of local jobs go, a folder for each.

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
        self._frames: dict[str, NewestFrame] = {}
        self._finder: threading.Thread | None = None

    def find_engines(self) -> None:
        """Look for the engines of this environment; importing them takes a second or two, aside."""

        def find() -> None:
            try:
                found: tuple[EngineInfo, ...] = _local_runner().engines()
            except CryoMambaError:
                found = ()
            self.engines_found.emit(found)

        self._finder = threading.Thread(target=find, name="cryomamba-engines", daemon=True)
        self._finder.start()

    def remembered(self) -> list[JobRecord]:
        """Return the jobs of earlier starts of the desktop that came to an end."""
        found = []
        for path in sorted(self.folder.glob(f"{LOCAL_PREFIX}*/{_RECORD}")):
            try:
                found.append(JobRecord.model_validate_json(path.read_bytes()))
            except (OSError, ValidationError):
                continue
        return found

    def start(self, order: JobSubmission) -> JobRecord:
        """Start a job and return it as it stands."""
        meta, now = order.source.meta, datetime.now(UTC)
        record = JobRecord(
            job_id=f"{LOCAL_PREFIX}{uuid.uuid4()}",
            state=JobState.PENDING,
            name=order.name or order.source.path.name,
            engine=order.engine or "",
            params=order.params,
            volume=VolumeSummary(
                name=meta.name, shape=meta.shape, voxel_size_A=meta.voxel_size_A, path=str(order.source.path)
            ),
            preview=PreviewOptions(interval_s=order.interval_s),
            created_at=now,
            updated_at=now,
        )
        return self._begin(record)

    def retry(self, job_id: str) -> None:
        """Run a job that has ended once more."""
        run = self._runs.get(job_id)
        record = run.record if run is not None else next((r for r in self.remembered() if r.job_id == job_id), None)
        if record is not None and record.state.final:
            self._begin(record.model_copy(update={"errors": (), "cancel_requested": False, "completed_at": None}))

    def _begin(self, record: JobRecord) -> JobRecord:
        run = _Run(record, self.folder / record.job_id, self.frame_place(record.job_id), self.arrived.emit)
        self._runs[record.job_id] = run
        run.start()
        return run.record

    def cancel(self, job_id: str) -> None:
        """Ask a job to stop at its next tile."""
        if job_id in self._runs:
            self._runs[job_id].cancel()

    def forget(self, job_id: str) -> None:
        """Drop a job that has ended, with its files."""
        self._runs.pop(job_id, None)
        shutil.rmtree(self.folder / job_id, ignore_errors=True)

    def frame_place(self, job_id: str) -> NewestFrame:
        """Return where a job's previews are left."""
        return self._frames.setdefault(job_id, NewestFrame())

    def file(self, job_id: str, name: str) -> Path:
        """Return where a result of a job lies."""
        return self.folder / job_id / name

    def close(self) -> None:
        """Cancel every job and wait for the threads to end."""
        for run in self._runs.values():
            run.cancel()
        for run in self._runs.values():
            run.join(JOIN_S)
        if self._finder is not None:
            self._finder.join(JOIN_S)


class _Run(threading.Thread):
    def __init__(self, record: JobRecord, folder: Path, frames: NewestFrame, post: Any) -> None:  # noqa: ANN401
        super().__init__(name=f"cryomamba-{record.job_id}", daemon=True)
        self.record = record
        self._folder, self._frames, self._post = folder, frames, post
        self._attempt = record.attempt + 1
        self._cancelled = threading.Event()
        self._move(JobState.PENDING, "job_created")

    def cancel(self) -> None:
        self._cancelled.set()
        if not self.record.state.final and not self.record.cancel_requested:
            self.record = self.record.model_copy(update={"cancel_requested": True, "updated_at": datetime.now(UTC)})
            self._post(JobChanged(self.record))

    def run(self) -> None:
        self._move(JobState.RUNNING, "job_started", attempt=self._attempt, progress=Progress(stage="preparing"))
        try:
            artifacts = self._segment()
        except CryoMambaError as error:
            self._end(error)
        except OSError as error:
            why = f"The results could not be written: {error.strerror or error}."
            self._end(UnavailableError(why, hint="Look at the room on the disk of CRYOMAMBA_HOME."))
        except Exception as error:  # noqa: BLE001 (an engine of a third party may raise anything; the job must end)
            wrong = f"The engine failed with {type(error).__name__}: {error}"
            self._end(JobFailedError(wrong, hint="Try other parameters, or report it to the engine's authors."))
        else:
            self._move(
                JobState.COMPLETED, "job_completed", progress=Progress(fraction=1.0), artifacts=artifacts, errors=()
            )

    def _segment(self) -> tuple[Artifact, ...]:
        record, folder = self.record, self._folder
        folder.mkdir(parents=True, exist_ok=True)
        engine = Registry.discover().engines.get(record.engine)
        scores, picks = engine is not None and engine.keeps_scores, engine is not None and engine.picks is not None
        wanted: dict[ExportFormat, bool] = {"scores": scores, "candidates": scores and picks, "csv": picks}
        made = () if engine is None else requested_formats(engine.Parameters.model_json_schema(), record.params)
        formats = (*(form for form, there in wanted.items() if there), *made)
        volume = record.volume
        request = SubmitRequest(
            volume=VolumeSource(path=volume.path, voxel_size_A=volume.voxel_size_A),
            engine=record.engine,
            params=record.params,
            name=record.name,
            preview=record.preview,
        )
        result = _local_runner().run(
            Path(volume.path or ""),
            request,
            output=folder / MASK.name,
            on_event=self._on_event,
            cancelled=self._cancelled.is_set,
            formats=formats,
        )
        for form, path in zip(formats, result.exports, strict=True):
            path.replace(folder / EXPORTS[form].name)
        (folder / STATISTICS.name).write_text(json.dumps(result.statistics), encoding="utf-8")
        found = [folder / kind.name for kind in ARTIFACTS]
        return tuple(Artifact(name=path.name, size_bytes=path.stat().st_size) for path in found if path.exists())

    def _end(self, error: CryoMambaError) -> None:
        if error.code is ErrorCode.CANCELLED:
            self._move(JobState.CANCELLED, "job_cancelled")
            return
        told = error if error.message else InternalError("The job failed without saying why.")
        failure = JobError(code=told.code, message=told.message[:2000], hint=told.hint[:1000], attempt=self._attempt)
        self._move(JobState.FAILED, "job_failed", errors=(failure,))

    def _on_event(self, event: LocalEvent) -> None:
        job_id = self.record.job_id
        if isinstance(event, ProgressEvent):
            self._post(JobProgressed(job_id, self._attempt, event.progress))
        elif self._frames.put(event.frame, skipped=event.skipped):
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
        if state.final:
            self._write_down()
        self._post(JobChanged(self.record))

    def _write_down(self) -> None:
        """Keep how the job ended, so that the table has it after a restart of the desktop."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / _RECORD).write_text(self.record.model_dump_json(), encoding="utf-8")
        except OSError:
            # Only the memory of it is lost.
            return


def _local_runner() -> LocalRunner:
    with requires_extra("inference"):
        from cryomamba_inference.local import LocalRunner

    return LocalRunner()
