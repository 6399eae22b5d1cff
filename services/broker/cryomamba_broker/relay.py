"""Preview frames from inference to subscribers, checked but never decoded, and the last one of each job kept."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import zmq

from cryomamba.errors import ErrorCode, ProtocolError
from cryomamba.wire.constants import PREVIEW_WIRE_MAX_BYTES
from cryomamba.wire.envelope import Envelope, decode
from cryomamba.wire.messages import PREVIEW
from cryomamba.wire.preview import decode_header
from cryomamba.wire.topics import Topic, parse_topic
from cryomamba_broker.authenticator import BusAuthenticator
from cryomamba_broker.cache import CachedFrame, PreviewCache
from cryomamba_broker.counters import Counters, Throttle
from cryomamba_broker.subscriptions import Subscriptions

_STOP: Final = b""
_CUT: Final = b"cut"
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
    decode_header(envelope)
    return topic.job_id, envelope


class AttemptFence:
    """The newest attempt of each job, so that frames of an attempt that is over are not shown. Thread-safe."""

    def __init__(self) -> None:
        self._newest: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def raise_to(self, job_id: str, attempt: int) -> None:
        """Take notice of an attempt."""
        with self._lock:
            self._newest[job_id] = attempt
            self._newest.move_to_end(job_id)
            if len(self._newest) > FENCED_JOBS:
                self._newest.popitem(last=False)

    def is_stale(self, job_id: str, attempt: int | None) -> bool:
        """Whether a newer attempt has begun."""
        with self._lock:
            return (attempt or 0) < self._newest.get(job_id, 0)


class PreviewRelay:
    """Passes frames on and answers late joiners, in a thread of its own.

    A frame waits for nothing that jobs do, and two hops through an event loop less bring it to its subscriber in two
    thirds of the time.

    Parameters
    ----------
    source, target : zmq.Socket
        The SUB socket of `preview-in` and the XPUB socket of `preview-out`, bound; used by the relay's thread alone
        while :meth:`run` lasts.
    cache : PreviewCache
    counters : Counters
    guard : Guard
        Knows which keys are still let in.
    subscriptions : Subscriptions
        Decides which are taken.
    rebind : callable
        Closes `target`, which cuts all subscriptions, and returns the socket that takes its place.
    """

    def __init__(
        self,
        source: zmq.Socket[bytes],
        target: zmq.Socket[bytes],
        cache: PreviewCache,
        counters: Counters,
        guard: BusAuthenticator,
        subscriptions: Subscriptions,
        rebind: Callable[[], zmq.Socket[bytes]],
    ) -> None:
        self.fence = AttemptFence()
        self._source = source
        self._target = target
        self._cache = cache
        self._counters = counters
        self._guard = guard
        self._subscriptions = subscriptions
        self._rebind = rebind
        self._control: zmq.Socket[bytes] | None = None
        self._log = Throttle(logger)

    async def run(self) -> None:
        """Work until cancelled; the thread has ended when this returns."""
        context = self._source.context
        control: zmq.Socket[bytes] = zmq.Socket(context, zmq.PAIR)
        with ThreadPoolExecutor(1, thread_name_prefix="previews") as thread, control:
            control.bind(f"inproc://relay-{id(self)}")
            self._control = control
            working = asyncio.get_running_loop().run_in_executor(thread, self._work, f"inproc://relay-{id(self)}")
            try:
                await asyncio.shield(working)
            finally:
                self._control = None
                control.send(_STOP, zmq.NOBLOCK)

    def cut(self) -> None:
        """Have the relay's thread cut all subscriptions; whoever may makes them again."""
        if self._control is not None:
            self._control.send(_CUT, zmq.NOBLOCK)

    def _work(self, control_at: str) -> None:
        control: zmq.Socket[bytes] = zmq.Socket(self._source.context, zmq.PAIR)
        with control:
            control.connect(control_at)
            while self._relay_until_told(control) == _CUT:
                self._target = self._rebind()

    def _relay_until_told(self, control: zmq.Socket[bytes]) -> bytes:
        """Return why it ended: told to stop, or because the subscriptions must be cut."""
        poller = zmq.Poller()
        for one in (self._source, self._target, control):
            poller.register(one, zmq.POLLIN)
        while control not in (ready := dict(poller.poll())):
            if self._source in ready:
                self._pass_on(self._source.recv_multipart(copy=False))
            if self._target in ready and not self._heed(self._target.recv(copy=False)):
                return _CUT
        return control.recv()

    def _pass_on(self, parts: Sequence[zmq.Frame]) -> None:
        try:
            if not self._guard.allows(parts[-1]):
                raise ProtocolError("Its key has been revoked.")
            job_id, envelope = check_frame(parts)
        except ProtocolError as error:
            self._malformed(error)
            return
        if self.fence.is_stale(job_id, envelope.attempt):
            self._counters.frames_stale += 1
            return
        self._target.send_multipart(parts, flags=zmq.NOBLOCK, copy=False)
        self._counters.frames += 1
        self._cache.put(job_id, CachedFrame(envelope, parts[1].bytes, parts[2].buffer))

    def _heed(self, message: zmq.Frame) -> bool:
        """Take in a message of a subscriber; False if the socket is not to be used any more."""
        try:
            topic = self._subscriptions.take(self._target, message)
        except ProtocolError as error:
            self._malformed(error)
            return not self._subscriptions.sealed
        if topic is not None:
            self._answer(message.bytes[1:], topic)
        return True

    def _answer(self, wanted: bytes, topic: Topic) -> None:
        frame = self._cache.get(topic.job_id) if topic.kind == "preview" else None
        if frame is not None:
            self._counters.syncs += 1
            self._target.send_multipart([wanted, frame.header, frame.payload], flags=zmq.NOBLOCK)

    def _malformed(self, error: ProtocolError) -> None:
        self._counters.malformed += 1
        self._log.warning("A message on a preview socket was dropped: %s", error.message)
