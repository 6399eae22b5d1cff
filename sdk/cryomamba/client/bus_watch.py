"""Watching over the bus: one job to its end, or all jobs without end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final, Protocol

from pydantic import ValidationError

from cryomamba.client.backoff import pauses
from cryomamba.client.bus_subscriber import BusMessage, Subscription
from cryomamba.client.job_follower import QUIET_S, JobFollower, JobSource, Published, record_of
from cryomamba.errors import InternalError, NotFoundError, ProtocolError, UnavailableError
from cryomamba.models.events import ConnectionEvent, Event, PreviewEvent, ProgressEvent, StateEvent
from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import JobEvent, JobRecord, Progress
from cryomamba.wire import messages
from cryomamba.wire.preview import decode_frame
from cryomamba.wire.requests import EventPage

PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 5.0
# Whatever is wrong with the broker, a watch that has begun outlasts it.
_PASSING: Final = (UnavailableError, InternalError, ProtocolError)


class JobWatch:
    """Follows one job to its end.

    Parameters
    ----------
    source : JobSource
    job_id : str
    previews : bool
        Whether frames are wanted.
    patient : bool
        Whether to wait for a broker that does not answer at first.
    """

    def __init__(self, source: JobSource, job_id: str, *, previews: bool, patient: bool = False) -> None:
        self._follower = JobFollower(source, job_id, previews=previews, patient=patient)

    async def events(self) -> AsyncGenerator[Event, None]:
        """Yield what happens; the final state last.

        Raises
        ------
        NotFoundError
            There is no such job.
        UnavailableError
            The broker does not answer the first question and the watch is not patient, or the client was closed.
        """
        async with contextlib.aclosing(self._follower.items()) as items:
            async for item in items:
                match item:
                    case JobRecord():
                        if not item.state.final and item.history:
                            yield StateEvent(item.history[-1], item)
                    case Published():
                        with contextlib.suppress(ProtocolError, ValidationError):
                            yield event_of(item.message, item.skipped)
                    case _:
                        yield item
        if not self._follower.states.ended:
            raise UnavailableError("The client was closed while it was watching.")


class EventSource(Protocol):
    """Where the events of all jobs come from."""

    async def subscribe_all(self) -> Subscription:
        """Subscribe to the states and progress of all jobs; to be closed by the caller."""

    async def last_event(self) -> int:
        """Return the number of the newest event."""

    async def events_since(self, n: int) -> EventPage:
        """Return what happened after event number `n`."""

    async def record(self, job_id: str) -> JobRecord:
        """Return a job."""


class AllWatch:
    """Follows the states and progress of all jobs without end.

    Parameters
    ----------
    source : EventSource
    since : int or None
        Number of the last event that is known; later ones are reported first.

    Attributes
    ----------
    last : int or None
        Number of the newest event that has been reported; None until the broker has sent its newest. It goes back where
        the broker has no such event: its data directory was restored from a backup, or is another one.
    quiet_s : float
        Seconds without a message after which the broker is asked for the newest event.
    """

    quiet_s = QUIET_S

    def __init__(self, source: EventSource, *, since: int | None = None) -> None:
        self._source = source
        self._subscription: Subscription | None = None
        self.last = since

    async def events(self) -> AsyncGenerator[Event, None]:
        """Yield what happens; from the first ``connected`` on, every change of state is reported once and in order.

        Raises
        ------
        UnavailableError
            The broker's endpoints are not known, and it does not answer.
        """
        subscription = await self._source.subscribe_all()
        try:
            self._subscription = subscription
            async for connection in self._find_start():
                yield connection
            while True:
                try:
                    async with asyncio.timeout(self.quiet_s):
                        received = await subscription.queue.get()
                except TimeoutError:
                    # The last message before the silence may have been dropped, for example by a full queue.
                    async for event in self._look():
                        yield event
                    continue
                if received is None:
                    return
                message, _ = received
                if isinstance(message, ConnectionEvent):
                    if message.status == "restarted":
                        await self._recheck_number()
                    yield message
                    continue
                async for event in self._handle(message):
                    yield event
        finally:
            subscription.close()

    async def _find_start(self) -> AsyncIterator[ConnectionEvent]:
        """Ask for the number of the newest event until the broker answers; events after it cannot be missed."""
        lost = False
        while True:
            try:
                newest = await self._source.last_event()
            except UnavailableError as away:
                if self._closed:
                    return
                if not lost:
                    yield ConnectionEvent("lost", away.message)
                lost = True
                await asyncio.sleep(PAUSE_S)
                continue
            self._start_at(newest)
            yield ConnectionEvent("connected", "Connected to the broker.")
            return

    def _start_at(self, newest: int) -> None:
        """Go back to the newest event if the last one that is known is not among the broker's: numbers began anew."""
        if self.last is None or self.last > newest:
            self.last = newest

    async def _recheck_number(self) -> None:
        with contextlib.suppress(*_PASSING):
            self._start_at(await self._source.last_event())

    async def _look(self) -> AsyncIterator[Event]:
        """Report what happened meanwhile, if anything did and the broker answers."""
        with contextlib.suppress(*_PASSING):
            newest = await self._source.last_event()
            self._start_at(newest)
            async for event in self._missed(newest + 1):
                yield event

    async def _handle(self, message: BusMessage) -> AsyncIterator[Event]:
        newest = _newest(message)
        if newest is not None:
            async for event in self._missed(newest):
                yield event
        with contextlib.suppress(ProtocolError, ValidationError):
            if message.envelope.type != messages.HEAD:
                found = event_of(message)
                repeated = isinstance(found, StateEvent) and found.event.n <= self._last
                if isinstance(found, StateEvent) and not repeated:
                    self.last = found.event.n
                if not repeated:
                    yield found
        if newest is not None:
            self.last = max(self._last, newest if message.envelope.type == messages.STATE else newest - 1)

    async def _missed(self, newest: int) -> AsyncIterator[Event]:
        """Fetch the events between the last one reported and a newer one that has just come, however long it takes."""
        waited, waits = False, pauses(PAUSE_S, LONGEST_PAUSE_S)
        while newest > self._last + 1:
            try:
                missed = [state async for state in self._page(newest)]
            except _PASSING as away:
                if self._closed:
                    return
                # Newer messages wait in the queue, so that nothing is reported out of order or left out.
                yield ConnectionEvent("lost", f"{away.message} What was missed meanwhile is asked for again.")
                waited = True
                await asyncio.sleep(next(waits))
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
    def _closed(self) -> bool:
        """Whether the source was closed: then it never answers any more."""
        return self._subscription is not None and self._subscription.queue.closed

    @property
    def _last(self) -> int:
        return self.last or 0

    async def _page(self, newest: int) -> AsyncIterator[tuple[int, StateEvent | None]]:
        for event in (await self._source.events_since(self._last)).events:
            if event.n < newest:
                try:
                    record = await self._source.record(event.job_id)
                except NotFoundError:
                    yield event.n, None
                else:
                    yield event.n, StateEvent(event, record)


