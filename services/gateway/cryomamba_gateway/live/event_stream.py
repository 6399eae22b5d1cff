"""Server-sent events: the WebSocket's messages as a response that does not end before what it follows does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cryomamba.errors import CryoMambaError
from cryomamba_gateway.errors import defect
from cryomamba_gateway.live import messages
from cryomamba_gateway.live.send_queue import SendQueue
from cryomamba_gateway.live.websocket_session import SEND_TIMEOUT_S
from cryomamba_gateway.metrics import Metrics

MEDIA_TYPE: Final = "text/event-stream"
# Proxies close a connection that is silent for a minute.
HEARTBEAT_S: Final = 15.0
_HEARTBEAT: Final = b": still here\n\n"
_HEAD: Final = re.compile(r'\{"type":"(\w+)","job_id":(?:"[^"]*"|null),"timestamp":"[^"]*","seq":(\d+)')
_UNNUMBERED: Final = frozenset({"progress", "link", "error", "preview"})

logger = logging.getLogger(__name__)


def encode_event(message: str) -> bytes:
    """Return a message of the WebSocket as a server-sent event; its id is the number of the job's event, if any."""
    found = _HEAD.match(message)
    if found is None:
        raise ValueError("The message has no type.")
    type_, seq = found.groups()
    id_ = "" if type_ in _UNNUMBERED else f"id: {seq}\n"
    return f"{id_}event: {type_}\ndata: {message}\n\n".encode()


def last_event_id(value: str | None) -> int | None:
    """Return the number in the header Last-Event-ID; None without one, or if it did not come from here."""
    return int(value) if value is not None and re.fullmatch(r"[0-9]{1,18}", value) else None


class EventStream(Response):
    """A response that sends what a relay puts into a queue.

    Parameters
    ----------
    queue : SendQueue
    relay : callable
        Puts messages into the queue, to the end of what it follows.
    limit : context manager
        Holds one of the client's connections; entering it raises :class:`AccessError` if it has too many.
    metrics : Metrics
    token_valid : callable
        Raises :class:`CryoMambaError` once the client's token has expired or was revoked; called now and then.
    heartbeat_s : float
        Seconds without a message after which a comment is sent.
    """

    def __init__(
        self,
        queue: SendQueue,
        relay: Callable[[], Awaitable[object]],
        *,
        limit: AbstractContextManager[None],
        metrics: Metrics,
        token_valid: Callable[[], Awaitable[object]],
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        super().__init__(media_type=MEDIA_TYPE, headers={"X-Accel-Buffering": "no"})
        # Without a length the server sends it in chunks.
        del self.headers["Content-Length"]
        self._queue, self._relay, self._limit, self._metrics = queue, relay, limit, metrics
        self._token_valid, self._heartbeat_s = token_valid, heartbeat_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until the relay ends, the client disconnects or stops reading, or its token ends."""
        with self._limit:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                await self._follow(receive, send)
            with contextlib.suppress(OSError):
                await send({"type": "http.response.body", "body": b""})

    async def _follow(self, receive: Receive, send: Send) -> None:
        tasks = [
            asyncio.create_task(self._run_relay(), name="events-relay"),
            asyncio.create_task(self._check_token(), name="events-token"),
            asyncio.create_task(_until_disconnected(receive), name="events-disconnect"),
            asyncio.create_task(self._send_all(send), name="events-send"),
        ]
        try:
            await asyncio.wait(tasks[2:], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _run_relay(self) -> None:
        try:
            await self._relay()
        except CryoMambaError as error:
            self._queue.put(messages.error(error))
        except Exception:
            logger.exception("Following jobs for a client of server-sent events failed because of a defect.")
            self._queue.put(messages.error(defect()))
        finally:
            self._queue.close()

    async def _check_token(self) -> None:
        try:
            await self._token_valid()
        except CryoMambaError as error:
            self._queue.put(messages.error(error))
            self._queue.close()

    async def _send_all(self, send: Send) -> None:
        while True:
            content = _HEARTBEAT
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._heartbeat_s):
                    item = await self._queue.get()
                if item is None:
                    return
                content = encode_event(str(item))
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await send({"type": "http.response.body", "body": content, "more_body": True})
            except TimeoutError:
                self._metrics.evicted.inc()
                logger.warning("A client of server-sent events stopped reading and was disconnected.")
                return
            except OSError:
                return


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
