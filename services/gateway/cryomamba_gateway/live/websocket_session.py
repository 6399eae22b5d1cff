"""One WebSocket client: a task that reads, one that sends, and one for each thing it follows."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any, Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from cryomamba.client.bus_subscriber import BusMessage
from cryomamba.errors import (
    CryoMambaError,
    ErrorCode,
    InvalidRequestError,
    NotFoundError,
    ProtocolError,
    UnavailableError,
)
from cryomamba_gateway.access.principal import Principal
from cryomamba_gateway.context import Gateway
from cryomamba_gateway.live import messages
from cryomamba_gateway.live.follow import AllRelay, JobRelay
from cryomamba_gateway.live.send_queue import SendQueue

SEND_TIMEOUT_S: Final = 20.0
JOBS_MAX: Final = 256
MESSAGE_MAX_BYTES: Final = 64 * 1024

ENDED, NOT_ALLOWED, COME_BACK, NO_SUCH_JOB, DEFECT = 1000, 1008, 1012, 4404, 1011
ALL: Final = "*"

logger = logging.getLogger(__name__)


class WebSocketSession:
    """A client from its handshake to its end.

    Parameters
    ----------
    websocket : WebSocket
        Accepted.
    gateway : Gateway
    binary : bool
        Whether previews go as binary frames, on credit.
    caller : Principal
        Whose jobs it may follow.
    """

    def __init__(self, websocket: WebSocket, gateway: Gateway, *, binary: bool, caller: Principal) -> None:
        self._caller = caller
        self._websocket = websocket
        self._gateway = gateway
        self._binary = binary
        self._outbox = SendQueue(credit=binary)
        self._following: dict[str, asyncio.Task[None]] = {}
        self._close = (ENDED, "")

    async def run_job(self, job_id: str, *, previews: bool) -> None:
        """Follow one job; the connection ends with it."""
        following = self._follow_job(job_id, previews=previews)

        async def to_the_end() -> None:
            await following.run()
            self.end(ENDED, "The job has ended.")

        self._begin(job_id, to_the_end())
        await self._run()

    async def run(self) -> None:
        """Follow what the client subscribes to, until it goes."""
        await self._run()

    def _follow_job(self, job_id: str, *, previews: bool) -> JobRelay:
        return JobRelay(
            self._gateway.bus,
            self._gateway.translator,
            self._outbox,
            job_id,
            visibility=self._caller.visibility,
            previews=previews,
        )

    async def _run(self) -> None:
        reading = asyncio.create_task(self._read(), name="ws-read")
        sending = asyncio.create_task(self._send(), name="ws-send")
        try:
            await asyncio.wait({reading, sending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            tasks = [reading, sending, *self._following.values()]
            for task in tasks:
                task.cancel()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            self._report(found)

    @staticmethod
    def _report(found: list[Any]) -> None:
        for outcome in found:
            if isinstance(outcome, Exception) and not isinstance(outcome, WebSocketDisconnect):
                logger.error("A WebSocket client was lost to a defect.", exc_info=outcome)

    def _begin(self, job_id: str, work: Coroutine[Any, Any, None]) -> None:
        self._following[job_id] = asyncio.create_task(self._guarded(job_id, work), name="ws-follow")

    async def _guarded(self, job_id: str, work: Coroutine[Any, Any, None]) -> None:
        """Tell the client why something can be followed no longer."""
        try:
            await work
        except NotFoundError as error:
            self._give_up(job_id, error, NO_SUCH_JOB)
        except UnavailableError as error:
            self._give_up(job_id, error, COME_BACK)
        except CryoMambaError as error:
            self._give_up(job_id, error, DEFECT)
        finally:
            if self._following.get(job_id) is asyncio.current_task():
                del self._following[job_id]

    def _give_up(self, job_id: str, error: CryoMambaError, code: int) -> None:
        self._outbox.put(messages.error(error, job_id))
        if self._websocket.path_params.get("job_id") == job_id:
            self.end(code, error.message)

    def end(self, code: int, reason: str) -> None:
        """End the connection as soon as what is in the outbox was said."""
        self._close = (code, reason)
        self._outbox.close()

    async def _read(self) -> None:
        while True:
            received = await self._websocket.receive()
            if received["type"] == "websocket.disconnect":
                return
            text = received.get("text")
            try:
                if text is None:
                    raise messages.unreadable()
                self._heed(messages.parse_inbound(text))
            except InvalidRequestError as error:
                self._outbox.put(messages.error(error), key="error")

    def _heed(
        self, said: messages.Ping | messages.Auth | messages.Ack | messages.Subscribe | messages.Unsubscribe
    ) -> None:
        match said:
            case messages.Ping():
                self._outbox.put(messages.pong(), key="pong")
            case messages.Auth():
                # Said at the door, or not needed on an open server.
                return
            case messages.Ack():
                self._outbox.ack(said.seq)
            case messages.Subscribe():
                self._subscribe(said)
            case messages.Unsubscribe():
                if (following := self._following.pop(said.job_id, None)) is not None:
                    following.cancel()

    def _subscribe(self, said: messages.Subscribe) -> None:
        if said.job_id in self._following:
            return
        if len(self._following) >= JOBS_MAX:
            raise InvalidRequestError(
                f"A connection can follow {JOBS_MAX} jobs at once.",
                code=ErrorCode.TOO_LARGE,
                hint="Unsubscribe from some, or subscribe to '*'.",
            )
        if said.job_id == ALL:
            self._begin(
                ALL, AllRelay(self._gateway.bus, self._outbox, said.since, visibility=self._caller.visibility).run()
            )
        else:
            self._begin(said.job_id, self._follow_job(said.job_id, previews=said.previews).run())

    async def _send(self) -> None:
        while (item := await self._outbox.get()) is not None:
            content: str | bytes
            if isinstance(item, BusMessage):
                try:
                    content = await self._gateway.translator.preview(item, binary=self._binary)
                except ProtocolError:
                    self._outbox.ack(item.envelope.seq)
                    continue
                await self._gateway.turnstile.pass_through(len(content))
                self._gateway.metrics.frames.labels("binary" if self._binary else "json").inc()
            else:
                content = item
            if not await self._deliver(content):
                return
        code, reason = self._close
        with contextlib.suppress(WebSocketDisconnect, TimeoutError):
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._websocket.close(code, reason[:100])

    async def _deliver(self, content: str | bytes) -> bool:
        """Send one message; False if the client is gone or has stopped reading."""
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                if isinstance(content, bytes):
                    await self._websocket.send_bytes(content)
                else:
                    await self._websocket.send_text(content)
        except TimeoutError:
            self._gateway.metrics.evicted.inc()
            logger.warning("A WebSocket client stopped reading and was let go.")
            return False
        except (WebSocketDisconnect, OSError):
            return False
        return True
