"""Publishing preview frames, as an inference service does."""

from __future__ import annotations

import asyncio

import numpy as np
import zmq.asyncio

from cryomamba.models.frames import PreviewFrame
from cryomamba.wire.envelope import EnvelopeFactory, encode
from cryomamba.wire.messages import PREVIEW
from cryomamba.wire.preview import encode_frame
from cryomamba.wire.topics import preview_topic
from cryomamba_broker.server import Broker


class FramePublisher:
    """Publishes frames of jobs on a PUB socket.

    Parameters
    ----------
    socket : zmq.asyncio.Socket
    """

    def __init__(self, socket: zmq.asyncio.Socket) -> None:
        self.socket = socket
        self.envelopes = EnvelopeFactory("w")

    def parts(self, job_id: str, value: int, attempt: int = 1, side: int = 4) -> list[bytes]:
        """Return the message of a frame whose voxels all have a value."""
        mask = np.full((side, side, side), value, np.uint8)
        frame = PreviewFrame(job_id, mask, (1, 1, 1), mask.shape, (1.0, 1.0, 1.0), 0.5, "demo", attempt=attempt)
        body, spec, part = encode_frame(frame, codec="raw")
        topic = preview_topic(job_id)
        envelope = self.envelopes.envelope(
            PREVIEW, body, ts=1.0, topic=topic, job=job_id, attempt=attempt, buffers=[spec]
        )
        return [topic, encode(envelope), part]

    async def publish(self, broker: Broker, job_id: str, value: int, attempt: int = 1, side: int = 4) -> None:
        """Publish a frame until the broker has cached it: a publisher cannot know when it is connected."""
        first = self.envelopes.last_seq(preview_topic(job_id)) + 1
        cache = broker.core.cache
        while (cached := cache.get(job_id)) is None or cached.envelope.seq < first:
            await self.socket.send_multipart(self.parts(job_id, value, attempt, side))
            await asyncio.sleep(0)

    async def publish_stale(self, broker: Broker, job_id: str, attempt: int) -> None:
        """Publish a frame until the broker has dropped it as stale."""
        while not broker.counters.frames_stale:
            await self.socket.send_multipart(self.parts(job_id, 1, attempt))
            await asyncio.sleep(0)
