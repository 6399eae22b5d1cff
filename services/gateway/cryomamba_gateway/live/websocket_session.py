"""One WebSocket client: a task that reads, one that sends, and one for each subscription."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from typing import Any, Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from cryomamba.access.visibility import Visibility
from cryomamba.client.bus_subscriber import BusMessage
from cryomamba.errors import (
    CryoMambaError,
    ErrorCode,
    InvalidRequestError,
    NotFoundError,
    ProtocolError,
    UnavailableError,
)
from cryomamba_gateway.bus_connection import BusConnection
from cryomamba_gateway.errors import defect
from cryomamba_gateway.live import messages
from cryomamba_gateway.live.job_relay import AllRelay, JobRelay
from cryomamba_gateway.live.messages import MessageEncoder
from cryomamba_gateway.live.send_queue import SendQueue
from cryomamba_gateway.live.send_scheduler import SendScheduler
from cryomamba_gateway.metrics import Metrics

SEND_TIMEOUT_S: Final = 20.0
JOBS_MAX: Final = 256
MESSAGE_MAX_BYTES: Final = 64 * 1024

ENDED, NOT_ALLOWED, COME_BACK, NO_SUCH_JOB, DEFECT = 1000, 1008, 1012, 4404, 1011
ALL: Final = "*"

logger = logging.getLogger(__name__)


class WebSocketSession:
    """A client from the accepted handshake to the closing one.

    Parameters
    ----------
    websocket : WebSocket
        Accepted.
    bus : BusConnection
    encoder : MessageEncoder
    scheduler : SendScheduler
    metrics : Metrics
        These four are shared by all clients.
    binary : bool
        Whether previews go as binary frames, each acknowledged by the client before the next.
    visibility : Visibility
        The client's.
    """

    def __init__(
        self,
        websocket: WebSocket,
        *,
        bus: BusConnection,
        encoder: MessageEncoder,
        scheduler: SendScheduler,
        metrics: Metrics,
        binary: bool,
        visibility: Visibility,
    ) -> None:
        self._websocket = websocket
        self._bus = bus
        self._encoder = encoder
        self._scheduler = scheduler
        self._metrics = metrics
        self._binary = binary
        self._visibility = visibility
        self._queue = SendQueue(acknowledged=binary)
        self._following: dict[str, asyncio.Task[None]] = {}
        self._close = (ENDED, "")

    async def run_job(self, job_id: str, *, previews: bool, first_types: bool = False) -> None:
        """Follow one job; the connection closes when the job ends."""
        relay = self._job_relay(job_id, previews=previews, first_types=first_types)

        async def follow_to_end() -> None:
            if await relay.run():
                self.end(ENDED, "The job has ended.")
            else:
                self.end(COME_BACK, "The gateway is shutting down.")

        self._follow(job_id, follow_to_end())
        await self.run()

    async def run(self) -> None:
        """Serve the client's subscriptions until it disconnects."""
        reading = asyncio.create_task(self._read(), name="ws-read")
        sending = asyncio.create_task(self._send(), name="ws-send")
        try:
            await asyncio.wait({reading, sending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            tasks = [reading, sending, *self._following.values()]
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, Exception) and not isinstance(outcome, WebSocketDisconnect):
                    logger.error("A WebSocket connection failed because of a defect.", exc_info=outcome)

    def end(self, code: int, reason: str) -> None:
        """Close the connection once the messages in the queue are sent."""
        self._close = (code, reason)
        self._queue.close()

    def _job_relay(self, job_id: str, *, previews: bool, first_types: bool = False) -> JobRelay:
        return JobRelay(
            self._bus,
            self._encoder,
            self._queue,
            job_id,
            visibility=self._visibility,
            previews=previews,
            first_types=first_types,
        )

    def _follow(self, job_id: str, work: Coroutine[Any, Any, object]) -> None:
        self._following[job_id] = asyncio.create_task(self._report_errors(job_id, work), name="ws-follow")

    async def _report_errors(self, job_id: str, work: Coroutine[Any, Any, object]) -> None:
        try:
            await work
        except CryoMambaError as error:
            self._on_error(job_id, error)
        except Exception:
            # Unseen, the client would wait for a job that nobody follows for it any more.
            logger.exception("Following a job for a WebSocket client failed because of a defect.")
            self._on_error(job_id, defect())
        finally:
            if self._following.get(job_id) is asyncio.current_task():
                del self._following[job_id]

    def _on_error(self, job_id: str, error: CryoMambaError) -> None:
        self._queue.put(messages.error(error, job_id))
        # A client that follows this job, or all, comes back and misses nothing; others get the error of their one job.
        if job_id == ALL or self._websocket.path_params.get("job_id") == job_id:
            self.end(_close_code(error), error.message)

    async def _read(self) -> None:
        while True:
            received = await self._websocket.receive()
            # With messages that have arrived already, `receive` lets nobody else have a turn.
            await asyncio.sleep(0)
            if received["type"] == "websocket.disconnect":
                return
            text = received.get("text")
            try:
                if text is None:
                    hint = 'Send {"type": "ping"}, for example.'
                    raise InvalidRequestError("Messages must be JSON text.", hint=hint)
                self._handle(messages.parse_inbound(text))
            except InvalidRequestError as error:
                self._queue.put(messages.error(error), key="error")

    def _handle(self, message: messages.Inbound) -> None:
        match message:
            case messages.Ping():
                self._queue.put(messages.pong(), key="pong")
            case messages.Auth():
                # The handshake has checked the token, or none is required.
                return
            case messages.Ack():
                self._queue.ack(message.seq)
            case messages.Subscribe():
                self._subscribe(message)
            case messages.Unsubscribe():
                if (following := self._following.pop(message.job_id, None)) is not None:
                    following.cancel()

    def _subscribe(self, message: messages.Subscribe) -> None:
        if message.job_id in self._following:
            return
        if len(self._following) >= JOBS_MAX:
            raise InvalidRequestError(
                f"A connection can follow at most {JOBS_MAX} jobs at once.",
                code=ErrorCode.TOO_LARGE,
                hint="Unsubscribe from some, or subscribe to '*'.",
            )
        if message.job_id == ALL:
            relay = AllRelay(self._bus, self._queue, message.since, epoch=message.epoch, visibility=self._visibility)
            self._follow(ALL, relay.run())
        else:
            self._follow(message.job_id, self._job_relay(message.job_id, previews=message.previews).run())

    async def _send(self) -> None:
        while (item := await self._queue.get()) is not None:
            content: str | bytes
            if isinstance(item, BusMessage):
                try:
                    content = await self._encoder.preview(item, binary=self._binary)
                except ProtocolError:
                    self._queue.ack(item.envelope.seq)
                    continue
                await self._scheduler.acquire(len(content))
                self._metrics.frames.labels("binary" if self._binary else "json").inc()
                self._metrics.preview_delay.observe(max(0.0, time.time() - item.envelope.ts))
            else:
                content = item
            if not await self._send_content(content):
                return
        code, reason = self._close
        with contextlib.suppress(WebSocketDisconnect, TimeoutError):
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._websocket.close(code, reason[:100])

    async def _send_content(self, content: str | bytes) -> bool:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                if isinstance(content, bytes):
                    await self._websocket.send_bytes(content)
                else:
                    await self._websocket.send_text(content)
        except TimeoutError:
            self._metrics.evicted.inc()
            logger.warning("A WebSocket client stopped reading and was disconnected.")
            return False
        except (WebSocketDisconnect, OSError):
            return False
        return True


def _close_code(error: CryoMambaError) -> int:
    if isinstance(error, NotFoundError):
        return NO_SUCH_JOB
    return COME_BACK if isinstance(error, UnavailableError) else DEFECT
