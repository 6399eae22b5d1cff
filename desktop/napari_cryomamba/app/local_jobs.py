"""Jobs that run in this process, each in its own thread; to the panels they are like any other job."""

from __future__ import annotations

import json
import shutil
import threading
import uuid
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from qtpy.QtCore import QObject, Signal

from cryomamba.engines.artifacts import ARTIFACTS, EXPORTS, MASK, STATISTICS, ExportFormat, requested_formats
from cryomamba.engines.info import EngineInfo
from cryomamba.engines.registry import Registry
from cryomamba.engines.strokes import STROKES
from cryomamba.errors import CryoMambaError, ErrorCode, InternalError, JobFailedError, UnavailableError
from cryomamba.models.events import ProgressEvent
from cryomamba.models.jobs import Artifact, JobRecord, JobState, Progress, SubmitRequest, VolumeSource
from cryomamba.optional_imports import requires_extra
from cryomamba.volumes import VolumeWarning
from napari_cryomamba.app.job_sources import JobSource
from napari_cryomamba.models.frames import FrameStore, LatestFrame
from napari_cryomamba.models.job_records import advance, fail, new_record
from napari_cryomamba.models.jobs import JobKind
from napari_cryomamba.models.submission import JobSubmission
from napari_cryomamba.net.messages import FrameReady, JobChanged, JobProgressed, Message

if TYPE_CHECKING:
    from cryomamba_inference.local import LocalEvent, LocalRunner

JOIN_S = 10.0
RUNNING_MAX = 2
"""How many jobs run at a time; the others wait."""
_RECORD = "job.json"


