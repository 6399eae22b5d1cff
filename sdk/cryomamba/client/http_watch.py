"""Watching through a gateway: a WebSocket that is opened again whenever it breaks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage
from websockets.typing import Subprotocol

from cryomamba.client.job_state_tracker import JobStateTracker
from cryomamba.client.latest_value_queue import LatestValueQueue
from cryomamba.errors import (
    AccessError,
    ProtocolError,
    no_such_job,
)
from cryomamba.models.events import ConnectionEvent, Event, PreviewEvent, ProgressEvent, StateEvent
from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import JobEvent, JobRecord, Progress
from cryomamba.wire.constants import PAYLOAD_MAX_BYTES
from cryomamba.wire.webframe import SUBPROTOCOL, decode_web_frame

NOT_ALLOWED: Final = 1008
NO_SUCH_JOB: Final = 4404
FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 5.0

# A message of this module's own: the connection is there.
OPENED: Final = "opened"
CONNECTED: Final = ConnectionEvent("connected", "Connected to the gateway.")

Message = Mapping[str, Any] | PreviewFrame


class ReconnectingWebSocket:
    """One WebSocket after another to the same address, read into a mailbox as fast as messages come.

    A preview or progress that was not fetched is replaced by a newer one, and a preview is acknowledged only when it
    is fetched, so that the gateway sends the newest and not a backlog.

    Parameters
    ----------
    url : str
        ``ws://`` or ``wss://``.
    proxy : bool
        Whether the environment's proxy is used.
    headers : mapping
        Sent with the handshake.
    hello : dict or None
        Sent when connected.
    """

    def __init__(
        self, url: str, *, proxy: bool, headers: Mapping[str, str], hello: dict[str, Any] | None = None
    ) -> None:
        self.url = url
        self._headers = headers
        self.hello = hello
        self.close_code: int | None = None
        self.close_reason = ""
        self._proxy = proxy

    async def messages(self) -> AsyncGenerator[Message, None]:
        """Connect once and yield what comes until the connection ends; how it ended is then in `close_code`.

        Raises
        ------
        OSError, TimeoutError, websockets.exceptions.InvalidHandshake
            It could not be opened.
        """
        self.close_code = None
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
            mailbox: LatestValueQueue[Message] = LatestValueQueue()
            reading = asyncio.create_task(self._read(socket, mailbox), name="http-watch")
            try:
                yield {"type": OPENED}
                while (got := await mailbox.get()) is not None:
                    if isinstance(got[0], PreviewFrame):
                        await _acknowledge(socket, got[0].seq)
                    yield got[0]
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    async def _read(self, socket: ClientConnection, mailbox: LatestValueQueue[Message]) -> None:
        try:
            while True:
                with contextlib.suppress(ProtocolError):
                    message = parse(await socket.recv())
                    mailbox.put(message, key=_key(message))
        except ConnectionClosed as closed:
            received = closed.rcvd
            self.close_code = received.code if received is not None else None
            self.close_reason = received.reason if received is not None else ""
        finally:
            mailbox.close()


async def _acknowledge(socket: ClientConnection, seq: int) -> None:
    with contextlib.suppress(ConnectionClosed):
        await socket.send(json.dumps({"type": "ack", "seq": seq}))


def _key(message: Message) -> str | None:
    """Return the key under which a newer message replaces this one."""
    if isinstance(message, PreviewFrame):
        return "preview"
    type_ = message["type"]
    return f"progress/{message.get('job_id')}" if type_ == "progress" else None


def parse(raw: str | bytes) -> Message:
    """Take apart what a gateway sends.

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


async def watch_job(
    url: str, job_id: str, *, previews: bool, proxy: bool, headers: Mapping[str, str]
) -> AsyncGenerator[Event, None]:
    """Follow a job to its end.

    Raises
    ------
    NotFoundError
        There is no such job any more.
    AccessError
        The gateway refuses.
    """
    ledger = JobStateTracker()
    reader = JobReader(ledger, previews=previews)
    async with contextlib.aclosing(
        _reconnecting(ReconnectingWebSocket(url, proxy=proxy, headers=headers), job_id)
    ) as messages:
        async for message in messages:
            try:
                for event in reader.read(message):
                    yield event
            except ValidationError:
                continue
            if reader.ended:
                return


class JobReader:
    """Turns the messages about one job into events; pure."""

    def __init__(self, ledger: JobStateTracker, *, previews: bool) -> None:
        self._ledger = ledger
        self._previews = previews
        self._last: tuple[int, int] | None = None
        self.ended = False

    def read(self, message: Message) -> list[Event]:
        """Return what a message tells; a final state only from the message that comes last.

        Raises
        ------
        pydantic.ValidationError
            The message does not hold what its type says.
        """
        if isinstance(message, PreviewFrame):
            return [self._preview(message)] if self._previews else []
        match message["type"]:
            case type_ if type_ == OPENED:
                return [CONNECTED]
            case "link":
                return [_link(message)]
            case "progress":
                return [_progress(message)]
            case "connected":
                record = JobRecord.model_validate(message.get("data"))
                # The gateway sends the last preview of a job that has ended, and then its final state.
                return [] if record.state.final else self._ledger.take(record)
            case type_ if type_.startswith("job_"):
                events = self._ledger.take(JobRecord.model_validate(message.get("data")))
                self.ended = self._ledger.ended
                return self._ordered(events)
            case _:
                return []

    def _ordered(self, events: list[Event]) -> list[Event]:
        if not self.ended or self._ledger.record is None:
            return events
        record = self._ledger.record
        told = [event for event in events if isinstance(event, StateEvent) and not event.event.state.final]
        return [*told, StateEvent(record.history[-1], record)]

    def _preview(self, frame: PreviewFrame) -> PreviewEvent:
        attempt, seq = self._last or (frame.attempt, frame.seq - 1)
        skipped = max(0, frame.seq - seq - 1) if attempt == frame.attempt else 0
        self._last = (frame.attempt, frame.seq)
        return PreviewEvent(frame, skipped)


