"""Uploads of tomograms: each is a row among the jobs until the server has made a job of it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QObject, Signal

from cryomamba.client import AsyncClient
from cryomamba.errors import CryoMambaError
from cryomamba.models.jobs import JobRecord, JobState, Progress
from napari_cryomamba.app.job_sources import JobSource
from napari_cryomamba.models.job_records import advance, fail, new_record
from napari_cryomamba.models.jobs import JobKind
from napari_cryomamba.models.submission import JobSubmission
from napari_cryomamba.net.bridge import Bridge
from napari_cryomamba.net.messages import JobChanged, JobProgressed

READING, UPLOADING = "reading the file", "uploading"
_REPORT_EVERY_S = 0.1


class UploadController(JobSource):
    """Uploads in the network thread; `submitted` has the id of an upload and the job that takes its place."""

    submitted = Signal(str, object)

    def __init__(self, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self._submissions: dict[str, JobSubmission] = {}
        self._records: dict[str, JobRecord] = {}
        self._running: dict[str, Future[Any]] = {}

    def start(self, submission: JobSubmission) -> JobRecord:
        """Upload a tomogram and submit its job; return the upload's record."""
        upload_id = f"{JobKind.UPLOAD}{uuid.uuid4()}"
        self._submissions[upload_id] = submission
        self._records[upload_id] = new_record(upload_id, submission)
        self._start(upload_id)
        return self._records[upload_id]

    def retry(self, job_id: str) -> None:
        """Resume an upload; parts that the server has are not sent twice."""
        if job_id in self._submissions and job_id not in self._running:
            self._start(job_id)

    def cancel(self, job_id: str) -> None:
        """Stop an upload; the server deletes the parts it has."""
        future = self._running.pop(job_id, None)
        if future is not None:
            future.cancel()
            self._set(advance(self._records[job_id], JobState.CANCELLED))

    def remove(self, job_id: str) -> None:
        """Forget an upload that has ended."""
        self._submissions.pop(job_id, None)
        self._records.pop(job_id, None)

    def _start(self, upload_id: str) -> None:
        started = {"attempt": 1, "errors": (), "progress": Progress(stage=READING)}
        self._set(advance(self._records[upload_id], JobState.RUNNING, **started))

        def report(progress: Progress) -> None:
            self.message_received.emit(JobProgressed(upload_id, 1, progress))

        submission = self._submissions[upload_id]
        reading, progress = TransferProgress(report, READING), TransferProgress(report, UPLOADING)

        async def call(client: AsyncClient) -> JobRecord:
            path = submission.source.path
            # Without `keep`, the server deletes the parts it has if the call is cancelled.
            job = await client.submit(
                path, upload="always", reading=reading, progress=progress, keep=False, **submission.fields
            )
            return job.record

        future = self._bridge.request(
            "Uploading the tomogram",
            call,
            lambda job: self._on_submitted(upload_id, job),
            lambda error: self._on_failed(upload_id, error),
        )
        if future is not None:
            self._running[upload_id] = future

    def _on_submitted(self, upload_id: str, job: JobRecord) -> None:
        if self._running.pop(upload_id, None) is not None:
            self.remove(upload_id)
            self.submitted.emit(upload_id, job)

    def _on_failed(self, upload_id: str, error: CryoMambaError) -> None:
        if self._running.pop(upload_id, None) is not None:
            self._set(fail(self._records[upload_id], error))

    def _set(self, record: JobRecord) -> None:
        self._records[record.job_id] = record
        self.message_received.emit(JobChanged(record))


@dataclass(slots=True)
class TransferProgress:
    """Turns byte counts into progress with the time left, at most ten times a second."""

    report: Callable[[Progress], None]
    stage: str
    _started: float | None = None
    _first: int = 0
    _reported: float = 0.0

    def __call__(self, done: int, total: int) -> None:
        """Report bytes done and in all."""
        now = time.monotonic()
        if self._started is None:
            # Bytes from before a resumed upload do not count for the speed.
            self._started, self._first = now, done
        if now - self._reported < _REPORT_EVERY_S and done < total:
            return
        self._reported = now
        fraction = done / total if total else 1.0
        speed = (done - self._first) / max(now - self._started, 1e-6)
        eta = (total - done) / speed if speed > 0 else None
        self.report(Progress(fraction=min(fraction, 1.0), stage=self.stage, eta_s=eta))
