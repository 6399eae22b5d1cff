"""Relaying jobs from the bus to one WebSocket client: into its queue, each change of state once."""

from __future__ import annotations

import asyncio
import contextlib
import time

from cryomamba.access.visibility import Visibility
from cryomamba.client.bus_watch import AllWatch
from cryomamba.client.job_follower import Item, JobFollower, Published
from cryomamba.errors import InvalidRequestError, ProtocolError, UnavailableError
from cryomamba.models.events import ConnectionEvent, Event, ProgressEvent, StateEvent
from cryomamba.models.jobs import JobRecord
from cryomamba.wire.messages import PREVIEW
from cryomamba_gateway.bus_connection import BusConnection, VisibleJobs
from cryomamba_gateway.live import messages
from cryomamba_gateway.live.messages import MessageEncoder
from cryomamba_gateway.live.send_queue import SendQueue


class JobRelay:
    """Sends one client what happens to a job, to its end.

    Parameters
    ----------
    bus : BusConnection
    encoder : MessageEncoder
        Shared by all clients.
    queue : SendQueue
        The client's.
    job_id : str
    visibility : Visibility
        The client's.
    previews : bool
        Whether the client wants previews.
    first_types : bool
        Whether the client also wants the last message with the type that it had first.
    since : int, optional
        Number of the last event that the client knows: it is sent what the job's history has after it, and not the
        record as it stands.
    """

    def __init__(
        self,
        bus: BusConnection,
        encoder: MessageEncoder,
        queue: SendQueue,
        job_id: str,
        *,
        visibility: Visibility,
        previews: bool = True,
        first_types: bool = False,
        since: int | None = None,
    ) -> None:
        self._bus = bus
        self._since = since
        self._first_types = first_types
        self._encoder = encoder
        self._queue = queue
        self._job_id = job_id
        self._follower = JobFollower(VisibleJobs(bus, visibility), job_id, previews=previews, parse=encoder.record)
        self._connected = True

    async def run(self) -> bool:
        """Send the present state, then what happens, until the job is final or the gateway shuts down.

        Returns
        -------
        bool
            Whether the job is final, and its last state was sent.

        Raises
        ------
        NotFoundError
            There is no such job, or no longer, or the client may not see it.
        UnavailableError
            The broker cannot be reached at first.
        """
        try:
            # A transport that was replaced ends its subscriptions: the broker has moved.
            while not self._follower.states.ended and not self._bus.closed:
                async with contextlib.aclosing(self._follower.items()) as items:
                    async for item in items:
                        with contextlib.suppress(ProtocolError):
                            self._send(item)
        finally:
            self._queue.forget(self._job_id)
        return self._follower.states.ended

    def _send(self, item: Item) -> None:
        match item:
            case JobRecord():
                self._send_first(item)
            case Published() if item.message.envelope.type == PREVIEW:
                self._queue.put_preview(item.message)
            case Published():
                self._queue.put(self._encoder.progress(item.message), key=f"progress/{self._job_id}")
            case StateEvent():
                if item.event.state.final and item.record.state.final:
                    self._queue.release(self._job_id)
                self._queue.put(self._encoder.state(item))
                if self._first_types and (again := messages.first_final(item)) is not None:
                    self._queue.put(again)
            case ConnectionEvent():
                self._send_connection(item)

    def _send_first(self, record: JobRecord) -> None:
        last = record.history[-1].n if record.history else 0
        if self._since is None or self._since > last:
            if self._since is not None:
                self._queue.put(messages.error(_no_such_event(self._since, last), self._job_id))
            self._queue.put(messages.connected(record))
            return
        for event in record.history:
            # The final one comes when the follower has ended.
            if event.n > self._since and not (record.state.final and event.n == last):
                self._queue.put(messages.state(StateEvent(event, record)))

    def _send_connection(self, event: ConnectionEvent) -> None:
        connected = event.status != "lost"
        if connected != self._connected or event.status == "restarted":
            self._connected = connected
            self._queue.put(messages.link(event), key="link")


class AllRelay:
    """Sends one client the states and progress of all jobs that it may see, without end.

    Parameters
    ----------
    bus : BusConnection
    queue : SendQueue
        The client's.
    since : int or None
        Number of the last event that the client knows; later ones are sent first.
    epoch : int or None
        That of the broker's start in which the client got this number; if it is another one, a message says so first.
    visibility : Visibility
        The client's.
    """

    def __init__(
        self, bus: BusConnection, queue: SendQueue, since: int | None, *, epoch: int | None, visibility: Visibility
    ) -> None:
        self._bus = bus
        self._epoch = epoch
        self._visibility = visibility
        self._queue = queue
        self._last = since
        self._started = False

    async def run(self) -> None:
        """Send the number of the first event, then what happens, until the gateway ends."""
        while not self._bus.closed:
            with contextlib.suppress(UnavailableError):
                watch = AllWatch(self._bus.transport(self._visibility), since=self._last)
                async with contextlib.aclosing(watch.events()) as events:
                    async for event in events:
                        self._note_number(watch.last)
                        self._send(event)
            # A transport that was replaced ends its watch; the next one is there already, or the broker is down.
            await asyncio.sleep(0.1)

    def _note_number(self, last: int | None) -> None:
        if self._last is not None and last is not None and last < self._last:
            # Never silently: the client would wait for events that come only after as many as it claims to know.
            self._queue.put(messages.error(_no_such_event(self._last, last), "*"))
            self._started = False
        self._last = last

    def _send(self, event: Event) -> None:
        match event:
            case StateEvent():
                self._queue.put(messages.state(event))
            case ProgressEvent():
                self._queue.put(messages.progress(event, seq=0, ts=time.time()), key=f"progress/{event.job_id}")
            case ConnectionEvent():
                if event.status != "lost" and not self._started and self._last is not None:
                    self._send_start(self._last)
                self._queue.put(messages.link(event), key="link")

    def _send_start(self, last: int) -> None:
        self._started = True
        if self._epoch not in {None, self._bus.epoch}:
            self._queue.put(messages.error(other_epoch(), "*"))
        self._epoch = None
        self._queue.put(messages.subscribed(last, self._bus.epoch))


def other_epoch() -> InvalidRequestError:
    """Return the error for a number that may be another event's since the broker was restarted."""
    return InvalidRequestError(
        "The server was restarted after the last event that you have received.",
        hint="If it was restored from a backup, events are missing: list the jobs again. Updates continue from here.",
    )


def _no_such_event(number: int, newest: int) -> InvalidRequestError:
    return InvalidRequestError(
        f"The server has no event {number}: the newest has the number {newest}.",
        hint="It was restored from a backup, or is another one. List the jobs again. Updates continue from here.",
        details={"since": number, "last": newest},
    )
