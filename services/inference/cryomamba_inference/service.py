"""The inference service: claims jobs, runs them in a compute process, renews their leases, publishes previews."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import time

import zmq

from cryomamba._version import __version__
from cryomamba.access.keys import KeyFile, key_for
from cryomamba.access.roles import Role
from cryomamba.client.bus_requester import BusRequester, keep_alive
from cryomamba.endpoints import is_local_endpoint, require_loopback
from cryomamba.engines.info import EngineInfo
from cryomamba.errors import ConflictError, CryoMambaError, NotFoundError, UnavailableError
from cryomamba.settings import Settings
from cryomamba.system_errors import system_error
from cryomamba.wire import messages
from cryomamba.wire.buffers import BufferSpec, Codec
from cryomamba.wire.constants import PREVIEW_IN_HWM, RENEWALS_PER_LEASE
from cryomamba.wire.envelope import EnvelopeFactory, encode
from cryomamba.wire.messages import PREVIEW
from cryomamba.wire.requests import Claim, Claimed, Empty, Release, Renew, WorkerHello
from cryomamba.wire.topics import preview_topic
from cryomamba.wire.trace_context import NO_TRACE, TraceContext, use_trace
from cryomamba_inference.attempt import Attempt
from cryomamba_inference.compute_process import ComputeProcess
from cryomamba_inference.host_abilities import HostAbilities
from cryomamba_inference.model_announcer import ModelAnnouncer
from cryomamba_inference.pipe import Message
from cryomamba_inference.status_report import StatusReport
from cryomamba_server import log_context
from cryomamba_server.loop_lag import measure_loop_lag
from cryomamba_server.systemd import READY, notify_systemd
from cryomamba_server.tracing import span
from cryomamba_server.workspace import remove_stale_workspaces, require_writable

log = logging.getLogger(__name__)

_CLAIM_WAIT_S = 10.0
_PING_S = 2.0
_RELEASE_S = 1.5
_RESTART_S = 1.0
_RESTART_MAX_S = 30.0
_JOBS_PER_CHILD = 50


class InferenceService:
    """A worker on the bus, with one compute process.

    Parameters
    ----------
    settings : Settings
    slot : int
        Which of the workers of this program it is, counted from 1.
    run : str, optional
        Stands for this run of the program in the names of its workers; drawn at random if not given, so that a program
        that was started again with the same process id has other names.

    Raises
    ------
    InvalidRequestError
        An endpoint is not on loopback and there is no key, or the key file is not usable.
    """

    def __init__(self, settings: Settings, slot: int = 1, *, run: str | None = None) -> None:
        self._key = key_for(settings, Role.WORKER)
        if self._key is None:
            for name in ("bus_jobs", "bus_preview_in"):
                require_loopback(getattr(settings, name), variable=f"CRYOMAMBA_{name.upper()}")
        self._settings = settings
        suffix = f".{slot}" if settings.slots > 1 else ""
        self.worker = f"{socket.gethostname()[:64]}-{os.getpid()}-{run or new_run()}{suffix}"
        self._host = HostAbilities()
        self._codec: Codec = _preview_codec(settings)
        self._engines: tuple[EngineInfo, ...] = ()
        self._ready = asyncio.Event()
        self._registered_epoch: int | None = None
        self._child: ComputeProcess | None = None
        self._attempt: Attempt | None = None
        self._report = StatusReport(self.worker)
        self._models = ModelAnnouncer(self.worker, settings, lambda: self._registered_epoch)

    @property
    def child_pid(self) -> int | None:
        """Process id of the compute process, while there is one."""
        return self._child.pid if self._child is not None and self._child.alive else None

    async def serve(self, stop: asyncio.Event) -> None:
        """Run jobs until `stop` is set, then release the lease and end the compute process."""
        await asyncio.to_thread(remove_stale_workspaces, self._settings.work)
        self._host = await asyncio.to_thread(HostAbilities.measure, self._settings)
        self._requester = BusRequester(self._settings.bus_jobs, src=self.worker, key=self._key)
        self._previews = _FramePublisher(self._settings.bus_preview_in, self.worker, self._key)
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(self._stay_registered(), name="registration"),
                    tasks.create_task(self._run_jobs(), name="jobs"),
                    tasks.create_task(self._models.run(self._requester), name="models"),
                    tasks.create_task(self._report.send_repeatedly(self._requester), name="status"),
                    tasks.create_task(measure_loop_lag(self._report.observe_lag), name="loop lag"),
                ]
                await stop.wait()
                for task in running:
                    task.cancel()
        finally:
            await self._close()

    async def _close(self) -> None:
        if self._child is not None:
            await self._child.end()
        with contextlib.suppress(CryoMambaError):
            await self._release()
        if self._attempt is not None:
            self._attempt.close()
        self._previews.close()
        await self._requester.close()

    async def _release(self) -> None:
        """Release the lease, even one that was granted just after this worker had stopped listening."""
        if self._registered_epoch is None:
            return
        if self._attempt is not None:
            job_id, number = self._attempt.job_id, self._attempt.number
        else:
            # A worker that holds a job is given the same job again, whatever engines it offers.
            claim = Claim(worker=self.worker, engines=(), wait_s=0)
            reply = await self._requester.request(messages.JOB_CLAIM, claim, timeout=_RELEASE_S)
            claimed = Claimed.model_validate(dict(reply.body))
            if claimed.job is None:
                return
            job_id, number = claimed.job.job_id, claimed.attempt
        body = Release(job=job_id, worker=self.worker, attempt=number)
        await self._requester.request(messages.JOB_RELEASE, body, timeout=_RELEASE_S)

    async def _stay_registered(self) -> None:
        """Register with the broker, also after it has restarted, and log when it cannot be reached."""
        unreachable, refusal = False, ""
        while True:
            await self._ready.wait()
            try:
                await self._requester.request(messages.PING, Empty(), timeout=_PING_S * 2)
                if self._requester.broker_epoch != self._registered_epoch:
                    await self._register()
                if unreachable:
                    log.info("The broker can be reached again.")
                unreachable, refusal = False, ""
            except UnavailableError as error:
                if not unreachable:
                    log.warning("%s Retrying until it answers.", error.message)
                unreachable = True
            except CryoMambaError as error:
                if str(error) != refusal:
                    log.error("The broker refused this worker: %s", error)
                refusal = str(error)
            await asyncio.sleep(_PING_S)

    async def _register(self) -> None:
        hello = WorkerHello(
            worker=self.worker,
            host=socket.gethostname()[:256],
            pid=os.getpid(),
            version=__version__,
            engines=self._engines,
            memory_bytes=self._host.memory_bytes,
            gpus=self._host.gpus,
            folders=self._host.folders,
        )
        await self._requester.request(messages.WORKER_HELLO, hello)
        self._registered_epoch = self._requester.broker_epoch
        log.info("Connected to the broker as %s with %d engines.", self.worker, len(self._engines))

    async def _run_jobs(self) -> None:
        while True:
            await self._ready_child()
            await self._until_writable()
            claimed, trace = await self._claim()
            if claimed.job is None:
                continue
            child = await self._ready_child_for(claimed, claimed.job.job_id)
            self._attempt = Attempt(claimed, self.worker, self._settings, self._requester, child)
            self._report.jobs_run += 1
            about = {"job_id": claimed.job.job_id, "engine": claimed.job.engine}
            with use_trace(trace), log_context.bind(**self._attempt.log_fields), span("attempt", **about):
                await self._attempt.run()
            self._attempt.close()
            self._attempt = None
            self._previews.forget(claimed.job.job_id)
            if child.jobs >= _JOBS_PER_CHILD:
                await child.end()

    async def _until_writable(self) -> None:
        """Wait while nothing can be written: this worker would fail every job, also those that others can run."""
        reason = ""
        while True:
            try:
                for folder in (self._settings.work, self._settings.artifacts):
                    await asyncio.to_thread(require_writable, folder)
            except UnavailableError as error:
                if str(error) != reason:
                    log.error("%s This worker takes no jobs until files can be written to its data directory.", error)
                reason = str(error)
                await asyncio.sleep(_PING_S)
            else:
                if reason:
                    log.info("Files can be written again.")
                return

    async def _ready_child(self) -> ComputeProcess:
        """Return a compute process that has imported everything and is idle."""
        pause = _RESTART_S
        while self._child is None or not self._child.alive:
            engines = await self._start_child()
            if engines is None:
                log.error("The compute process could not be started; retrying in %.0f s.", pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _RESTART_MAX_S)
            else:
                self._engines = engines
                self._ready.set()
                notify_systemd(READY)
        return self._child

    async def _start_child(self) -> tuple[EngineInfo, ...] | None:
        """Start a compute process and return its engines; None if it ended before that, or could not be started."""
        self._report.compute_starts += 1
        try:
            self._child = ComputeProcess(self._settings, self._codec, self._on_message)
        except OSError as error:
            log.error("%s", system_error(error) or f"The system refused another process: {error.strerror}.")
            return None
        return await self._child.ready

    async def _ready_child_for(self, claimed: Claimed, job_id: str) -> ComputeProcess:
        """Return the compute process; if it died while idle, start another, renewing the lease meanwhile."""
        starting = asyncio.create_task(self._ready_child(), name="starting")
        renew = Renew(job=job_id, worker=self.worker, attempt=claimed.attempt)
        try:
            while not (await asyncio.wait([starting], timeout=claimed.lease_s / RENEWALS_PER_LEASE))[0]:
                # A lost lease is noticed when the attempt starts.
                with contextlib.suppress(CryoMambaError):
                    await self._requester.request(messages.JOB_RENEW, renew, timeout=claimed.lease_s)
            return starting.result()
        finally:
            starting.cancel()

    async def _claim(self) -> tuple[Claimed, TraceContext]:
        """Return a job, or none, and the trace of the request that submitted it."""
        names = tuple(info.name for info in self._engines if info.available)
        body = Claim(worker=self.worker, engines=names, wait_s=_CLAIM_WAIT_S)
        try:
            reply = await self._requester.request(messages.JOB_CLAIM, body, timeout=_CLAIM_WAIT_S * 2)
        except (UnavailableError, ConflictError, NotFoundError) as error:
            log.debug("Claiming a job failed: %s", error)
            await asyncio.sleep(_PING_S / 10)
        except CryoMambaError as error:
            # For example a revoked key, which somebody may put right while this worker waits.
            log.debug("The broker refused to give this worker a job: %s", error)
            await asyncio.sleep(_PING_S)
        else:
            return Claimed.model_validate(dict(reply.body)), reply.envelope.trace
        return Claimed(), NO_TRACE

    def _on_message(self, message: Message) -> None:
        if message["type"] == "preview":
            self._previews.publish(message)
        elif self._attempt is not None:
            self._attempt.on_message(message)


def new_run() -> str:
    """Return what stands for a run of a program in the names of its workers."""
    return secrets.token_hex(4)


class _FramePublisher:
    """Publishes preview frames as the compute process has encoded them; not thread-safe."""

    def __init__(self, endpoint: str, worker: str, key: KeyFile | None) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        keep_alive(self._socket)
        self._socket.setsockopt(zmq.SNDHWM, PREVIEW_IN_HWM)
        if key is not None:
            key.secure(self._socket)
        self._socket.connect(endpoint)
        self._envelopes = EnvelopeFactory(worker)

    def publish(self, message: Message) -> None:
        topic = preview_topic(message["job"])
        envelope = self._envelopes.envelope(
            PREVIEW,
            message["body"],
            ts=time.time(),
            topic=topic,
            job=message["job"],
            attempt=message["attempt"],
            buffers=[BufferSpec.from_wire(message["spec"])],
        )
        self._socket.send_multipart([topic, encode(envelope), message["part"]], flags=zmq.NOBLOCK, copy=False)

    def forget(self, job_id: str) -> None:
        self._envelopes.forget(preview_topic(job_id))

    def close(self) -> None:
        self._socket.close()
        self._context.term()


def _preview_codec(settings: Settings) -> Codec:
    if settings.preview_codec != "auto":
        return settings.preview_codec
    return "raw" if is_local_endpoint(settings.bus_preview_in) else "deflate"
