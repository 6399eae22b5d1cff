"""Watching over the bus: one job to its end, or all jobs for ever, through subscriptions and what must be asked for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from cryomamba.client.bus_subscriber import BusMessage, Subscription
from cryomamba.client.job_state_tracker import JobStateTracker
from cryomamba.errors import NotFoundError, ProtocolError, UnavailableError
from cryomamba.models.events import ConnectionEvent, Event, PreviewEvent, ProgressEvent, StateEvent
from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import JobEvent, JobRecord, JobState, Progress
from cryomamba.wire import messages
from cryomamba.wire.preview import decode_frame

if TYPE_CHECKING:
    from cryomamba.client.bus_transport import BusTransport

QUIET_S: Final = 10.0
FINAL_FRAME_S: Final = 0.5
PAUSE_S: Final = 0.2


class JobWatch:
    """Follows one job to its end.

    Parameters
    ----------
    transport : BusTransport
    job_id : str
    previews : bool
        Whether frames are wanted.
    """

    def __init__(self, transport: BusTransport, job_id: str, *, previews: bool) -> None:
        self._transport = transport
        self._job_id = job_id
        self._previews = previews
        self._ledger = JobStateTracker()
        self._shown = 0
        self._finished = False

    async def events(self) -> AsyncGenerator[Event, None]:
        """Yield what happens; the final state last.

        Raises
        ------
        NotFoundError
            There is no such job.
        UnavailableError
            The broker is away just as the watching begins, or the client was closed.
        """
        hub = await self._transport.hub()
        subscription = hub.open(self._job_id, previews=self._previews)
        ledger = self._ledger
        try:
            for event in ledger.take(await self._transport.get(self._job_id)):
                if not ledger.ended:
                    yield event
            while not ledger.ended:
                async for event in self._next(subscription):
                    if isinstance(event, PreviewEvent):
                        self._shown, self._finished = event.frame.seq, event.frame.final
                    if not (isinstance(event, StateEvent) and event.record.state.final and event.event.state.final):
                        yield event
            if self._previews and not self._finished:
                async for event in self._last_preview(subscription):
                    yield event
            if ledger.record is not None:
                yield StateEvent(ledger.record.history[-1], ledger.record)
        finally:
            hub.close_subscription(subscription)

    async def _next(self, subscription: Subscription) -> AsyncIterator[Event]:
        try:
            # Not wait_for: in Python 3.11 it loses a cancel that meets an arriving message.
            async with asyncio.timeout(QUIET_S):
                got = await subscription.mailbox.get()
        except TimeoutError:
            with contextlib.suppress(UnavailableError):
                for event in self._ledger.take(await self._transport.get(self._job_id)):
                    yield event
            return
        if got is None:
            raise UnavailableError("The client was closed while it was watching.")
        message, skipped = got
        if isinstance(message, ConnectionEvent):
            yield message
            return
        with contextlib.suppress(ProtocolError, ValidationError):
            for event in _read(message, self._ledger, skipped):
                yield event

    async def _last_preview(self, subscription: Subscription) -> AsyncIterator[Event]:
        """Yield the newest frame that the broker keeps, and the final one if it is a moment behind."""
        frame: PreviewFrame | None = None
        with contextlib.suppress(NotFoundError, UnavailableError, ProtocolError):
            frame = await self._transport.preview(self._job_id)
        if frame is not None and (frame.final or frame.seq > self._shown):
            yield PreviewEvent(frame)
        record = self._ledger.record
        completed = record is not None and record.state is JobState.COMPLETED
        # No frame at all: the broker was restarted or has forgotten those of an old job, so nothing is on its way.
        if completed and (frame is not None or self._shown) and not (frame is not None and frame.final):
            late = await _final_frame(subscription)
            if late is not None:
                yield PreviewEvent(late)


class AllWatch:
    """Follows the states and progress of all jobs, for ever.

    Parameters
    ----------
    transport : BusTransport
    since : int or None
        Number of the last event that is known; what came after it is told first.

    Attributes
    ----------
    last : int or None
        Number of the event up to which everything has been told; None until the broker has said where it stands.
    """

    def __init__(self, transport: BusTransport, *, since: int | None = None) -> None:
        self._transport = transport
        self.last = since

    async def events(self) -> AsyncGenerator[Event, None]:
        """Yield what happens; from the first ``connected`` on, every change of state is told, once, in its order.

        Raises
        ------
        UnavailableError
            It is not known where the broker publishes, and it does not say so.
        """
        hub = await self._transport.hub()
        subscription = hub.open_all(self._transport.visibility)
        try:
            async for link in self._find_start():
                yield link
            while (got := await subscription.mailbox.get()) is not None:
                message, _ = got
                if isinstance(message, ConnectionEvent):
                    yield message
                    continue
                async for event in self._take(message):
                    yield event
        finally:
            hub.close_subscription(subscription)

    async def _find_start(self) -> AsyncIterator[ConnectionEvent]:
        """Ask where the broker stands until it says so: a start that is not known would be lost with the connection."""
        lost = False
        while True:
            try:
                newest = await self._transport.last_event()
            except UnavailableError as away:
                if not lost:
                    yield ConnectionEvent("lost", away.message)
                lost = True
                await asyncio.sleep(PAUSE_S)
                continue
            if self.last is None:
                self.last = newest
            yield ConnectionEvent("connected", "The broker has said where it stands.")
            return

    async def _take(self, message: BusMessage) -> AsyncIterator[Event]:
        newest = _newest(message)
        if newest is not None:
            async for event in self._missed(newest):
                yield event
        with contextlib.suppress(ProtocolError, ValidationError):
            for found in _read(message, None, 0):
                if isinstance(found, StateEvent):
                    if found.event.n <= self._last:
                        continue
                    self.last = found.event.n
                yield found
        if newest is not None:
            self.last = max(self._last, newest if message.envelope.type == messages.STATE else newest - 1)

    async def _missed(self, newest: int) -> AsyncIterator[Event]:
        """Fetch the events between the last one told and a newer one that has just come, however long it takes."""
        waited = False
        while newest > self._last + 1:
            try:
                missed = [state async for state in self._page(newest)]
            except UnavailableError as away:
                # Newer messages wait in the mailbox, so that nothing is told out of order or left out.
                yield ConnectionEvent("lost", f"{away.message} What was missed meanwhile is asked for again.")
                waited = True
                await asyncio.sleep(PAUSE_S)
                continue
            if waited:
                yield ConnectionEvent("connected", "The broker answers again.")
                waited = False
            if not missed:
                return
            for number, state in missed:
                self.last = number
                if state is not None:
                    yield state

    @property
    def _last(self) -> int:
        return self.last or 0

    async def _page(self, newest: int) -> AsyncIterator[tuple[int, StateEvent | None]]:
        """Yield the numbers of the next events before `newest`, with those whose jobs still exist."""
        for event in (await self._transport.events_since(self._last)).events:
            if event.n < newest:
                try:
                    record = await self._transport.get(event.job_id)
                except NotFoundError:
                    yield event.n, None
                else:
                    yield event.n, StateEvent(event, record)


def decode_message(message: BusMessage) -> PreviewFrame:
    """Unpack a preview message.

    Raises
    ------
    ProtocolError
        It is none.
    """
    return decode_frame(message.envelope, message.payload)


def _read(message: BusMessage, ledger: JobStateTracker | None, skipped: int) -> list[Event]:
    """Turn a published message into events; without a ledger every state message counts.

    Raises
    ------
    ProtocolError, pydantic.ValidationError
        The message is malformed.
    """
    envelope = message.envelope
    match envelope.type:
        case messages.STATE:
            record = JobRecord.model_validate(envelope.body.get("record"))
            if ledger is not None:
                return ledger.take(record)
            return [StateEvent(JobEvent.model_validate(envelope.body.get("event")), record)]
        case messages.PROGRESS:
            progress = Progress.model_validate(envelope.body.get("progress"))
            return [ProgressEvent(envelope.job or "", envelope.attempt or 0, progress)]
        case messages.PREVIEW:
            return [PreviewEvent(decode_message(message), skipped)]
        case _:
            return []


async def _final_frame(subscription: Subscription) -> PreviewFrame | None:
    """Wait a moment for the final frame: frames and states come over different sockets."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FINAL_FRAME_S):
            while (got := await subscription.mailbox.get()) is not None:
                message = got[0]
                if isinstance(message, BusMessage) and message.envelope.type == messages.PREVIEW:
                    with contextlib.suppress(ProtocolError):
                        frame = decode_message(message)
                        if frame.final:
                            return frame
    return None


def _newest(message: BusMessage) -> int | None:
    """Return the number up to which everything before should be known."""
    body = message.envelope.body
    if message.envelope.type == messages.HEAD:
        last = body.get("last")
        return last + 1 if isinstance(last, int) else None
    event = body.get("event")
    n = event.get("n") if isinstance(event, dict) else None
    return n if isinstance(n, int) else None
