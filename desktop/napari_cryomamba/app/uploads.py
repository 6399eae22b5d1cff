"""Tomograms on their way to a server, each a row among the jobs until its job is there."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from qtpy.QtCore import QObject

from cryomamba.errors import CryoMambaError
from cryomamba.models.jobs import JobError, JobRecord, JobState, PreviewOptions, Progress, VolumeSummary
from napari_cryomamba.models.jobs import SENDING_PREFIX
from napari_cryomamba.net.bridge import Bridge
from napari_cryomamba.net.messages import JobChanged, JobProgressed
from napari_cryomamba.net.submit import JobSubmission, send_and_submit
from napari_cryomamba.signals import Signal

READING, UPLOADING = "reading the file", "uploading"
_TOLD_EVERY_S = 0.1


class UploadController(QObject):
    """Uploads in the network's thread. Methods belong to the GUI thread and return at once.

    Signals
    -------
    arrived : Message
        What happened to an upload's row.
    sent : (str, JobRecord)
        The row's id, and the job that took its place.
    """

    arrived = Signal(object)
    sent = Signal(str, object)

    def __init__(self, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self._orders: dict[str, JobSubmission] = {}
        self._records: dict[str, JobRecord] = {}
        self._going: dict[str, Future[Any]] = {}

    def start(self, order: JobSubmission) -> JobRecord:
        """Send a tomogram and hand in its job; return the row."""
        row = f"{SENDING_PREFIX}{uuid.uuid4()}"
        now, meta = datetime.now(UTC), order.source.meta
        self._orders[row] = order
        self._records[row] = JobRecord(
            job_id=row,
            state=JobState.PENDING,
            name=order.name,
            engine=order.engine or "",
            params=order.params,
            volume=VolumeSummary(
                name=meta.name, shape=meta.shape, voxel_size_A=meta.voxel_size_A, path=str(order.source.path)
            ),
            preview=PreviewOptions(interval_s=order.interval_s),
            created_at=now,
            updated_at=now,
        )
        self._begin(row)
        return self._records[row]

    def retry(self, row: str) -> None:
        """Send it again; what has arrived is not sent twice."""
        if row in self._orders and row not in self._going:
            self._begin(row)

    def cancel(self, row: str) -> None:
        """Stop sending; the server forgets what it has."""
        future = self._going.pop(row, None)
        if future is not None:
            future.cancel()
            self._move(row, JobState.CANCELLED)

    def forget(self, row: str) -> None:
        """Drop a row that has ended."""
        self._orders.pop(row, None)
        self._records.pop(row, None)

    def _begin(self, row: str) -> None:
        self._move(row, JobState.RUNNING, attempt=1, errors=(), progress=Progress(stage=READING))

        def tell(progress: Progress) -> None:
            self.arrived.emit(JobProgressed(row, 1, progress))

        question: Any = partial(
            send_and_submit,
            order=self._orders[row],
            progress=Meter(tell, UPLOADING),
            reading=Meter(tell, READING),
        )
        future = self._bridge.ask(
            "Sending the tomogram", question, lambda job: self._done(row, job), lambda error: self._failed(row, error)
        )
        if future is not None:
            self._going[row] = future

    def _done(self, row: str, job: JobRecord) -> None:
        if self._going.pop(row, None) is not None:
            self.forget(row)
            self.sent.emit(row, job)

    def _failed(self, row: str, error: CryoMambaError) -> None:
        if self._going.pop(row, None) is not None:
            told = JobError(code=error.code, message=error.message[:2000], hint=error.hint[:1000], attempt=1)
            self._move(row, JobState.FAILED, errors=(told,))

    def _move(self, row: str, state: JobState, **changes: Any) -> None:  # noqa: ANN401 (a record's fields)
        changes |= {"state": state, "updated_at": datetime.now(UTC)}
        self._records[row] = self._records[row].model_copy(update=changes)
        self.arrived.emit(JobChanged(self._records[row]))


@dataclass(slots=True)
class Meter:
    """Turns bytes that are done into progress with a time to go; tells ten times a second at most."""

    tell: Callable[[Progress], None]
    stage: str
    _began: float | None = None
    _first: int = 0
    _told: float = 0.0

    def __call__(self, done: int, total: int) -> None:
        """Take how many bytes are there, of how many."""
        now = time.monotonic()
        if self._began is None:
            # What was there before, of an upload that goes on, says nothing of the line's speed.
            self._began, self._first = now, done
        if now - self._told < _TOLD_EVERY_S and done < total:
            return
        self._told = now
        fraction = done / total if total else 1.0
        speed = (done - self._first) / max(now - self._began, 1e-6)
        eta = (total - done) / speed if speed > 0 else None
        self.tell(Progress(fraction=min(fraction, 1.0), stage=self.stage, eta_s=eta))
