"""Following jobs on the bus for one client: into its outbox, each change of state once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Final

from cryomamba.access.visibility import Visibility
from cryomamba.client.bus_subscriber import BusMessage, Subscription
from cryomamba.client.bus_watch import AllWatch
from cryomamba.client.job_state_tracker import JobStateTracker
from cryomamba.errors import CryoMambaError, ProtocolError, UnavailableError
from cryomamba.models.events import ConnectionEvent, Event, ProgressEvent, StateEvent
from cryomamba.models.jobs import JobState
from cryomamba.wire import messages as bus_messages
from cryomamba_gateway.link import BusLink
from cryomamba_gateway.live import messages
from cryomamba_gateway.live.messages import MessageEncoder
from cryomamba_gateway.live.send_queue import SendQueue

QUIET_S: Final = 10.0
SOON_S: Final = 0.1
FINAL_FRAME_S: Final = 0.5


class JobFollower:
    """Follows one job to its end.

    Parameters
    ----------
    bus : BusLink
    translator : Translator
        Shared by all clients.
    outbox : Outbox
        The client's.
    job_id : str
    visibility : Visibility
        The client's.
    previews : bool
        Whether the client wants to see them.
    """

    def __init__(
        self,
        bus: BusLink,
        translator: MessageEncoder,
        outbox: SendQueue,
        job_id: str,
        *,
        visibility: Visibility,
        previews: bool = True,
    ) -> None:
        self._visibility = visibility
        self._bus = bus
        self._translator = translator
        self._outbox = outbox
        self._job_id = job_id
        self._previews = previews
        self._ledger = JobStateTracker()
        self._link = "connected"
        self._greeted = False
        self._shown: tuple[int, float] | None = None
        self._finished = False

    async def run(self) -> None:
        """Tell the present state, then what happens, and return when the job is final.

        Raises
        ------
        NotFoundError
            There is no such job (any more), or it is another's.
        UnavailableError
            The broker is away just as the client comes.
        """
        try:
            while not self._ledger.ended and not self._bus.closed:
                hub, subscription = await self._bus.open(self._job_id, previews=self._previews)
                try:
                    await self._look(subscription)
                    await self._listen(subscription)
                finally:
                    hub.close_subscription(subscription)
        finally:
            self._outbox.forget(self._job_id)

    async def _look(self, subscription: Subscription) -> None:
        try:
            record = await self._bus.ask(self._visibility, lambda bus: bus.get(self._job_id))
        except UnavailableError:
            if not self._greeted:
                raise
            return
        if not self._greeted:
            self._greeted = True
            self._outbox.put(messages.connected(record))
            if not record.state.final:
                self._ledger.take(record)
                return
        await self._tell(self._ledger.take(record), subscription)

    async def _listen(self, subscription: Subscription) -> None:
        while not self._ledger.ended:
            try:
                async with asyncio.timeout(QUIET_S):
                    got = await subscription.mailbox.get()
            except TimeoutError:
                await self._look(subscription)
                continue
            if got is None:
                return
            if isinstance(got[0], ConnectionEvent):
                self._tell_link(got[0])
                continue
            with contextlib.suppress(ProtocolError):
                await self._take(got[0], subscription)

    async def _take(self, found: BusMessage, subscription: Subscription) -> None:
        match found.envelope.type:
            case bus_messages.STATE:
                await self._tell(self._ledger.take(self._translator.record(found)), subscription)
            case bus_messages.PROGRESS:
                self._outbox.put(self._translator.progress(found), key=f"progress/{self._job_id}")
            case bus_messages.PREVIEW:
                self._show(found)

    def _show(self, found: BusMessage) -> None:
        """Pass a frame on unless it, or a newer one, has been: late joiners are sent some twice."""
        envelope = found.envelope
        made = (envelope.attempt or 0, envelope.ts)
        if self._shown is None or made > self._shown:
            self._shown = made
            self._finished = envelope.body.get("final") is True
            self._outbox.put_preview(found)

    async def _tell(self, events: list[Event], subscription: Subscription) -> None:
        for event in events:
            if isinstance(event, StateEvent) and not (event.record.state.final and event.event.state.final):
                self._outbox.put(self._translator.state(event))
        record = self._ledger.record
        if record is not None and self._ledger.ended:
            if self._previews:
                await self._last_preview(subscription, completed=record.state is JobState.COMPLETED)
            self._outbox.put(self._translator.state(StateEvent(record.history[-1], record)))

    async def _last_preview(self, subscription: Subscription, *, completed: bool) -> None:
        """See to it that the last picture comes before the last word."""
        if completed:
            await self._final_frame(subscription, SOON_S)
        if not self._finished:
            with contextlib.suppress(CryoMambaError):
                self._show(await self._bus.last_frame(self._visibility, self._job_id))
        if completed:
            await self._final_frame(subscription, FINAL_FRAME_S)
        self._outbox.release(self._job_id)

    async def _final_frame(self, subscription: Subscription, wait_s: float) -> None:
        """Wait for a frame that is a moment behind: frames and states come over different sockets.

        Where no frame was seen at all, none is on its way.
        """
        if self._shown is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while not self._finished and (got := await subscription.mailbox.get()) is not None:
                    if isinstance(got[0], BusMessage) and got[0].envelope.type == bus_messages.PREVIEW:
                        self._show(got[0])

    def _tell_link(self, link: ConnectionEvent) -> None:
        if link.status != self._link:
            self._link = link.status if link.status == "lost" else "connected"
            self._outbox.put(messages.link(link), key="link")


class AllFollower:
    """Follows the states and progress of all jobs, for ever.

    Parameters
    ----------
    since : int or None
        Number of the last event that the client knows; what came after it is told first.
    visibility : Visibility
        The client's.
    """

    def __init__(self, bus: BusLink, outbox: SendQueue, since: int | None, *, visibility: Visibility) -> None:
        self._bus = bus
        self._visibility = visibility
        self._outbox = outbox
        self._last = since
        self._begun = False

    async def run(self) -> None:
        """Tell from which event on, then what happens, until the gateway ends."""
        while not self._bus.closed:
            with contextlib.suppress(UnavailableError):
                watch = AllWatch(self._bus.transport(self._visibility), since=self._last)
                async with contextlib.aclosing(watch.events()) as events:
                    async for event in events:
                        self._last = watch.last
                        self._tell(event)
            # A transport that was replaced ends its watching; the next one is there already, or the broker is away.
            await asyncio.sleep(0.1)

    def _tell(self, event: Event) -> None:
        match event:
            case StateEvent():
                self._outbox.put(messages.state(event))
            case ProgressEvent():
                self._outbox.put(messages.progress(event, seq=0, ts=time.time()), key=f"progress/{event.job_id}")
            case ConnectionEvent():
                if event.status == "connected" and not self._begun and self._last is not None:
                    self._begun = True
                    self._outbox.put(messages.subscribed(self._last))
                self._outbox.put(messages.link(event), key="link")
