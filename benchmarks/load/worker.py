"""A worker of the bus that computes nothing: it claims jobs and publishes frames at an even pace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import zmq

from cryomamba._version import __version__
from cryomamba.client.bus_requester import BusRequester
from cryomamba.endpoints import BusEndpoints
from cryomamba.engines.info import EngineInfo
from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import Progress
from cryomamba.testing import Stack
from cryomamba.wire.constants import PREVIEW_IN_HWM
from cryomamba.wire.envelope import EnvelopeFactory, encode
from cryomamba.wire.messages import PREVIEW
from cryomamba.wire.preview import encode_frame
from cryomamba.wire.requests import Claim, Claimed, Finish, ProgressReport, Renew, WorkerHello
from cryomamba.wire.topics import preview_topic

ENGINE = "load"
RENEW_S = 0.5


def bus_endpoints(stack: Stack) -> BusEndpoints:
    """Return where a stack's broker listens."""
    names = BusEndpoints.model_fields
    return BusEndpoints.model_validate({name: f"tcp://127.0.0.1:{stack.ports[name]}" for name in names})


class PacedWorker:
    """Claims one job after the other.

    Parameters
    ----------
    endpoints : BusEndpoints
    name : str
    side : int
        Of the mask, in voxels.
    rate_hz, seconds : float
        How often a frame is published, and for how long a job lasts.
    """

    def __init__(self, endpoints: BusEndpoints, name: str, *, side: int, rate_hz: float, seconds: float) -> None:
        self._name = name
        self._side, self._pause_s, self._count = side, 1 / rate_hz, round(seconds * rate_hz)
        self._channel = BusRequester(endpoints.jobs, src=name)
        self._stamp = EnvelopeFactory(name)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        self._socket.setsockopt(zmq.SNDHWM, PREVIEW_IN_HWM)
        self._socket.connect(endpoints.preview_in)
        self.frames = 0

    async def hello(self) -> None:
        """Offer the engine."""
        info = EngineInfo(name=ENGINE, summary="Publishes frames", parameters={"type": "object"}, needs_volume=False)
        await self._channel.request(
            "worker.hello", WorkerHello(worker=self._name, host="here", pid=1, version=__version__, engines=(info,))
        )

    async def one_job(self) -> None:
        """Claim a job, publish its frames and finish it."""
        asked = Claim(worker=self._name, engines=(ENGINE,), wait_s=30)
        reply = await self._channel.request("job.claim", asked, timeout=40)
        claimed = Claimed.model_validate(dict(reply.body))
        if claimed.job is None:
            raise RuntimeError("no job came")
        job, attempt = claimed.job.job_id, claimed.attempt
        with self._renewing(job, attempt):
            started = time.monotonic()
            for number in range(self._count + 1):
                self._publish(job, attempt, number)
                await asyncio.sleep(max(0.0, started + (number + 1) * self._pause_s - time.monotonic()))
        done = Finish(job=job, worker=self._name, attempt=attempt, artifacts=())
        await self._channel.request("job.finish", done)

    @contextmanager
    def _renewing(self, job: str, attempt: int) -> Iterator[None]:
        async def renew() -> None:
            progress = Progress(fraction=0.5, stage="publishing")
            while True:
                renewal = Renew(job=job, worker=self._name, attempt=attempt, wait_s=RENEW_S)
                await self._channel.request("job.renew", renewal)
                report = ProgressReport(job=job, worker=self._name, attempt=attempt, progress=progress)
                await self._channel.request("job.progress", report)

        task = asyncio.create_task(renew())
        try:
            yield
        finally:
            task.cancel()

    def _publish(self, job: str, attempt: int, number: int) -> None:
        mask = np.zeros((self._side,) * 3, np.uint8)
        mask[number % self._side] = 1
        frame = PreviewFrame(
            job,
            mask,
            (4, 4, 4),
            (4 * self._side,) * 3,
            (10.0, 10.0, 10.0),
            number / self._count,
            ENGINE,
            attempt=attempt,
            final=number == self._count,
        )
        body, spec, part = encode_frame(frame, codec="raw")
        topic = preview_topic(job)
        envelope = self._stamp.envelope(
            PREVIEW, body, ts=time.time(), topic=topic, job=job, attempt=attempt, buffers=[spec]
        )
        self._socket.send_multipart([topic, encode(envelope), part], copy=False)
        self.frames += 1

    async def close(self) -> None:
        self._socket.close(linger=0)
        self._context.term()
        await self._channel.close()
