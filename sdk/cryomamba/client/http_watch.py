"""Watching through a gateway: from the messages of a WebSocket to events."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

from pydantic import ValidationError

from cryomamba.client.job_state_tracker import JobStateTracker
from cryomamba.client.reconnecting_websocket import LINK, OPENED, Message, ReconnectingWebSocket
from cryomamba.errors import ProtocolError
from cryomamba.models.events import ConnectionEvent, Event, PreviewEvent, ProgressEvent, StateEvent
from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import JobEvent, JobRecord, Progress

CONNECTED: Final = ConnectionEvent("connected", "Connected to the gateway.")


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
    reader = JobReader(JobStateTracker(), previews=previews)
    socket = ReconnectingWebSocket(url, proxy=proxy, headers=headers, job_id=job_id)
    async with contextlib.aclosing(socket.messages()) as messages:
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

    def __init__(self, states: JobStateTracker, *, previews: bool) -> None:
        self._states = states
        self._previews = previews
        self._last: tuple[int, int] | None = None
        self.ended = False

    def read(self, message: Message) -> list[Event]:
        """Return the events in a message; a final state only from the message that comes last.

        Raises
        ------
        pydantic.ValidationError
            The message lacks the fields of its type.
        """
        if isinstance(message, PreviewFrame):
            return [self._preview(message)] if self._previews else []
        match message["type"]:
            case type_ if type_ == OPENED:
                return [CONNECTED]
            case type_ if type_ == LINK:
                return [_connection(message)]
            case "progress":
                return [_progress(message)]
            case "connected":
                record = JobRecord.model_validate(message.get("data"))
                # The gateway sends the last preview of a job that has ended, and then its final state.
                return [] if record.state.final else [*self._states.update(record)]
            case type_ if type_.startswith("job_"):
                events = self._states.update(JobRecord.model_validate(message.get("data")))
                self.ended = self._states.ended
                return self._ordered(events)
            case _:
                return []

    def _ordered(self, events: list[StateEvent]) -> list[Event]:
        if not self.ended or self._states.record is None:
            return [*events]
        record = self._states.record
        earlier = [event for event in events if not event.event.state.final]
        return [*earlier, StateEvent(record.history[-1], record)]

    def _preview(self, frame: PreviewFrame) -> PreviewEvent:
        attempt, seq = self._last or (frame.attempt, frame.seq - 1)
        skipped = max(0, frame.seq - seq - 1) if attempt == frame.attempt else 0
        self._last = (frame.attempt, frame.seq)
        return PreviewEvent(frame, skipped)


async def watch_all(url: str, *, proxy: bool, headers: Mapping[str, str]) -> AsyncGenerator[Event, None]:
    """Follow the states and progress of all jobs without end.

    From the first ``connected`` on every change of state is reported, also those during a lost connection. If the
    broker was started anew meanwhile, ``restarted`` comes before them: after a restore from a backup, some may be
    missing.
    """
    socket = ReconnectingWebSocket(url, proxy=proxy, headers=headers, hello={"type": "subscribe", "job_id": "*"})
    reader = AllReader()
    async with contextlib.aclosing(socket.messages()) as messages:
        async for message in messages:
            with contextlib.suppress(ValidationError, ProtocolError):
                for event in reader.read(message):
                    yield event
            if reader.last is not None:
                socket.hello = {"type": "subscribe", "job_id": "*", "since": reader.last, "epoch": reader.epoch}


class AllReader:
    """Turns the messages about all jobs into events; pure.

    Attributes
    ----------
    last : int or None
        Number of the newest event that has been returned; None until the gateway has sent its first number.
    epoch : int or None
        That of the broker's start in which the gateway has sent its first number, or the one after an interruption.
    """

    def __init__(self) -> None:
        self.last: int | None = None
        self.epoch: int | None = None

    def read(self, message: Message) -> list[Event]:
        """Return the events in a message.

        Raises
        ------
        ProtocolError, pydantic.ValidationError
            The message lacks the fields of its type.
        """
        if isinstance(message, PreviewFrame):
            return []
        match message["type"]:
            case "subscribed":
                number = _number(message)
                # The gateway begins at a lower number than asked for where the server has no such event.
                if self.last is None or self.last > number:
                    self.last = number
                self.epoch = _epoch(message)
                return [CONNECTED]
            case "error" if message.get("job_id") == "*":
                # Events that are known may be others since the broker's new start; "subscribed" follows.
                return [ConnectionEvent("restarted", _error_text(message))]
            case type_ if type_ == LINK:
                event = _connection(message)
                return [event] if event.status == "lost" or self.last is not None else []
            case "progress":
                return [_progress(message)]
            case type_ if type_.startswith("job_"):
                record = JobRecord.model_validate(message.get("data"))
                changed = _event_of(record, message)
                if self.last is not None and changed.n <= self.last:
                    return []
                self.last = changed.n
                return [StateEvent(changed, record)]
            case _:
                return []


def _number(message: Mapping[str, Any]) -> int:
    seq = message.get("seq")
    if not isinstance(seq, int):
        raise ProtocolError("The gateway sent a message without its number.")
    return seq


def _epoch(message: Mapping[str, Any]) -> int | None:
    data = message.get("data")
    epoch = data.get("epoch") if isinstance(data, dict) else None
    return epoch if isinstance(epoch, int) else None


def _error_text(message: Mapping[str, Any]) -> str:
    data = message.get("data")
    found = [str(data.get(name, "")) for name in ("message", "hint")] if isinstance(data, dict) else []
    return " ".join(part for part in found if part)


def _event_of(record: JobRecord, message: Mapping[str, Any]) -> JobEvent:
    found = next((event for event in record.history if event.n == message.get("seq")), None)
    if found is None:
        raise ProtocolError("The gateway sent a change of state that the job's history does not have.")
    return found


def _progress(message: Mapping[str, Any]) -> ProgressEvent:
    data = message.get("data")
    attempt = data.get("attempt") if isinstance(data, dict) else 0
    progress = Progress.model_validate(data)
    return ProgressEvent(str(message.get("job_id") or ""), attempt if isinstance(attempt, int) else 0, progress)


def _connection(message: Mapping[str, Any]) -> ConnectionEvent:
    data = message.get("data")
    data = data if isinstance(data, dict) else {}
    status = data.get("status")
    text, retry = str(data.get("message", "")), data.get("retry_s", 0.0)
    seconds = float(retry) if isinstance(retry, int | float) else 0.0
    if status in {"connected", "restarted"}:
        return ConnectionEvent(status, text, seconds)
    return ConnectionEvent("lost", text, seconds)
