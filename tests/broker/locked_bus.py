"""A locked broker in this process, with keys for two people, an administrator and a worker."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import zmq
import zmq.asyncio

from cryomamba.access.keys import KeyFile, key_for
from cryomamba.access.roles import Role
from cryomamba.client.bus_transport import BusTransport
from cryomamba.engines.info import EngineInfo
from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import JobRecord, SubmitRequest, VolumeSource
from cryomamba.testing import wait_until_async
from cryomamba.wire.envelope import EnvelopeFactory, encode
from cryomamba.wire.messages import PREVIEW
from cryomamba.wire.preview import encode_frame
from cryomamba.wire.requests import Claim
from cryomamba.wire.topics import preview_topic
from cryomamba_broker.server import Broker
from cryomamba_server.bus_keys import BusKeys

DEMO = SubmitRequest(volume=VolumeSource(shape=(8, 8, 8)))
ENGINES = (
    EngineInfo(name="demo", summary="Nothing.", parameters={"type": "object"}, needs_volume=False),
    EngineInfo(name="threshold", summary="Cuts.", parameters={"type": "object"}, default=True),
)
FILE = "00000000-0000-4000-8000-00000000000a"


class LockedBus:
    """A locked broker with Ada, Bob, an administrator and a worker.

    Attributes
    ----------
    ada, bob, admin, worker : BusTransport
    """

    def __init__(self, broker: Broker, keys: BusKeys, folder: Path, stack: AsyncExitStack) -> None:
        self.broker = broker
        self.keys = keys
        self._folder = folder
        self._stack = stack
        self._context = zmq.asyncio.Context()
        stack.callback(self._context.term)
        self.files = {name: self.key(name) for name in ("ada", "bob")}
        self.ada, self.bob = (self.transport(self.files[name]) for name in ("ada", "bob"))
        self.admin_key = key_for(broker.settings, Role.ADMIN)
        self.admin = self.transport(self.admin_key)
        self.worker_key = key_for(broker.settings, Role.WORKER)
        self.worker = self.transport(self.worker_key)

    def key(self, name: str, role: Role = Role.CLIENT, owner: str = "") -> KeyFile:
        return self.keys.add(name, role, file=self._folder / f"{name}.key", owner=owner)

    def transport(self, key: KeyFile | None) -> BusTransport:
        made = BusTransport(self.broker.endpoints.jobs, endpoints=self.broker.endpoints, key=key)
        self._stack.push_async_callback(made.close)
        return made

    def socket(
        self, key: KeyFile | None, endpoint: str, kind: int = zmq.SUB, *, routing_id: bytes = b""
    ) -> zmq.asyncio.Socket:
        """Return a raw socket, without the SDK's own reader."""
        assert key is not None
        made = self._context.socket(kind)
        self._stack.callback(made.close, linger=0)
        key.secure(made)
        if routing_id:
            made.setsockopt(zmq.ROUTING_ID, routing_id)
        made.connect(endpoint)
        return made

    async def claimed(self) -> JobRecord:
        """Let the worker take the next job."""
        reply = await self.worker.requester.request("job.claim", Claim(worker="w", engines=("demo",), wait_s=5))
        return JobRecord.model_validate(reply.body["job"])

    async def show(self, camera: zmq.asyncio.Socket, stamp: EnvelopeFactory, job: JobRecord) -> None:
        """Publish frames of a job until the broker has passed one on."""
        before = self.broker.counters.frames

        async def passed_on() -> bool:
            await self.send_frame(camera, stamp, job)
            return self.broker.counters.frames > before

        await wait_until_async(passed_on, what="a frame that is passed on")

    async def send_frame(self, camera: zmq.asyncio.Socket, stamp: EnvelopeFactory, job: JobRecord) -> None:
        """Send a frame of a job to the broker."""
        frame = PreviewFrame(job.job_id, np.ones((4, 4, 4), np.uint8), (1, 1, 1), (4, 4, 4), (1.0,) * 3, 0.5, "demo")
        body, spec, part = encode_frame(frame, codec="raw")
        topic = preview_topic(job.job_id)
        envelope = stamp.envelope(PREVIEW, body, ts=1, topic=topic, job=job.job_id, attempt=1, buffers=[spec])
        await camera.send_multipart([topic, encode(envelope), part])
