"""Following one job on the bus to its end, for a client and for each WebSocket of a gateway."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from pydantic import ValidationError

from cryomamba.client.bus_subscriber import BusMessage, Subscription
from cryomamba.client.job_state_tracker import JobStateTracker
from cryomamba.errors import AccessError, CryoMambaError, NotFoundError, ProtocolError
from cryomamba.models.events import ConnectionEvent, StateEvent
from cryomamba.models.jobs import JobRecord, JobState
from cryomamba.wire import messages

QUIET_S: Final = 10.0
SOON_S: Final = 0.1
FINAL_FRAME_S: Final = 0.5


class JobSource(Protocol):
    """Where a follower gets its job from."""

    async def subscribe(self, job_id: str, *, previews: bool) -> Subscription:
        """Subscribe to a job; to be closed by the caller."""

    async def record(self, job_id: str) -> JobRecord:
        """Return a job as it stands."""

    async def last_frame(self, job_id: str) -> BusMessage:
        """Return the newest frame that the broker keeps."""


@dataclass(frozen=True, slots=True)
class Published:
    """A progress or preview message as it was published; `skipped` older ones were replaced by it unread."""

    message: BusMessage
    skipped: int = 0


Item = JobRecord | StateEvent | Published | ConnectionEvent


def record_of(message: BusMessage) -> JobRecord:
    """Return the job record in a state message.

    Raises
    ------
    ProtocolError
        There is none.
    """
    try:
        return JobRecord.model_validate(message.envelope.body.get("record"))
    except ValidationError:
        raise ProtocolError("A state message has no job record.") from None


class JobFollower:
    """Follows one job: each change of state once and in order, the final one last, and the final frame before it.

    Parameters
    ----------
    source : JobSource
    job_id : str
    previews : bool
        Whether frames are wanted.
    parse : callable
        From a state message to its record.
    patient : bool
        Whether it waits for a broker that does not answer the first question, instead of raising. Only for a source
        that subscribes on behalf of the caller: messages are used before a record was received.

    Attributes
    ----------
    states : JobStateTracker
        What has been yielded of the job's states.
    """

    def __init__(
        self,
        source: JobSource,
        job_id: str,
        *,
        previews: bool,
        parse: Callable[[BusMessage], JobRecord] = record_of,
        patient: bool = False,
    ) -> None:
        self._source = source
        self._job_id = job_id
        self._previews = previews
        self._parse = parse
        self._patient = patient
        self.states = JobStateTracker()
        self._newest_frame: tuple[int, float] | None = None
        self._final_frame_seen = False

    async def items(self) -> AsyncGenerator[Item, None]:
        """Yield the job as it stands, once, then what happens, until it has ended or the subscription is closed.

        After a closed subscription it may be called again and continues.

        Raises
        ------
        NotFoundError
            There is no such job, or no longer.
        AccessError
            The client may not see it any more.
        UnavailableError
            The broker does not answer the first question, and the follower is not patient.
        """
        subscription = await self._source.subscribe(self._job_id, previews=self._previews)
        try:
            async for item in self._look():
                yield item
            while not self.states.ended:
                try:
                    # Not wait_for: in Python 3.11 it loses a cancel that meets an arriving message.
                    async with asyncio.timeout(QUIET_S):
                        received = await subscription.queue.get()
                except TimeoutError:
                    async for item in self._look():
                        yield item
                    continue
                if received is None:
                    return
                for item in self._handle(*received):
                    yield item
            async for item in self._end(subscription):
                yield item
        finally:
            subscription.close()

    async def _look(self) -> AsyncGenerator[Item, None]:
        """Request the record of the job: at first, and when no message has arrived for a while."""
        first = self.states.record is None
        try:
            record = await self._source.record(self._job_id)
        except (NotFoundError, AccessError):
            raise
        except CryoMambaError as error:
            # A watch that has begun outlasts whatever is wrong with the broker; it is asked again after a while.
            waits = self._patient and error.retryable
            if first and not waits:
                raise
            if first:
                yield ConnectionEvent("lost", error.message)
            return
        changes = self._changes(record)
        for item in [record] if first else changes:
            yield item

    def _handle(self, received: BusMessage | ConnectionEvent, skipped: int) -> list[Item]:
        if isinstance(received, ConnectionEvent):
            return [received]
        match received.envelope.type:
            case messages.STATE:
                with contextlib.suppress(ProtocolError):
                    return list(self._changes(self._parse(received)))
            case messages.PROGRESS:
                return [Published(received, skipped)]
            case messages.PREVIEW if self._is_newer(received):
                return [Published(received, skipped)]
        return []

    def _changes(self, record: JobRecord) -> list[StateEvent]:
        """Return what is new in a record, without the final state, which comes after the final frame."""
        return [change for change in self.states.update(record) if not (self.states.ended and change.event.state.final)]

    def _is_newer(self, frame: BusMessage) -> bool:
        """Whether a frame is newer than those before: late joiners are sent some twice."""
        made = (frame.envelope.attempt or 0, frame.envelope.ts)
        if self._newest_frame is not None and made <= self._newest_frame:
            return False
        self._newest_frame = made
        self._final_frame_seen = frame.envelope.body.get("final") is True
        return True

    async def _end(self, subscription: Subscription) -> AsyncGenerator[Item, None]:
        record = self.states.record
        if record is None:
            return
        if self._previews:
            async for item in self._last_frames(subscription, completed=record.state is JobState.COMPLETED):
                yield item
        yield StateEvent(record.history[-1], record)

    async def _last_frames(self, subscription: Subscription, *, completed: bool) -> AsyncGenerator[Item, None]:
        if completed:
            async for item in self._final_frame(subscription, SOON_S):
                yield item
        if not self._final_frame_seen:
            with contextlib.suppress(CryoMambaError):
                frame = await self._source.last_frame(self._job_id)
                if self._is_newer(frame):
                    yield Published(frame)
        if completed:
            async for item in self._final_frame(subscription, FINAL_FRAME_S):
                yield item

    async def _final_frame(self, subscription: Subscription, wait_s: float) -> AsyncGenerator[Item, None]:
        """Wait for a frame that is a moment behind: frames and states come over different sockets.

        Where no frame was seen at all, none is on its way.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_s
        while self._newest_frame is not None and not self._final_frame_seen:
            received = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    received = await subscription.queue.get()
            if received is None:
                return
            message, skipped = received
            if isinstance(message, BusMessage) and message.envelope.type == messages.PREVIEW:
                for item in self._handle(message, skipped):
                    yield item
