"""The inference service: claims jobs, has them computed by a child, keeps the lease, passes frames on."""

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
from cryomamba.models.jobs import Progress
from cryomamba.settings import Settings
from cryomamba.wire.buffers import BufferSpec, Codec
from cryomamba.wire.constants import PREVIEW_IN_HWM, RENEWALS_PER_LEASE
from cryomamba.wire.envelope import EnvelopeFactory, encode
from cryomamba.wire.messages import PREVIEW
from cryomamba.wire.requests import Claim, Claimed, Empty, Release, Renew, WorkerHello
from cryomamba.wire.topics import preview_topic
from cryomamba_inference.attempt import Attempt
from cryomamba_inference.pipe import Message
from cryomamba_inference.supervisor import ComputingChild
from cryomamba_server.systemd import READY, notify_systemd
from cryomamba_server.workspace import remove_stale_workspaces

log = logging.getLogger(__name__)

_CLAIM_WAIT_S = 10.0
_PING_S = 2.0
_RELEASE_S = 1.5
_RESTART_S = 1.0
_RESTART_MAX_S = 30.0
_JOBS_PER_CHILD = 50


class InferenceService:
    """One worker of the bus, with one computing child.

    Parameters
    ----------
    settings : Settings

    Raises
    ------
    InvalidRequestError
        An endpoint is beyond loopback and there is no key, or the key file is not usable.
    """

    def __init__(self, settings: Settings) -> None:
        self._key = key_for(settings, Role.WORKER)
        if self._key is None:
            for name in ("bus_jobs", "bus_preview_in"):
                require_loopback(getattr(settings, name), variable=f"CRYOMAMBA_{name.upper()}")
        self._settings = settings
        self.worker = f"{socket.gethostname()[:64]}-{os.getpid()}-{secrets.token_hex(4)}"
        self._codec: Codec = _codec(settings)
        self._engines: tuple[EngineInfo, ...] = ()
        self._ready = asyncio.Event()
        self._greeted: int | None = None
        self._child: ComputingChild | None = None
        self._attempt: Attempt | None = None

    async def serve(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then give the lease back and end the child."""
        await asyncio.to_thread(remove_stale_workspaces, self._settings.work)
        self._channel = BusRequester(self._settings.bus_jobs, src=self.worker, key=self._key)
        self._frames = _FrameSender(self._settings.bus_preview_in, self.worker, self._key)
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(self._stay_known(), name="greeting"),
                    tasks.create_task(self._work(), name="working"),
                ]
                await stop.wait()
                for task in running:
                    task.cancel()
        finally:
            await self._leave()

    async def _leave(self) -> None:
        if self._child is not None:
            await self._child.end()
        with contextlib.suppress(CryoMambaError):
            await self._give_back()
        if self._attempt is not None:
            self._attempt.close()
        self._frames.close()
        await self._channel.close()

    async def _give_back(self) -> None:
        """Release the lease, also one that was granted when this worker had just stopped listening."""
        if self._greeted is None:
            return
        if self._attempt is not None:
            job_id, number = self._attempt.job_id, self._attempt.number
        else:
            # Whoever holds a job is given it again, whatever engines it asks for.
            asked = Claim(worker=self.worker, engines=(), wait_s=0)
            reply = await self._channel.request("job.claim", asked, timeout=_RELEASE_S)
            held = Claimed.model_validate(dict(reply.body))
            if held.job is None:
                return
            job_id, number = held.job.job_id, held.attempt
        body = Release(job=job_id, worker=self.worker, attempt=number)
        await self._channel.request("job.release", body, timeout=_RELEASE_S)

    async def _stay_known(self) -> None:
        """Introduce this worker to every broker that comes, and say when one goes."""
        away = False
        refused = ""
        while True:
            await self._ready.wait()
            try:
                await self._channel.request("ping", Empty(), timeout=_PING_S * 2)
                if self._channel.broker_epoch != self._greeted:
                    await self._greet()
                if away:
                    log.info("The broker is back.")
                away, refused = False, ""
            except UnavailableError as error:
                if not away:
                    log.warning("%s Trying again for as long as it takes.", error.message)
                away = True
            except CryoMambaError as error:
                if str(error) != refused:
                    log.error("The broker refuses this worker: %s", error)
                refused = str(error)
            await asyncio.sleep(_PING_S)

    async def _greet(self) -> None:
        hello = WorkerHello(
            worker=self.worker,
            host=socket.gethostname()[:256],
            pid=os.getpid(),
            version=__version__,
            engines=self._engines,
        )
        await self._channel.request("worker.hello", hello)
        self._greeted = self._channel.broker_epoch
        log.info("Connected to the broker as %s with %d engines.", self.worker, len(self._engines))

    async def _work(self) -> None:
        while True:
            await self._warm_child()
            if (claimed := await self._claim()) is None or claimed.job is None:
                continue
            child = await self._warm_child_for(claimed, claimed.job.job_id)
            self._attempt = Attempt(claimed, self.worker, self._settings, self._channel, child)
            await self._attempt.carry_out()
            self._attempt.close()
            self._attempt = None
            self._frames.forget(claimed.job.job_id)
            if child.jobs >= _JOBS_PER_CHILD:
                await child.end()

    async def _warm_child(self) -> ComputingChild:
        """Return a child that has imported everything and waits for a job."""
        pause = _RESTART_S
        while self._child is None or not self._child.alive:
            self._child = ComputingChild(self._settings, self._codec, self._heard)
            engines = await self._child.ready
            if engines is None:
                log.error("The computing process ended before it was ready; trying again in %.0f s.", pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _RESTART_MAX_S)
            else:
                self._engines = engines
                self._ready.set()
                notify_systemd(READY)
        return self._child

    async def _warm_child_for(self, claimed: Claimed, job_id: str) -> ComputingChild:
        """Return the child, or another if it has died while it waited, whose start may take longer than a lease."""
        warming = asyncio.create_task(self._warm_child(), name="warming")
        renew = Renew(job=job_id, worker=self.worker, attempt=claimed.attempt, progress=Progress(stage="starting"))
        try:
            while not (await asyncio.wait([warming], timeout=claimed.lease_s / RENEWALS_PER_LEASE))[0]:
                # A lease that is lost shows when the attempt begins.
                with contextlib.suppress(CryoMambaError):
                    await self._channel.request("job.renew", renew, timeout=claimed.lease_s)
            return warming.result()
        finally:
            warming.cancel()

    async def _claim(self) -> Claimed | None:
        names = tuple(info.name for info in self._engines if info.available)
        body = Claim(worker=self.worker, engines=names, wait_s=_CLAIM_WAIT_S)
        try:
            reply = await self._channel.request("job.claim", body, timeout=_CLAIM_WAIT_S * 2)
        except (UnavailableError, ConflictError, NotFoundError) as error:
            log.debug("No job could be claimed: %s", error)
            await asyncio.sleep(_PING_S / 10)
            return None
        except CryoMambaError as error:
            # Such as a revoked key: nothing that a person may not put right while this worker waits.
            log.debug("The broker gives this worker no jobs: %s", error)
            await asyncio.sleep(_PING_S)
            return None
        return Claimed.model_validate(dict(reply.body))

    def _heard(self, message: Message) -> None:
        if message["type"] == "preview":
            self._frames.send(message)
        elif self._attempt is not None:
            self._attempt.heard(message)


class _FrameSender:
    """Publishes frames as the child packed them; for one thread."""

    def __init__(self, endpoint: str, worker: str, key: KeyFile | None) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        keep_alive(self._socket)
        self._socket.setsockopt(zmq.SNDHWM, PREVIEW_IN_HWM)
        if key is not None:
            key.secure(self._socket)
        self._socket.connect(endpoint)
        self._stamp = EnvelopeFactory(worker)

    def send(self, message: Message) -> None:
        topic = preview_topic(message["job"])
        envelope = self._stamp.envelope(
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
        self._stamp.forget(preview_topic(job_id))

    def close(self) -> None:
        self._socket.close()
        self._context.term()


def _codec(settings: Settings) -> Codec:
    if settings.preview_codec != "auto":
        return settings.preview_codec
    return "raw" if is_local_endpoint(settings.bus_preview_in) else "deflate"
