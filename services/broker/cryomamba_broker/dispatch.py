"""The jobs socket: each request becomes a task and gets one reply, and is executed once however often it is sent."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Final

import msgpack
import zmq
import zmq.asyncio
from prometheus_client import Counter

from cryomamba.access.visibility import Visibility
from cryomamba.errors import AccessError, CryoMambaError, InternalError, InvalidRequestError, ProtocolError
from cryomamba.models.jobs import JobRecord
from cryomamba.system_errors import system_error
from cryomamba.wire import messages
from cryomamba.wire.buffers import BufferSpec
from cryomamba.wire.envelope import Envelope, EnvelopeFactory, decode, encode
from cryomamba.wire.messages import ERROR, REPLY
from cryomamba.wire.requests import REQUESTS, parse_request
from cryomamba.wire.trace_context import NO_TRACE, TraceContext, use_trace
from cryomamba_broker.authenticator import BusAuthenticator
from cryomamba_broker.counters import Counters
from cryomamba_broker.request_log import TRACED, audit_done, audit_error, body_fields, request_fields, trace_of
from cryomamba_server import log_context
from cryomamba_server.throttle import Throttle
from cryomamba_server.tracing import span

# Claims and renewals, one of them for each worker, wait for many seconds.
IN_FLIGHT_MAX: Final = 2048
REPLIES_KEPT: Final = 1024
REPLIES_CACHED_FOR: Final = frozenset(
    {
        messages.JOB_SUBMIT,
        messages.JOB_CANCEL,
        messages.JOB_RETRY,
        messages.JOB_DELETE,
        messages.WEBHOOK_CREATE,
        messages.WEBHOOK_DELETE,
        messages.WEBHOOK_TEST,
        messages.WORKER_REMOVE,
        messages.DELIVERY_CLAIM,
        messages.JOB_CLAIM,
        messages.JOB_FINISH,
        messages.JOB_FAIL,
        messages.JOB_RELEASE,
    }
)

logger = logging.getLogger(__name__)


async def _nothing() -> None:
    return


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a handler.

    Attributes
    ----------
    body : mapping
    buffers, parts : tuple
        The payload and its description.
    job, attempt : str or None, int or None
        For the envelope of the reply.
    trace : TraceContext
        For the envelope of the reply: the request that submitted a claimed job.
    undo : callable
        Awaited if the peer is gone, so that the job that it was given is not lost.
    """

    body: Mapping[str, Any]
    buffers: tuple[BufferSpec, ...] = ()
    parts: tuple[bytes | memoryview, ...] = ()
    job: str | None = None
    attempt: int | None = None
    trace: TraceContext = NO_TRACE
    undo: Callable[[], Awaitable[None]] = field(default=_nothing)


