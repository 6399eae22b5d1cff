"""Server-sent events: the WebSocket's messages as a response that does not end before what it follows does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

import orjson
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
_ID: Final = re.compile(r"([0-9]{1,18}):([0-9]{1,18})")
_UNNUMBERED: Final = frozenset({"progress", "link", "error", "preview"})

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EventId:
    """The id of a server-sent event.

    Attributes
    ----------
    epoch : int
        That of the broker's start: with another one, its number may be that of another event.
    seq : int
        Number of the job's event.
    """

    epoch: int
    seq: int

    @classmethod
    def parse(cls, value: str | None) -> EventId | None:
        """Return the id in a header Last-Event-ID; None without one, or if it did not come from here."""
        found = _ID.fullmatch(value or "")
        return None if found is None else cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.epoch}:{self.seq}"


def encode_event(message: str, epoch: int) -> str:
    """Return a message of the WebSocket as a server-sent event; only one with the number of a job's event has an id."""
    fields = orjson.loads(message)
    id_ = "" if fields["type"] in _UNNUMBERED else f"id: {EventId(epoch, fields['seq'])}\n"
    return f"{id_}event: {fields['type']}\ndata: {message}\n\n"


class EventQueue(SendQueue):
    """The events that one client has still to receive.

    Parameters
    ----------
    epoch : callable
        Returns that of the broker now; an event is encoded when it is added, for a slow client may get it much later.
    """

    def __init__(self, epoch: Callable[[], int]) -> None:
        super().__init__(acknowledged=False)
        self._epoch = epoch

    def put(self, text: str, *, key: str | None = None) -> None:
        """Add a message."""
        super().put(encode_event(text, self._epoch()), key=key)


class EventStream(Response):
    """A response that sends what a relay puts into a queue.

    Parameters
    ----------
    queue : EventQueue
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
        queue: EventQueue,
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
                content = str(item).encode()
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
