"""The compute process: runs one job at a time, sends progress and previews, and never outlives the service.

As a process of its own it cannot delay the renewal of the lease, even if an engine holds the interpreter lock.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from cryomamba.engines.api import Engine
from cryomamba.engines.registry import Registry, describe
from cryomamba.errors import ProtocolError
from cryomamba.masks.strokes import Strokes
from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import Artifact, JobRecord, Progress
from cryomamba.settings import Settings
from cryomamba.trained_models.folders import ModelFolders, use_model_folders
from cryomamba.wire.buffers import Codec
from cryomamba.wire.preview import encode_frame
from cryomamba.wire.trace_context import TraceContext, use_trace
from cryomamba_inference.artifacts import write_artifacts
from cryomamba_inference.executor import open_executor
from cryomamba_inference.failures import EngineFailedError, UnreadableFileError, as_error
from cryomamba_inference.job_files import open_mask, open_tomogram, read_candidates, region_of
from cryomamba_inference.mask_statistics import read_statistics
from cryomamba_inference.pipe import Message, MessagePipe
from cryomamba_inference.runner import Control, Outcome, Task, run_to_last_strokes
from cryomamba_inference.submitted_model import require_submitted_model
from cryomamba_server import log_context
from cryomamba_server.logs import configure_logging
from cryomamba_server.model_store.catalog import ModelCatalog
from cryomamba_server.process_lifetime import die_with_parent, leave_signals_to_parent

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
    use_model_folders(ModelFolders.of(checked, names_only=True))
    _JobRunner(MessagePipe(connection), checked, codec).run()


class _JobRunner:
    def __init__(self, pipe: MessagePipe, settings: Settings, codec: Codec) -> None:
        self._pipe, self._settings, self._codec = pipe, settings, codec
        self._registry = Registry.discover()
        self._models = ModelCatalog(settings)
        token = None if settings.token is None else settings.token.get_secret_value()
        processes = settings.processes or os.cpu_count() or 1
        self._executor = open_executor(processes, settings.dask, settings.dask_volumes, token)
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
                case "strokes":
                    self._control.set_strokes(Strokes.model_validate(message["strokes"]), message["changes"])
                case "run":
                    self._control = Control(strokes_changes=message["strokes"])
                    self._jobs.put({**message, "control": self._control})

    def _handle(self, job: Message) -> None:
        try:
            done = self._run(job)
        except Exception as error:
            failure = as_error(error)
            if isinstance(failure, EngineFailedError):
                if failure is error:
                    # From a process of the pool the traceback has come as text.
                    failure.add_note(failure.trace)
                log.exception("The engine raised an unexpected exception.")
            if isinstance(failure, UnreadableFileError):
                log.error("The Dask worker %s cannot read %s.", failure.worker, failure.path)
            self._pipe.send("failed", error=failure.payload())
        else:
            self._pipe.send("done", **done)

    def _run(self, job: Message) -> dict[str, Any]:
        record = JobRecord.model_validate(job["job"])
        folder = Path(job["folder"])
        control: Control = job["control"]
        log.info("Job %s, attempt %d: computing.", record.job_id, job["attempt"])
        parameter = describe(self._registry.get(record.engine)).model_parameter
        require_submitted_model(record, parameter, self._models)
        engine = self._registry.create(record.engine, record.params)
        events = _PipeEventSink(self._pipe, self._codec)
        with ExitStack() as files:
            volume, region = open_tomogram(record, self._settings, folder), None
            if volume is not None:
                files.enter_context(volume)
            if record.within is not None:
                mask = files.enter_context(open_mask(record.within, self._settings, folder))
                region = region_of(mask, record)
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
                candidates=read_candidates(record, self._settings),
                within=region,
            )
            name = "" if volume is None else record.volume.name
            threads = self._executor.processes

            def finish(outcome: Outcome, engine: Engine[Any]) -> tuple[Artifact, ...]:
                return write_artifacts(outcome, engine, volume_name=name, check=control.check, threads=threads)

            artifacts = run_to_last_strokes(task, folder, self._executor, control, events, finish)
        statistics = read_statistics(folder)
        return {
            "artifacts": [artifact.model_dump(mode="json") for artifact in artifacts],
            "warnings": statistics["warnings"],
            "estimates": statistics["estimates"],
            "strokes": control.strokes_changes,
        }


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