def decode_message(message: BusMessage) -> PreviewFrame:
    """Decode a preview message.

    Raises
    ------
    ProtocolError
        It is not a preview.
    """
    return decode_frame(message.envelope, message.payload)


def event_of(message: BusMessage, skipped: int = 0) -> Event:
    """Return a published message as an event.

    Raises
    ------
    ProtocolError, pydantic.ValidationError
        The message is malformed, or of another kind.
    """
    envelope = message.envelope
    match envelope.type:
        case messages.STATE:
            return StateEvent(JobEvent.model_validate(envelope.body.get("event")), record_of(message))
        case messages.PROGRESS:
            progress = Progress.model_validate(envelope.body.get("progress"))
            return ProgressEvent(envelope.job or "", envelope.attempt or 0, progress)
        case messages.PREVIEW:
            return PreviewEvent(decode_message(message), skipped)
        case _:
            raise ProtocolError(f"A message '{envelope.type}' is not an event.")


def _newest(message: BusMessage) -> int | None:
    """Return the number up to which everything before should be known."""
    body = message.envelope.body
    if message.envelope.type == messages.HEAD:
        last = body.get("last")
        return last + 1 if isinstance(last, int) else None
    event = body.get("event")
    n = event.get("n") if isinstance(event, dict) else None
    return n if isinstance(n, int) else None