async def watch_all(url: str, *, proxy: bool, headers: Mapping[str, str]) -> AsyncGenerator[Event, None]:
    """Follow the states and progress of all jobs, for ever.

    From the first ``connected`` on every change of state is told, also those while the link was away.
    """
    watching = ReconnectingWebSocket(url, proxy=proxy, headers=headers, hello={"type": "subscribe", "job_id": "*"})
    reader = AllReader()
    async with contextlib.aclosing(_reconnecting(watching, None)) as messages:
        async for message in messages:
            with contextlib.suppress(ValidationError, ProtocolError):
                for event in reader.read(message):
                    yield event
            if reader.last is not None:
                watching.hello = {"type": "subscribe", "job_id": "*", "since": reader.last}


class AllReader:
    """Turns the messages about all jobs into events; pure.

    Attributes
    ----------
    last : int or None
        Number of the event up to which everything has been told; None until the gateway has said where it starts.
    """

    def __init__(self) -> None:
        self.last: int | None = None

    def read(self, message: Message) -> list[Event]:
        """Return what a message tells.

        Raises
        ------
        ProtocolError, pydantic.ValidationError
            The message does not hold what its type says.
        """
        if isinstance(message, PreviewFrame):
            return []
        match message["type"]:
            case "subscribed":
                if self.last is None:
                    self.last = _number(message)
                return [CONNECTED]
            case "link":
                link = _link(message)
                return [link] if link.status == "lost" or self.last is not None else []
            case "progress":
                return [_progress(message)]
            case type_ if type_.startswith("job_"):
                record = JobRecord.model_validate(message.get("data"))
                event = _event_of(record, message)
                if self.last is not None and event.n <= self.last:
                    return []
                self.last = event.n
                return [StateEvent(event, record)]
            case _:
                return []


def _number(message: Mapping[str, Any]) -> int:
    seq = message.get("seq")
    if not isinstance(seq, int):
        raise ProtocolError("The gateway sent a message without its number.")
    return seq


def _event_of(record: JobRecord, message: Mapping[str, Any]) -> JobEvent:
    """Return the line of the history that a message is about."""
    found = next((event for event in record.history if event.n == message.get("seq")), None)
    if found is None:
        raise ProtocolError("The gateway sent a change of state that the job's history does not have.")
    return found


def _progress(message: Mapping[str, Any]) -> ProgressEvent:
    data = message.get("data")
    attempt = data.get("attempt") if isinstance(data, dict) else 0
    progress = Progress.model_validate(data)
    return ProgressEvent(str(message.get("job_id") or ""), attempt if isinstance(attempt, int) else 0, progress)


def _link(message: Mapping[str, Any]) -> ConnectionEvent:
    data = message.get("data")
    data = data if isinstance(data, dict) else {}
    status = data.get("status")
    text, retry = str(data.get("message", "")), data.get("retry_s", 0.0)
    seconds = float(retry) if isinstance(retry, int | float) else 0.0
    if status in {"connected", "restarted"}:
        return ConnectionEvent(status, text, seconds)
    return ConnectionEvent("lost", text, seconds)


async def _reconnecting(watching: ReconnectingWebSocket, job_id: str | None) -> AsyncGenerator[Message, None]:
    """Yield messages over as many connections as it takes; link messages tell of the changes."""
    pauses = _pauses()
    while True:
        heard = False
        try:
            async with contextlib.aclosing(watching.messages()) as messages:
                async for message in messages:
                    heard = heard or isinstance(message, PreviewFrame) or message["type"] not in {OPENED, "link"}
                    yield message
            _raise_for_close(watching, job_id)
        except (OSError, TimeoutError, InvalidHandshake, InvalidMessage, ConnectionClosed):
            watching.close_code = None
        if heard:
            pauses = _pauses()
        pause = next(pauses)
        yield {
            "type": "link",
            "data": {
                "status": "lost",
                "message": f"The connection to the gateway was lost; trying again in {pause:.1f} s.",
                "retry_s": pause,
            },
        }
        await asyncio.sleep(pause)


def _raise_for_close(watching: ReconnectingWebSocket, job_id: str | None) -> None:
    reason = watching.close_reason
    if watching.close_code == NO_SUCH_JOB:
        raise no_such_job(job_id or "")
    if watching.close_code == NOT_ALLOWED:
        raise AccessError(reason or "The gateway does not allow this.", hint="Ask whoever runs the server.")


def _pauses() -> Iterator[float]:
    pause = FIRST_PAUSE_S
    while True:
        # Spread, so that all clients of a restarted gateway do not come at once.
        yield pause * random.uniform(0.8, 1.2)  # noqa: S311 (no secret)  # nosec B311
        pause = min(pause * 2, LONGEST_PAUSE_S)
