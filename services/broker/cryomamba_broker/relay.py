"""Preview frames from inference to subscribers, checked but never decoded, and the last one of each job kept."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import zmq
import zmq.asyncio

from cryomamba.errors import ErrorCode, ProtocolError
from cryomamba.wire.constants import PREVIEW_WIRE_MAX_BYTES
from cryomamba.wire.envelope import Envelope, decode
from cryomamba.wire.preview import PREVIEW
from cryomamba.wire.topics import parse_topic

from .cache import CachedFrame, PreviewCache
from .counters import Counters, Throttle
from .guard import Guard

FENCED_JOBS: Final = 10_000

logger = logging.getLogger(__name__)


def check_frame(parts: Sequence[zmq.Frame]) -> tuple[str, Envelope]:
    """Return the job and the envelope of a preview message.

    Raises
    ------
    ProtocolError
        Topic, header and payload do not make a preview message; the voxels are not looked at.
    """
    if len(parts) != 3:
        raise ProtocolError("A preview message does not have three parts.")
    topic = parse_topic(parts[0].bytes)
    if topic.kind != "preview" or topic.nonce is not None or not topic.job_id:
        raise ProtocolError("A preview message is not on the topic of a job's previews.")
    if len(parts[2]) > PREVIEW_WIRE_MAX_BYTES:
        raise ProtocolError("A preview frame is larger than 1 MiB.", code=ErrorCode.TOO_LARGE)
    envelope = decode(parts[1].bytes)
    if envelope.type != PREVIEW or envelope.job != topic.job_id or len(envelope.buffers) != 1:
        raise ProtocolError("A preview message's header does not fit its topic.")
    return topic.job_id, envelope


def is_sync_wish(raw: bytes) -> bool:
    """Whether a message of an XPUB socket is a subscription to a private topic."""
    return raw.startswith(b"\x01sync/")


class Fence:
    """The newest attempt of each job, so that frames of an attempt that is over are not shown."""

    def __init__(self) -> None:
        self._newest: OrderedDict[str, int] = OrderedDict()

    def raise_to(self, job_id: str, attempt: int) -> None:
        """Take notice of an attempt."""
        self._newest[job_id] = attempt
        self._newest.move_to_end(job_id)
        if len(self._newest) > FENCED_JOBS:
            self._newest.popitem(last=False)

    def is_stale(self, job_id: str, attempt: int | None) -> bool:
        """Whether a newer attempt has begun."""
        return (attempt or 0) < self._newest.get(job_id, 0)


class PreviewRelay:
    """Two loops: frames in and out, and the wishes of late joiners.

    Parameters
    ----------
    source, target : zmq.asyncio.Socket
        The SUB socket of `preview-in` and the XPUB socket of `preview-out`.
    cache : PreviewCache
    counters : Counters
    guard : Guard
        Knows which keys are still let in.
    """

    def __init__(
        self,
        source: zmq.asyncio.Socket,
        target: zmq.asyncio.Socket,
        cache: PreviewCache,
        counters: Counters,
        guard: Guard,
    ) -> None:
        self.fence = Fence()
        self._source = source
        self._target = target
        self._cache = cache
        self._counters = counters
        self._guard = guard
        self._log = Throttle(logger)

    async def run_frames(self) -> None:
        """Pass frames on, for ever."""
        while True:
            parts = await self._source.recv_multipart(copy=False)
            try:
                if not self._guard.allows(parts[-1]):
                    raise ProtocolError("Its key has been revoked.")
                job_id, envelope = check_frame(parts)
            except ProtocolError as error:
                self._malformed(error)
            else:
                await self._pass_on(job_id, envelope, parts)
            # A socket that is never empty would otherwise keep the loop for itself.
            await asyncio.sleep(0)

    async def _pass_on(self, job_id: str, envelope: Envelope, parts: Sequence[zmq.Frame]) -> None:
        if self.fence.is_stale(job_id, envelope.attempt):
            self._counters.frames_stale += 1
            return
        await self._target.send_multipart(parts, flags=zmq.NOBLOCK, copy=False)
        self._counters.frames += 1
        self._cache.put(job_id, CachedFrame(envelope, parts[1].bytes, parts[2].bytes))

    def use(self, socket: zmq.asyncio.Socket) -> None:
        """Go on with another socket; the one before has been closed."""
        self._target = socket

    async def run_subscriptions(self) -> None:
        """Answer subscriptions to ``sync/`` topics with the last frame, for ever."""
        while True:
            socket = self._target
            try:
                raw = await socket.recv()
            except asyncio.CancelledError:
                if socket is self._target:
                    raise
                # The socket was renewed, which ends the waiting for the old one.
                continue
            if is_sync_wish(raw):
                await self._answer(raw[1:])
            elif raw[:1] not in {b"\x00", b"\x01"}:
                self._malformed(ProtocolError("A message is not a subscription."))
            await asyncio.sleep(0)

    async def _answer(self, wanted: bytes) -> None:
        try:
            topic = parse_topic(wanted)
        except ProtocolError as error:
            self._malformed(error)
            return
        frame = self._cache.get(topic.job_id) if topic.kind == "preview" else None
        if frame is None:
            return
        self._counters.syncs += 1
        await self._target.send_multipart([wanted, frame.header, frame.payload], flags=zmq.NOBLOCK)

    def _malformed(self, error: ProtocolError) -> None:
        self._counters.malformed += 1
        self._log.warning("A message on a preview socket was dropped: %s", error.message)
