"""A WebSocket to a gateway that is opened again whenever it breaks."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage
from websockets.typing import Subprotocol

from cryomamba.client.backoff import pauses
from cryomamba.client.latest_value_queue import LatestValueQueue
from cryomamba.errors import AccessError, ProtocolError, no_such_job
from cryomamba.models.frames import PreviewFrame
from cryomamba.wire.constants import PAYLOAD_MAX_BYTES
from cryomamba.wire.webframe import SUBPROTOCOL, decode_web_frame

NOT_ALLOWED: Final = 1008
NO_SUCH_JOB: Final = 4404
FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 5.0

# A message of this module's own: the connection is there.
OPENED: Final = "opened"
LINK: Final = "link"

Message = Mapping[str, Any] | PreviewFrame


class ReconnectingWebSocket:
    """One WebSocket after another to the same address, read into a queue as fast as messages come.

    A preview or progress message that was not fetched is replaced by a newer one, and a preview is acknowledged only
    when it is fetched, so that the gateway sends the newest and not a backlog.

    Parameters
    ----------
    url : str
        ``ws://`` or ``wss://``.
    proxy : bool
        Whether the environment's proxy is used.
    headers : mapping of str to str
        Sent with the handshake.
    hello : dict or None
        Sent after every connect; may be changed meanwhile.
    job_id : str
        The job that the address is about, for the error that there is none.
    """

    def __init__(
        self,
        url: str,
        *,
        proxy: bool,
        headers: Mapping[str, str],
        hello: dict[str, Any] | None = None,
        job_id: str = "",
    ) -> None:
        self.url = url
        self.hello = hello
        self._job_id = job_id
        self._headers = headers
        self._proxy = proxy
        self._close_code: int | None = None
        self._close_reason = ""

    async def messages(self) -> AsyncGenerator[Message, None]:
        """Yield messages over as many connections as it takes; ``link`` messages report losses.

        Raises
        ------
        NotFoundError
            There is no such job.
        AccessError
            The gateway refuses.
        """
        waits = _pauses()
        while True:
            received = False
            self._close_code = None
            try:
                async with contextlib.aclosing(self._connection()) as messages:
                    async for message in messages:
                        received |= isinstance(message, PreviewFrame) or message["type"] not in {OPENED, LINK}
                        yield message
            except (OSError, TimeoutError, InvalidHandshake, InvalidMessage, ConnectionClosed):
                self._close_code = None
            self._raise_for_close()
            if received:
                waits = _pauses()
            pause = next(waits)
            yield _lost(pause)
            await asyncio.sleep(pause)

    async def _connection(self) -> AsyncGenerator[Message, None]:
        async with connect(
            self.url,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None,
            additional_headers=dict(self._headers),
            max_size=PAYLOAD_MAX_BYTES,
            open_timeout=5.0,
            close_timeout=1.0,
            proxy=True if self._proxy else None,
        ) as socket:
            if self.hello is not None:
                await socket.send(json.dumps(self.hello))
            queue: LatestValueQueue[Message] = LatestValueQueue()
            reading = asyncio.create_task(self._read(socket, queue), name="http-watch")
            try:
                yield {"type": OPENED}
                while (got := await queue.get()) is not None:
                    if isinstance(got[0], PreviewFrame):
                        with contextlib.suppress(ConnectionClosed):
                            await socket.send(json.dumps({"type": "ack", "seq": got[0].seq}))
                    yield got[0]
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    async def _read(self, socket: ClientConnection, queue: LatestValueQueue[Message]) -> None:
        try:
            while True:
                with contextlib.suppress(ProtocolError):
                    message = parse(await socket.recv())
                    queue.put(message, key=_key(message))
        except ConnectionClosed as closed:
            if closed.rcvd is not None:
                self._close_code, self._close_reason = closed.rcvd.code, closed.rcvd.reason
        finally:
            queue.close()

    def _raise_for_close(self) -> None:
        if self._close_code == NO_SUCH_JOB:
            raise no_such_job(self._job_id)
        if self._close_code == NOT_ALLOWED:
            reason = self._close_reason or "The gateway does not allow this."
            raise AccessError(reason, hint="Ask whoever runs the server.")


def _pauses() -> Iterator[float]:
    return pauses(FIRST_PAUSE_S, LONGEST_PAUSE_S, jitter=0.2)


def _lost(pause: float) -> Message:
    text = f"The connection to the gateway was lost; trying again in {pause:.1f} s."
    return {"type": LINK, "data": {"status": "lost", "message": text, "retry_s": pause}}


def _key(message: Message) -> str | None:
    if isinstance(message, PreviewFrame):
        return "preview"
    type_ = message["type"]
    return f"progress/{message.get('job_id')}" if type_ == "progress" else None


def parse(raw: str | bytes) -> Message:
    """Decode what a gateway sends.

    Raises
    ------
    ProtocolError
        It is neither a frame nor a message.
    """
    if isinstance(raw, bytes):
        return decode_web_frame(raw)
    try:
        message = json.loads(raw)
    except ValueError:
        raise ProtocolError("The gateway sent text that is not JSON.") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ProtocolError("The gateway sent a message without a type.")
    return message
