"""The compute process: runs one job at a time, sends progress and previews, and never outlives the service.

As a process of its own it cannot delay the renewal of the lease, even if an engine holds the interpreter lock.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from cryomamba.engines.artifacts import SCORES, candidates_path
from cryomamba.engines.registry import Registry
from cryomamba.errors import ProtocolError
from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import JobRecord, Progress
from cryomamba.picks import Picks, read_csv
from cryomamba.settings import Settings
from cryomamba.volumes import FileVersion, Volume, open_volume, resolve_below, verify_opened
from cryomamba.wire.buffers import Codec
from cryomamba.wire.preview import encode_frame
from cryomamba.wire.trace_context import TraceContext, use_trace
from cryomamba_inference.artifacts import write_artifacts
from cryomamba_inference.executor import open_executor
from cryomamba_inference.failures import EngineFailedError, as_error
from cryomamba_inference.pipe import Message, MessagePipe
from cryomamba_inference.process_lifetime import die_with_parent, leave_signals_to_parent
from cryomamba_inference.runner import Control, Task, run_task
from cryomamba_server import log_context
from cryomamba_server.logs import configure_logging
from cryomamba_server.uploaded_files import uploaded_volume

log = logging.getLogger(__name__)

_PROGRESS_INTERVAL_S = 0.1


def main(connection: Connection, parent: int, settings: dict[str, Any], codec: Codec) -> None:
    """Run in a spawned process until the pipe is closed.

    Parameters
    ----------
    connection : Connection
        The child's end of the pipe.
    parent : int
        Process id of the service.
    settings : dict
        Fields of :class:`~cryomamba.settings.Settings`.
    """
    die_with_parent(parent)
    leave_signals_to_parent()
    checked = Settings(**settings)
    configure_logging(checked.log, service="engine")
    _JobRunner(MessagePipe(connection), checked, codec).run()


class _JobRunner:
    def __init__(self, pipe: MessagePipe, settings: Settings, codec: Codec) -> None:
        self._pipe, self._settings, self._codec = pipe, settings, codec
        self._registry = Registry.discover()
        self._executor = open_executor(settings.processes or os.cpu_count() or 1)
        self._jobs: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._control = Control()

    def run(self) -> None:
        threading.Thread(target=self._receive, name="messages", daemon=True).start()
        self._pipe.send("ready", engines=[info.model_dump(mode="json") for info in self._registry.infos()])
        while True:
            job = self._jobs.get()
            with use_trace(TraceContext(**job["trace"])), log_context.bind(**job["log_fields"]):
                self._handle(job)

    def _receive(self) -> None:
        """Receive messages while the main thread computes; exit when the pipe is closed."""
        while True:
            try:
                message = self._pipe.receive()
            except (EOFError, OSError, ProtocolError):
                os._exit(1)
            match message["type"]:
                case "cancel":
                    self._control.cancel()
                case "focus":
                    self._control.set_focus(tuple(message["position"]))
                case "run":
                    self._control = Control()
                    self._jobs.put({**message, "control": self._control})

    def _handle(self, job: Message) -> None:
        try:
            artifacts = self._run(job)
        except Exception as error:
            failure = as_error(error)
            if isinstance(failure, EngineFailedError):
                if failure is error:
                    # From a process of the pool the traceback has come as text.
                    failure.add_note(failure.trace)
                log.exception("The engine raised an unexpected exception.")
            self._pipe.send("failed", error=failure.payload())
        else:
            self._pipe.send("done", artifacts=artifacts)

    def _run(self, job: Message) -> list[dict[str, Any]]:
        record = JobRecord.model_validate(job["job"])
        folder = Path(job["folder"])
        control: Control = job["control"]
        log.info("Job %s, attempt %d: computing.", record.job_id, job["attempt"])
        engine = self._registry.create(record.engine, record.params)
        events = _PipeEventSink(self._pipe, self._codec)
        volume = self._open(record, folder)
        try:
            task = Task(
                engine=engine,
                volume=volume,
                shape=record.volume.shape,
                voxel_size_A=record.volume.voxel_size_A,
                preview=record.preview,
                focus=None if job["focus"] is None else tuple(job["focus"]),
                job_id=record.job_id,
                attempt=job["attempt"],
                keep_scores=True,
                candidates=self._candidates(record),
            )
            outcome = run_task(task, folder, self._executor, control, events)
        finally:
            if volume is not None:
                volume.close()
        name = "" if volume is None else record.volume.name
        threads = self._executor.processes
        artifacts = write_artifacts(outcome, engine, volume_name=name, check=control.check, threads=threads)
        return [artifact.model_dump(mode="json") for artifact in artifacts]

    def _candidates(self, record: JobRecord) -> Picks | None:
        """Return the candidate picks that belong to the scores that the job re-thresholds."""
        if record.volume.job_id is None:
            return None
        path = candidates_path(self._settings.artifacts / record.volume.job_id / SCORES.name)
        return read_csv(path) if path.is_file() else None

    def _open(self, record: JobRecord, folder: Path) -> Volume | None:
        closed: Sequence[Path] = ()
        if record.volume.job_id is not None:
            roots: Sequence[Path] = (self._settings.artifacts,)
            path = resolve_below(f"{record.volume.job_id}/{SCORES.name}", roots)
        elif record.volume.file_id is not None:
            roots = (self._settings.uploads,)
            path = uploaded_volume(self._settings.uploads, record.volume.file_id)
        elif record.volume.path is not None:
            roots = self._settings.roots
            closed = self._settings.own_folders
            path = resolve_below(record.volume.path, roots, closed=closed)
        else:
            return None
        scratch = folder / "unpacked"
        scratch.mkdir()
        verify = partial(verify_opened, path=path, roots=roots, closed=closed)
        check = partial(_require_submitted, record, verify)
        volume = open_volume(path, scratch=scratch, check=check)
        if volume.voxel_size_A != record.volume.voxel_size_A:
            volume.close()
            volume = open_volume(path, voxel_size_A=record.volume.voxel_size_A, scratch=scratch, check=check)
        return volume


def _require_submitted(record: JobRecord, verify: Callable[[int], None], descriptor: int) -> None:
    """Refuse an open file that may not be read, or is not the one for which the job was submitted."""
    verify(descriptor)
    submitted = FileVersion.from_text(record.volume.version or "")
    if submitted is not None:
        submitted.require_same(FileVersion.of(descriptor), record.volume.name, "after the job was submitted")


class _PipeEventSink:
    """Sends progress, at a limited rate, and every preview, encoded here."""

    def __init__(self, pipe: MessagePipe, codec: Codec) -> None:
        self._pipe, self._codec = pipe, codec
        self._due = 0.0
        self._stage = ""

    def on_progress(self, progress: Progress) -> None:
        if time.monotonic() < self._due and progress.stage == self._stage:
            return
        self._due, self._stage = time.monotonic() + _PROGRESS_INTERVAL_S, progress.stage
        self._pipe.send("progress", progress=progress.model_dump(mode="json"))

    def on_preview(self, frame: PreviewFrame) -> None:
        body, spec, part = encode_frame(frame, codec=self._codec)
        self._pipe.send("preview", job=frame.job_id, attempt=frame.attempt, body=body, spec=spec.to_wire(), part=part)