def job_answer(record: JobRecord) -> Answer:
    """Return the answer that is a job."""
    return Answer(record.model_dump(mode="json"), job=record.job_id, attempt=record.attempt)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request.

    Attributes
    ----------
    visibility : Visibility
        What the request may see and change.
    key : str
        Public key of the connection; empty on an open bus. Unlike the name in a message, nobody else can have it.
    """

    visibility: Visibility
    key: str = ""


Handler = Callable[[Any, Caller], Awaitable[Answer]]
"""Takes the checked body and who sent it."""
Key = tuple[bytes, str]


def readable_id(raw: bytes) -> str | None:
    """Return the id in a header that is not a valid envelope, if there is one."""
    try:
        fields = msgpack.unpackb(raw, raw=False, strict_map_key=True)
    except (ValueError, msgpack.UnpackException, RecursionError, TypeError):
        return None
    found = fields.get("id") if isinstance(fields, dict) else None
    return found if isinstance(found, str) and 0 < len(found) <= 128 else None


def _known(type_: str) -> str:
    """Return the type of a request, or ``unknown``: a peer must not add series without end."""
    return type_ if type_ in REQUESTS else "unknown"


class Dispatcher:
    """Reads the ROUTER socket; `wall` is the time in seconds since 1970, `executed` counts by request and result."""

    def __init__(
        self,
        socket: zmq.asyncio.Socket,
        envelopes: EnvelopeFactory,
        handlers: Mapping[str, Handler],
        counters: Counters,
        wall: Callable[[], float],
        authenticator: BusAuthenticator,
        executed: Counter,
    ) -> None:
        self._socket, self._authenticator, self._envelopes = socket, authenticator, envelopes
        self._handlers, self._counters, self._wall = handlers, counters, wall
        self._log = Throttle(logger)
        self._executed = executed
        self._machine_log = Throttle(logger, interval_s=60.0)
        self._working: set[Key] = set()
        self._replies: OrderedDict[Key, bytes] = OrderedDict()

    async def run(self) -> None:
        """Serve requests, forever: at most 2048 at a time, the others wait in the socket."""
        slots = asyncio.Semaphore(IN_FLIGHT_MAX)
        async with asyncio.TaskGroup() as tasks:
            while True:
                await slots.acquire()
                identity, *parts = await self._socket.recv_multipart(copy=False)
                task = tasks.create_task(self._serve(identity.bytes, parts))
                task.add_done_callback(lambda _: slots.release())
                await asyncio.sleep(0)

    async def _serve(self, identity: bytes, parts: list[zmq.Frame]) -> None:
        try:
            if len(parts) != 1:
                raise ProtocolError("A request does not have exactly one part.")
            request = decode(parts[0].bytes)
        except ProtocolError as error:
            await self._refuse(identity, parts, error)
            return
        with use_trace(trace_of(request)):
            await self._serve_request(identity, parts[0], request)

    async def _serve_request(self, identity: bytes, frame: zmq.Frame, request: Envelope) -> None:
        try:
            caller = Caller(self._authenticator.authorize(frame, request), self._authenticator.key_of(frame))
        except (AccessError, InvalidRequestError) as error:
            self._counters.refused += 1
            with log_context.bind(peer=request.src, actor=self._authenticator.actor(frame, request.trace.actor)):
                audit_error(request, error)
            await self._send([identity, self._error(request.id, error)])
            return
        key = (identity, request.id)
        if key in self._working:
            self._counters.repeated += 1
        elif (kept := self._replies.get(key)) is not None:
            self._counters.repeated += 1
            await self._send([identity, kept])
        else:
            self._working.add(key)
            try:
                actor = self._authenticator.actor(frame, request.trace.actor)
                with log_context.bind(**request_fields(request, caller.visibility, actor)):
                    await self._execute(key, request, caller)
            finally:
                self._working.discard(key)

    async def _refuse(self, identity: bytes, parts: list[zmq.Frame], error: ProtocolError) -> None:
        self._counters.malformed += 1
        self._log.warning("A message on the jobs socket was dropped: %s", error.message)
        corr = readable_id(parts[0].bytes) if parts else None
        if corr is not None:
            await self._send([identity, self._error(corr, error)])

    async def _execute(self, key: Key, request: Envelope, caller: Caller) -> None:
        identity, _ = key
        self._counters.requests += 1
        try:
            body = parse_request(request.type, request.body)
            log_context.add(**body_fields(body))
            with span(request.type) if request.type in TRACED else nullcontext():
                answer = await self._handlers[request.type](body, caller)
            header = self._reply(request, answer)
        except CryoMambaError as error:
            self._counters.refused += 1
            logger.debug("The request %s was refused: %s", request.type, error.message)
            self._executed.labels(_known(request.type), "refused").inc()
            audit_error(request, error)
            await self._send([identity, self._error(request.id, error)])
            return
        except Exception as error:
            if (of_the_machine := system_error(error)) is not None:
                self._counters.refused += 1
                self._executed.labels(_known(request.type), "failed").inc()
                self._machine_log.warning("A request failed: %s", of_the_machine)
                audit_error(request, of_the_machine)
                await self._send([identity, self._error(request.id, of_the_machine)])
                return
            logger.exception("The request %s failed with an unexpected error.", request.type)
            hint = "See the broker's log for details, and please report it."
            failure = InternalError("The broker failed with an unexpected error.", hint=hint)
            audit_error(request, failure)
            self._executed.labels(_known(request.type), "failed").inc()
            await self._send([identity, self._error(request.id, failure)])
            return
        audit_done(request, answer.job, answer.body.get("webhook_id"))
        self._executed.labels(request.type, "done").inc()
        if request.type in REPLIES_CACHED_FOR:
            self._remember(key, header)
        if not await self._send([identity, header, *answer.parts]):
            await answer.undo()

    def _reply(self, request: Envelope, answer: Answer) -> bytes:
        return encode(
            self._envelopes.envelope(
                REPLY,
                answer.body,
                ts=self._wall(),
                corr=request.id,
                job=answer.job,
                attempt=answer.attempt,
                trace=answer.trace,
                buffers=answer.buffers,
            )
        )

    def _error(self, corr: str, error: CryoMambaError) -> bytes:
        return encode(self._envelopes.envelope(ERROR, error.payload(), ts=self._wall(), corr=corr))

    def _remember(self, key: Key, header: bytes) -> None:
        self._replies[key] = header
        if len(self._replies) > REPLIES_KEPT:
            self._replies.popitem(last=False)

    async def _send(self, parts: Sequence[bytes | memoryview]) -> bool:
        try:
            await self._socket.send_multipart(parts, flags=zmq.NOBLOCK)
        except zmq.ZMQError as error:
            # The peer is gone (EHOSTUNREACH) or does not read (EAGAIN): waiting for it would delay all others.
            self._counters.undelivered += 1
            logger.debug("A reply could not be delivered: %s", error.strerror)
            return False
        return True