class LocalJobs(JobSource):
    """Runs engines in this process.

    Parameters
    ----------
    folder : Path
        Where the results of local jobs go, a folder for each.

    Signals
    -------
    engines_found : tuple of EngineInfo
        Answer to :meth:`find_engines`; empty if none can run here.
    """

    engines_found = Signal(object)
    _ended = Signal()

    def __init__(self, folder: Path, frames: FrameStore, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.folder, self._frames = folder, frames
        self._runs: dict[str, _LocalRun] = {}
        self._waiting: deque[_LocalRun] = deque()
        self._ended.connect(self._start_waiting)
        self._finder: threading.Thread | None = None

    def find_engines(self) -> None:
        """Look for the engines of this environment in a thread; importing them takes a second or two."""

        def find() -> None:
            try:
                found: tuple[EngineInfo, ...] = _local_runner().engines()
            except CryoMambaError:
                found = ()
            self.engines_found.emit(found)

        self._finder = threading.Thread(target=find, name="cryomamba-engines", daemon=True)
        self._finder.start()

    def saved(self) -> list[JobRecord]:
        """Return the jobs of earlier sessions that ended."""
        found = []
        for path in sorted(self.folder.glob(f"{JobKind.LOCAL}*/{_RECORD}")):
            try:
                found.append(JobRecord.model_validate_json(path.read_bytes()))
            except (OSError, ValidationError):
                continue
        return found

    def start(self, submission: JobSubmission) -> JobRecord:
        """Start a job and return its record."""
        return self._start(new_record(f"{JobKind.LOCAL}{uuid.uuid4()}", submission))

    def retry(self, job_id: str) -> None:
        """Run a job that has ended again."""
        run = self._runs.get(job_id)
        record = run.record if run is not None else next((r for r in self.saved() if r.job_id == job_id), None)
        if record is not None and record.state.final:
            self.restarted.emit(job_id)
            again = {"errors": (), "warnings": (), "estimates": {}, "cancel_requested": False, "completed_at": None}
            self._start(record.model_copy(update=again))

    def _start(self, record: JobRecord) -> JobRecord:
        job_id = record.job_id
        run = _LocalRun(
            record, self.folder / job_id, self._frames[job_id], self.message_received.emit, self._ended.emit
        )
        self._runs[job_id] = run
        self._waiting.append(run)
        self._start_waiting()
        return run.record

    def _start_waiting(self) -> None:
        """Start jobs that wait, as long as few run: each of them uses all cores."""
        while self._waiting and sum(run.is_busy for run in self._runs.values()) < RUNNING_MAX:
            run = self._waiting.popleft()
            if not run.record.state.final:
                run.start()

    def cancel(self, job_id: str) -> None:
        """Ask a job to stop at its next tile; one that waits is cancelled at once."""
        run = self._runs.get(job_id)
        if run is None:
            return
        if run in self._waiting:
            self._waiting.remove(run)
            run.abandon()
        else:
            run.cancel()

    def remove(self, job_id: str) -> None:
        """Delete a job that has ended, with its files."""
        self._runs.pop(job_id, None)
        shutil.rmtree(self.folder / job_id, ignore_errors=True)

    def file(self, job_id: str, name: str) -> Path:
        """Return the path of a job's file."""
        return self.folder / job_id / name

    def close(self) -> None:
        """Cancel every job and wait for the threads to end."""
        for run in self._waiting:
            run.abandon()
        self._waiting.clear()
        for run in self._runs.values():
            run.cancel()
        for run in self._runs.values():
            if run.ident is not None:
                run.join(JOIN_S)
        if self._finder is not None:
            self._finder.join(JOIN_S)


class _LocalRun(threading.Thread):
    def __init__(
        self,
        record: JobRecord,
        folder: Path,
        frames: LatestFrame,
        post: Callable[[Message], object],
        ended: Callable[[], object],
    ) -> None:
        super().__init__(name=f"cryomamba-{record.job_id}", daemon=True)
        self.record = record
        self._folder, self._frames, self._post, self._ended = folder, frames, post, ended
        self._attempt = record.attempt + 1
        self._cancelled = threading.Event()
        self._set(advance(record, JobState.PENDING))

    @property
    def is_busy(self) -> bool:
        """Whether the job has begun and not ended."""
        return self.ident is not None and not self.record.state.final

    def abandon(self) -> None:
        """Cancel a job that has not begun."""
        self._advance(JobState.CANCELLED)

    def cancel(self) -> None:
        self._cancelled.set()
        if not self.record.state.final and not self.record.cancel_requested:
            changes = {"cancel_requested": True, "updated_at": datetime.now(UTC)}
            self._set(self.record.model_copy(update=changes))

    def run(self) -> None:
        try:
            self._run()
        finally:
            self._ended()

    def _run(self) -> None:
        self._advance(JobState.RUNNING, attempt=self._attempt, progress=Progress(stage="preparing"))
        try:
            artifacts, statistics = self._segment()
        except CryoMambaError as error:
            self._fail(error)
        except OSError as error:
            why = f"The results could not be written: {error.strerror or error}."
            self._fail(UnavailableError(why, hint="Check that the disk of CryoMamba's data directory is not full."))
        except Exception as error:  # noqa: BLE001 (a third party's engine may raise anything; the job must end)
            why = f"The engine failed with {type(error).__name__}: {error}"
            self._fail(JobFailedError(why, hint="Try other parameters, or report it to the engine's authors."))
        else:
            self._advance(
                JobState.COMPLETED,
                progress=Progress(fraction=1.0),
                artifacts=artifacts,
                warnings=tuple(VolumeWarning.model_validate(warning) for warning in statistics["warnings"]),
                estimates=statistics["estimates"],
                errors=(),
            )

    def _segment(self) -> tuple[tuple[Artifact, ...], dict[str, Any]]:
        record, folder = self.record, self._folder
        folder.mkdir(parents=True, exist_ok=True)
        formats = _export_formats(record)
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
            within=None if record.within is None or record.within.path is None else Path(record.within.path),
            model=folder if record.params.get(STROKES) is not None else None,
        )
        for form, path in zip(formats, result.exports, strict=True):
            path.replace(folder / EXPORTS[form].name)
        (folder / STATISTICS.name).write_text(json.dumps(result.statistics), encoding="utf-8")
        found = [folder / kind.name for kind in ARTIFACTS]
        artifacts = tuple(Artifact(name=path.name, size_bytes=path.stat().st_size) for path in found if path.exists())
        return artifacts, result.statistics

    def _fail(self, error: CryoMambaError) -> None:
        if error.code is ErrorCode.CANCELLED:
            self._advance(JobState.CANCELLED)
            return
        known = error if error.message else InternalError("The job failed without an error message.")
        self._set(fail(self.record, known))

    def _on_event(self, event: LocalEvent) -> None:
        job_id = self.record.job_id
        if isinstance(event, ProgressEvent):
            self._post(JobProgressed(job_id, self._attempt, event.progress))
        elif self._frames.put(event.frame, skipped=event.skipped):
            self._post(FrameReady(job_id))

    def _advance(self, state: JobState, **changes: Any) -> None:  # noqa: ANN401 (a record's fields)
        self._set(advance(self.record, state, **changes))

    def _set(self, record: JobRecord) -> None:
        self.record = record
        if record.state.final:
            self._save()
        self._post(JobChanged(record))

    def _save(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / _RECORD).write_text(self.record.model_dump_json(), encoding="utf-8")
        except OSError:
            # Only the row in the next session is lost.
            return


def _export_formats(record: JobRecord) -> tuple[ExportFormat, ...]:
    engine = Registry.discover().engines.get(record.engine)
    if engine is None:
        return ()
    picks = engine.picks is not None
    always: dict[ExportFormat, bool] = {
        "scores": engine.keeps_scores,
        "candidates": engine.keeps_scores and picks,
        "csv": picks,
    }
    requested = requested_formats(engine.Parameters.model_json_schema(), record.params)
    return (*(form for form, made in always.items() if made), *requested)


def _local_runner() -> LocalRunner:
    with requires_extra("inference"):
        from cryomamba_inference.local import LocalRunner

    return LocalRunner()
