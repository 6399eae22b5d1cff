"""One attempt at one job: its lease, its folder, its child, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryomamba.client.bus_requester import BusRequester, Reply
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
from cryomamba.wire.constants import RENEWALS_PER_LEASE
from cryomamba.wire.requests import Claimed, Fail, Finish, Renew, Renewed
from cryomamba_inference.artifacts import publish
from cryomamba_inference.failures import as_error, cancelled_error, lost_error
from cryomamba_inference.limits import exceeded
from cryomamba_inference.pipe import Message
from cryomamba_inference.supervisor import ComputeProcess
from cryomamba_server.workspace import Workspace

log = logging.getLogger(__name__)

GRACE_S = 5.0
# Often enough that a person who cancels or looks elsewhere is heard at once.
_RENEW_MAX_S = 0.5
_AGAIN_S = 0.2


@dataclass(frozen=True, slots=True)
class _Ended:
    """How the child's work ended: with files or with an error."""

    artifacts: tuple[Artifact, ...] = ()
    error: CryoMambaError | None = None


class _LeaseLost(Exception):  # noqa: N818 (not an error: somebody else has the job now)
    """The broker has given the job to somebody else, or it is final."""


class Attempt:
    """Carries out a claimed job; for one event loop.

    Parameters
    ----------
    claimed : Claimed
        With a job.
    worker : str
        This worker's name.
    settings : Settings
    channel : BusChannel
    child : ComputeProcess
        Ready and idle.
    """

    def __init__(
        self, claimed: Claimed, worker: str, settings: Settings, channel: BusRequester, child: ComputeProcess
    ) -> None:
        if claimed.job is None:
            raise ValueError("there is no job in this claim")
        self._job = claimed.job
        self.job_id = claimed.job.job_id
        self.number = claimed.attempt
        self._focus = claimed.focus
        self._lease_s = claimed.lease_s
        self._worker = worker
        self._settings = settings
        self._channel = channel
        self._child = child
        self._progress = Progress(stage="starting")
        self._forced = False
        self._ended: asyncio.Future[_Ended] = asyncio.get_running_loop().create_future()
        self._resources = contextlib.ExitStack()

    async def run(self) -> None:
        """Have the job computed, publish its files and report; a child that is not to be trusted any more is ended."""
        log.info("Job %s, attempt %d: %s on %s.", self.job_id, self.number, self._job.engine, self._job.volume.name)
        try:
            folder = self._resources.enter_context(Workspace(self._settings.work, self.job_id, self.number)).path
            self._child.run(
                {
                    "job": self._job.model_dump(mode="json"),
                    "attempt": self.number,
                    "focus": self._focus,
                    "folder": str(folder),
                }
            )
            ended = await self._guard_within_limits()
            if ended.error is None:
                await self._finish(folder, ended.artifacts)
            else:
                await self._fail(ended.error)
        except _LeaseLost:
            log.warning("Job %s, attempt %d, is not ours any more; its files are deleted.", self.job_id, self.number)
            await self._child.end()
        except (CryoMambaError, OSError) as error:
            log.exception("Job %s could not be finished.", self.job_id)
            try:
                await self._fail(as_error(error))
            except _LeaseLost:
                pass
            except CryoMambaError as refusal:
                # Then the lease runs out, and the broker counts the attempt as lost.
                log.error("The end of job %s could not be told: %s", self.job_id, refusal)

    async def _finish(self, folder: Path, artifacts: tuple[Artifact, ...]) -> None:
        # Files of an attempt that is over must not appear under their final names.
        await self._renew()
        publish(folder, self._settings.artifacts / self.job_id, artifacts)
        body = Finish(job=self.job_id, worker=self._worker, attempt=self.number, artifacts=artifacts)
        await self._insist("job.finish", body)
        log.info("Job %s is finished.", self.job_id)

    async def _fail(self, error: CryoMambaError) -> None:
        if not isinstance(error, InvalidRequestError) and (error.code is not ErrorCode.CANCELLED or self._forced):
            await self._child.end()
        log.info("Job %s, attempt %d, ended: %s", self.job_id, self.number, error)
        told = JobError(
            code=error.code,
            message=error.message[:2000],
            hint=error.hint[:1000],
            retryable=error.retryable,
            attempt=self.number,
        )
        await self._insist("job.fail", Fail(job=self.job_id, worker=self._worker, attempt=self.number, error=told))

    def on_message(self, message: Message) -> None:
        """Handle a message of the compute process."""
        if self._ended.done():
            return
        match message["type"]:
            case "progress":
                self._progress = Progress.model_validate(message["progress"])
            case "done":
                artifacts = tuple(Artifact.model_validate(artifact) for artifact in message["artifacts"])
                self._ended.set_result(_Ended(artifacts))
            case "failed":
                self._ended.set_result(_Ended(error=error_from_payload(message["error"])))
            case "exited":
                self._ended.set_result(_Ended(error=lost_error(self._child.exit_code)))

    def close(self) -> None:
        """Remove what is left of the attempt's folder. Closing twice is no error."""
        self._resources.close()

    async def _guard_within_limits(self) -> _Ended:
        watching = asyncio.create_task(self._watch_limits(), name="job-limits")
        try:
            return await self._guard()
        finally:
            watching.cancel()

    async def _watch_limits(self) -> None:
        error = await exceeded(self._settings, self._child.pid or 0)
        if not self._ended.done():
            self._ended.set_result(_Ended(error=error))

    async def _guard(self) -> _Ended:
        """Keep the lease until the child has ended its work, and pass on what the broker wants."""
        cancelled_at: float | None = None
        loop = asyncio.get_running_loop()
        while not self._ended.done():
            renewed = await self._renew_if_reachable()
            if renewed is not None and renewed.focus is not None and renewed.focus != self._focus:
                self._focus = renewed.focus
                self._child.set_focus(renewed.focus)
            if renewed is not None and renewed.cancel and cancelled_at is None:
                cancelled_at = loop.time()
                self._child.cancel()
            if cancelled_at is not None and loop.time() - cancelled_at > GRACE_S:
                self._forced = True
                return _Ended(error=cancelled_error())
            await asyncio.wait([self._ended], timeout=min(self._lease_s / RENEWALS_PER_LEASE, _RENEW_MAX_S))
        return self._ended.result()

    async def _renew_if_reachable(self) -> Renewed | None:
        """Renew once; a broker that is away is tried again later, while the child goes on."""
        asking = asyncio.create_task(self._renew(once=True))
        try:
            either: list[asyncio.Future[Any]] = [asking, self._ended]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            return asking.result() if asking.done() else None
        except UnavailableError:
            return None
        finally:
            asking.cancel()

    async def _renew(self, *, once: bool = False) -> Renewed:
        renew = Renew(job=self.job_id, worker=self._worker, attempt=self.number, progress=self._progress)
        if once:
            reply = await self._ask("job.renew", renew, timeout_s=self._lease_s)
        else:
            reply = await self._insist("job.renew", renew)
        renewed = Renewed.model_validate(dict(reply.body))
        self._lease_s = renewed.lease_s
        return renewed

    async def _insist(self, type_: str, body: Request) -> Reply:
        """Ask until the broker answers: work that is done must not be lost because it restarts."""
        while True:
            try:
                return await self._ask(type_, body, timeout_s=self._lease_s)
            except UnavailableError:
                await asyncio.sleep(_AGAIN_S)

    async def _ask(self, type_: str, body: Request, *, timeout_s: float) -> Reply:
        try:
            return await self._channel.request(type_, body, timeout=timeout_s)
        except (ConflictError, NotFoundError):
            raise _LeaseLost from None
