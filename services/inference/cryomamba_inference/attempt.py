"""One attempt at a job: its lease, its working directory, its compute process, and its result."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cryomamba.client.bus_requester import BusRequester, Reply
from cryomamba.engines.api import Estimate
from cryomamba.errors import (
    ConflictError,
    CryoMambaError,
    ErrorCode,
    InvalidRequestError,
    NotFoundError,
    UnavailableError,
    error_from_payload,
)
from cryomamba.models.base import Request
from cryomamba.models.jobs import Artifact, JobError, Progress
from cryomamba.settings import Settings
from cryomamba.volumes import VolumeWarning
from cryomamba.wire.constants import RENEWALS_PER_LEASE
from cryomamba.wire.messages import JOB_FAIL, JOB_FINISH, JOB_RENEW, PROGRESS
from cryomamba.wire.requests import Claimed, Fail, Finish, ProgressReport, Renew, Renewed
from cryomamba.wire.trace_context import current_trace
from cryomamba_inference.artifacts import publish
from cryomamba_inference.compute_process import ComputeProcess
from cryomamba_inference.failures import as_error, cancelled_error, lost_error
from cryomamba_inference.limits import exceeded
from cryomamba_inference.pipe import Message
from cryomamba_server.attempt_files import attempt_folder, remove_attempt_folder
from cryomamba_server.workspace import Workspace

log = logging.getLogger(__name__)

GRACE_S = 5.0
_RETRY_S = 0.2
_PROGRESS_INTERVAL_S = 0.5


@dataclass(frozen=True, slots=True)
class _Result:
    artifacts: tuple[Artifact, ...] = ()
    warnings: tuple[VolumeWarning, ...] = ()
    estimates: dict[str, Estimate] = field(default_factory=dict)
    strokes: int = 0
    error: CryoMambaError | None = None


class _LeaseLost(Exception):  # noqa: N818 (not an error: another worker has the job now)
    """Another worker runs the job now, or the job has ended."""


class Attempt:
    """Runs a claimed job; belongs to one event loop.

    Parameters
    ----------
    claimed : Claimed
        With a job.
    child : ComputeProcess
        Ready and idle.
    """

    def __init__(
        self, claimed: Claimed, worker: str, settings: Settings, requester: BusRequester, child: ComputeProcess
    ) -> None:
        if claimed.job is None:
            raise ValueError("there is no job in this claim")
        self._job = claimed.job
        self.job_id = claimed.job.job_id
        self.number = claimed.attempt
        self._focus, self._strokes = claimed.focus, claimed.strokes
        self._lease_s = claimed.lease_s
        self._worker, self._settings, self._requester, self._child = worker, settings, requester, child
        self._progress = Progress(stage="starting")
        self._progressed = asyncio.Event()
        self._progressed.set()
        self._cancelling = self._forced = False
        self._result: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()
        self._resources = contextlib.ExitStack()
        self._published: Path | None = None

    @property
    def log_fields(self) -> dict[str, object]:
        """What every log record about the attempt carries."""
        return {
            "job_id": self.job_id,
            "attempt": self.number,
            "worker": self._worker,
            "owner": self._job.owner or None,
            "engine": self._job.engine,
        }

    async def run(self) -> None:
        """Run the job, publish its files and report the result; a compute process in an uncertain state is killed."""
        log.info("Job %s, attempt %d: %s on %s.", self.job_id, self.number, self._job.engine, self._job.volume.name)
        try:
            folder = self._resources.enter_context(Workspace(self._settings.work, self.job_id, self.number)).path
            self._child.run(
                {
                    "job": self._job.model_dump(mode="json"),
                    "attempt": self.number,
                    "focus": self._focus,
                    "strokes": self._strokes,
                    "folder": str(folder),
                    "log_fields": self.log_fields,
                    "trace": asdict(current_trace()),
                }
            )
            result = await self._supervise()
            if result.error is None:
                await self._finish(folder, result)
            else:
                await self._fail(result.error)
        except _LeaseLost:
            log.warning("Job %s, attempt %d: the lease is lost; its files are deleted.", self.job_id, self.number)
            await self._child.end()
            if self._published is not None:
                await asyncio.to_thread(remove_attempt_folder, self._published)
        except (CryoMambaError, OSError) as error:
            log.exception("Job %s could not be finished.", self.job_id)
            try:
                await self._fail(as_error(error))
            except _LeaseLost:
                pass
            except CryoMambaError as refusal:
                # The lease will expire, and the broker counts the attempt as lost.
                log.error("The result of job %s could not be reported: %s", self.job_id, refusal)

    async def _finish(self, folder: Path, result: _Result) -> None:
        # Only the attempt that holds the lease may publish files under their final names.
        renew = Renew(job=self.job_id, worker=self._worker, attempt=self.number)
        await self._request_until_answered(JOB_RENEW, renew)
        self._published = attempt_folder(self._settings.artifacts, self.job_id, self.number)
        publish(folder, self._published, result.artifacts)
        body = Finish(
            job=self.job_id,
            worker=self._worker,
            attempt=self.number,
            artifacts=result.artifacts,
            warnings=result.warnings,
            estimates=result.estimates,
            strokes=result.strokes,
        )
        await self._request_until_answered(JOB_FINISH, body)
        for artifact in result.artifacts:
            about = {"artifact": artifact.name, "bytes": artifact.size_bytes, "sha256": artifact.sha256}
            log.info("Artifact %s of job %s is stored.", artifact.name, self.job_id, extra=about)
        log.info("Job %s is finished.", self.job_id)

    async def _fail(self, error: CryoMambaError) -> None:
        if not isinstance(error, InvalidRequestError) and (error.code is not ErrorCode.CANCELLED or self._forced):
            await self._child.end()
        log.info("Job %s, attempt %d, ended: %s", self.job_id, self.number, error)
        job_error = JobError(
            code=error.code,
            message=error.message[:2000],
            hint=error.hint[:1000],
            retryable=error.retryable,
            attempt=self.number,
        )
        await self._request_until_answered(
            JOB_FAIL, Fail(job=self.job_id, worker=self._worker, attempt=self.number, error=job_error)
        )

    def on_message(self, message: Message) -> None:
        """Handle a message of the compute process."""
        if self._result.done():
            return
        match message["type"]:
            case "progress":
                self._progress = Progress.model_validate(message["progress"])
                self._progressed.set()
            case "done":
                artifacts = tuple(Artifact.model_validate(artifact) for artifact in message["artifacts"])
                warnings = tuple(VolumeWarning.model_validate(warning) for warning in message["warnings"])
                self._result.set_result(_Result(artifacts, warnings, message["estimates"], message["strokes"]))
            case "failed":
                self._result.set_result(_Result(error=error_from_payload(message["error"])))
            case "exited":
                self._result.set_result(_Result(error=lost_error(self._child.exit_code)))

    def close(self) -> None:
        """Delete the attempt's working directory; idempotent."""
        self._resources.close()

    async def _supervise(self) -> _Result:
        """Return the result of the work; until then keep the lease, report progress and enforce the limits."""
        background = [
            asyncio.create_task(self._until_error(work))
            for work in (self._keep_lease(), self._report_progress(), self._watch_limits())
        ]
        try:
            return await self._result
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)

    async def _until_error(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 (raised where the end is awaited)
            if not self._result.done():
                self._result.set_exception(error)

    async def _watch_limits(self) -> None:
        error = await exceeded(self._settings, self._child.pid or 0)
        if not self._result.done():
            self._result.set_result(_Result(error=error))

    async def _keep_lease(self) -> None:
        """Renew the lease repeatedly; the broker answers at once when the job is cancelled, refocused or repainted."""
        while True:
            started = time.monotonic()
            try:
                renewed = await self._renew(wait_s=self._lease_s / RENEWALS_PER_LEASE)
            except UnavailableError:
                # The broker cannot be reached; the work continues meanwhile.
                await asyncio.sleep(_RETRY_S)
                continue
            if not self._steer(renewed):
                # In case the broker answers at once without news.
                await asyncio.sleep(max(0.0, started + _RETRY_S - time.monotonic()))

    def _steer(self, renewed: Renewed) -> bool:
        """Pass a new focus, new strokes or a cancel to the compute process; return False if there is none of them."""
        refocused = renewed.focus is not None and renewed.focus != self._focus
        if renewed.focus is not None and refocused:
            self._focus = renewed.focus
            self._child.set_focus(renewed.focus)
        repainted = renewed.painted is not None
        if renewed.painted is not None:
            self._strokes = renewed.strokes
            self._child.set_strokes(renewed.painted, renewed.strokes)
        cancelled = renewed.cancel and not self._cancelling
        if cancelled:
            self._cancelling = True
            self._child.cancel()
            timer = asyncio.get_running_loop().call_later(GRACE_S, self._force_end)
            self._resources.callback(timer.cancel)
        return refocused or repainted or cancelled

    def _force_end(self) -> None:
        if not self._result.done():
            self._forced = True
            self._result.set_result(_Result(error=cancelled_error()))

    async def _report_progress(self) -> None:
        while True:
            await self._progressed.wait()
            self._progressed.clear()
            report = ProgressReport(job=self.job_id, worker=self._worker, attempt=self.number, progress=self._progress)
            try:
                await self._request(PROGRESS, report, timeout_s=self._lease_s)
            except UnavailableError:
                self._progressed.set()
            await asyncio.sleep(_PROGRESS_INTERVAL_S)

    async def _renew(self, *, wait_s: float) -> Renewed:
        renew = Renew(
            job=self.job_id,
            worker=self._worker,
            attempt=self.number,
            wait_s=wait_s,
            cancelling=self._cancelling,
            focus=self._focus,
            strokes=self._strokes,
        )
        renewed = Renewed.model_validate(dict((await self._request(JOB_RENEW, renew, timeout_s=self._lease_s)).body))
        self._lease_s = renewed.lease_s
        return renewed

    async def _request_until_answered(self, type_: str, body: Request) -> Reply:
        """Repeat a request until the broker answers, so that a restart of the broker does not lose a result."""
        while True:
            try:
                return await self._request(type_, body, timeout_s=self._lease_s)
            except UnavailableError as error:
                # For example a disk that is read-only: repeating it cannot help.
                if not error.retryable:
                    raise
                await asyncio.sleep(_RETRY_S)

    async def _request(self, type_: str, body: Request, *, timeout_s: float) -> Reply:
        try:
            return await self._requester.request(type_, body, timeout=timeout_s)
        except (ConflictError, NotFoundError):
            raise _LeaseLost from None
