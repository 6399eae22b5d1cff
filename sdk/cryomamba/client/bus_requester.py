"""Requests and replies over the bus: a DEALER socket that matches replies to their requests."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import zmq
import zmq.asyncio

from cryomamba.access.visibility import Visibility
from cryomamba.client.transport import client_closed
from cryomamba.errors import CryoMambaError, ErrorCode, ProtocolError, UnavailableError, error_from_payload
from cryomamba.models.base import Request
from cryomamba.system_errors import system_errors_translated
from cryomamba.wire.constants import HEARTBEAT_MS, HEARTBEAT_TIMEOUT_MS, JOBS_HWM, PAYLOAD_MAX_BYTES
from cryomamba.wire.envelope import Envelope, EnvelopeFactory, decode, encode
from cryomamba.wire.messages import ERROR
from cryomamba.wire.trace_context import current_trace

if TYPE_CHECKING:
    from cryomamba.access.keys import KeyFile

RESEND_S = 2.0
# Of a context with two sockets and a monitor: nine, counted on Linux, and some to spare for other threads.
_CONTEXT_DESCRIPTORS = 16
EVERYTHING = Visibility.everything()


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply of a broker: its envelope and its payload parts."""

    envelope: Envelope
    parts: tuple[bytes, ...] = ()

    @property
    def body(self) -> Mapping[str, Any]:
        """The fields of the reply."""
        return self.envelope.body


def new_context() -> zmq.asyncio.Context:
    """Create a context for sockets of the bus.

    Raises
    ------
    UnavailableError
        There are too few descriptors for it. They are tried first, because libzmq would end the process.
    """
    with system_errors_translated(), ExitStack() as tried:
        for _ in range(_CONTEXT_DESCRIPTORS):
            tried.callback(os.close, os.open(os.devnull, os.O_RDONLY))
    return zmq.asyncio.Context()


def keep_alive(socket: zmq.Socket[Any]) -> None:
    """Set the options of every socket that connects to the bus: heartbeats, a limit on messages, no lingering on close.

    There is no limit on the number of messages received: once it is reached, libzmq 4.3.5 ends the process (``Assertion
    failed: _input_stopped``) if the connection is replaced before they are read (zeromq/libzmq#3937). They are read at
    once, into queues that keep the newest.
    """
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)
    socket.setsockopt(zmq.MAXMSGSIZE, PAYLOAD_MAX_BYTES)
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.setsockopt(zmq.RECONNECT_IVL, 100)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 2000)


class BusRequester:
    """The request side of the bus, for clients and workers.

    A request is sent again every two seconds until it is answered, under the same id: the broker executes it once.
    Nothing is queued for an unreachable broker, so a request that timed out is never executed later.
    For one event loop.

    Parameters
    ----------
    endpoint : str
        The broker's ``jobs`` socket.
    src : str
        This peer's name.
    key : KeyFile, optional
        The key of this peer; none for an open bus.
    """

    def __init__(self, endpoint: str, *, src: str, key: KeyFile | None = None) -> None:
        self.endpoint = endpoint
        self.envelopes = EnvelopeFactory(src)
        self.malformed = 0
        self.broker_epoch: int | None = None
        self._context = new_context()
        self._socket = self._context.socket(zmq.DEALER)
        keep_alive(self._socket)
        self._socket.setsockopt(zmq.SNDHWM, JOBS_HWM)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        if key is not None:
            key.secure(self._socket)
        self._socket.connect(endpoint)
        self._closed = False
        self._waiting: dict[str, asyncio.Future[Reply]] = {}
        self._reader: asyncio.Task[None] | None = None

    async def request(
        self,
        type_: str,
        body: Request | Mapping[str, Any],
        *,
        timeout: float = 10.0,  # noqa: ASYNC109 (asked for by callers)
        visibility: Visibility = EVERYTHING,
    ) -> Reply:
        """Send a request and wait for the reply.

        Parameters
        ----------
        type_ : str
            A name of :data:`cryomamba.wire.requests.REQUESTS`.
        body : Request or mapping
        timeout : float
            Seconds.
        visibility : Visibility
            On whose behalf the request is made; everything that the key may see unless given.

        Raises
        ------
        UnavailableError
            No answer in time, or the client was closed.
        CryoMambaError
            The broker's own error, typed.
        """
        if self._closed:
            raise client_closed()
        if self._reader is None:
            self._reader = asyncio.create_task(self._read(), name="bus-replies")
        fields = body.model_dump(mode="json") if isinstance(body, Request) else body
        envelope = self.envelopes.envelope(
            type_, fields, ts=time.time(), owner=visibility.to_wire(), trace=current_trace()
        )
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[envelope.id] = future
        try:
            async with asyncio.timeout(timeout):
                return await self._send(encode(envelope), future)
        except TimeoutError:
            raise self._no_answer() from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and task is not None and not task.cancelling():
                # Closing cancels what waits for the socket; the caller was not cancelled, and must not end as if.
                raise client_closed() from None
            raise
        finally:
            del self._waiting[envelope.id]

    async def _send(self, raw: bytes, future: asyncio.Future[Reply]) -> Reply:
        while True:
            await self._socket.send(raw)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RESEND_S):
                    return await asyncio.shield(future)

    def _no_answer(self) -> UnavailableError:
        if self.broker_epoch is None:
            return UnavailableError(
                f"No broker answers at {self.endpoint}.",
                hint="Check that the broker is running ('cryomamba run') and that the port is right. If the bus has "
                "keys, CRYOMAMBA_KEY must name a key file that it accepts ('cryomamba keys list').",
            )
        return UnavailableError(
            "The broker did not answer in time.",
            code=ErrorCode.TIMEOUT,
            hint="It may be restarting; try again in a moment.",
        )

    async def _read(self) -> None:
        while True:
            parts = await self._socket.recv_multipart()
            try:
                self._deliver(decode(parts[0]), parts[1:])
            except ProtocolError:
                self.malformed += 1

    def _deliver(self, envelope: Envelope, parts: list[bytes]) -> None:
        self.broker_epoch = envelope.epoch
        future = self._waiting.get(envelope.corr or "")
        if future is None or future.done():
            return
        if envelope.type == ERROR:
            error: CryoMambaError = error_from_payload(envelope.body)
            future.set_exception(error)
        else:
            future.set_result(Reply(envelope, tuple(parts)))

    async def close(self) -> None:
        """End the reader and close the socket; waiting requests fail."""
        self._closed = True
        for future in self._waiting.values():
            future.cancel()
        if self._reader is not None:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader
        self._socket.close()
        self._context.term()
