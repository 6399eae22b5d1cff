"""Messages that one client has still to receive. Pure: no sockets and no clock."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Hashable

from cryomamba.client.bus_subscriber import BusMessage

Item = str | BusMessage


class SendQueue:
    """Messages in order, and the newest preview of each job.

    State messages are never dropped. A message with a key replaces the unsent one with the same key, so a slow client
    costs bounded memory. For one event loop.

    Parameters
    ----------
    acknowledged : bool
        Whether the client acknowledges previews: then one waits until the one sent before it is acknowledged.
    """

    def __init__(self, *, acknowledged: bool) -> None:
        self._acknowledged = acknowledged
        self._items: OrderedDict[Hashable, Item] = OrderedDict()
        self._count = 0
        self._awaited: int | None = None
        self._released: set[str] = set()
        self._changed = asyncio.Event()
        self._closed = False

    def put(self, text: str, *, key: str | None = None) -> None:
        """Add a message."""
        self._count += 1
        self._put(text, self._count if key is None else key)

    def put_preview(self, frame: BusMessage) -> None:
        """Add a preview in place of an unsent older one of its job."""
        self._put(frame, _preview_key(frame.envelope.job or ""))

    def _put(self, item: Item, key: Hashable) -> None:
        if not self._closed:
            self._items.pop(key, None)
            self._items[key] = item
            self._changed.set()

    def release(self, job: str) -> None:
        """Send the last preview of a job without waiting for an acknowledgement."""
        if _preview_key(job) in self._items:
            self._released.add(job)
            self._changed.set()

    def forget(self, job: str) -> None:
        """Drop the preview of a job that is no longer followed, unless it was released."""
        if job not in self._released:
            self._items.pop(_preview_key(job), None)

    def ack(self, seq: int) -> None:
        """Note that the client has the preview that was sent last; other numbers are ignored."""
        if seq == self._awaited:
            self._awaited = None
            self._changed.set()

    def get_nowait(self) -> Item | None:
        """Return the next message that may be sent now; None if there is none."""
        key = next((key for key, item in self._items.items() if self._may_send(item)), None)
        if key is None:
            return None
        item = self._items.pop(key)
        if isinstance(item, BusMessage):
            self._released.discard(item.envelope.job or "")
            if self._acknowledged:
                self._awaited = item.envelope.seq
        return item

    def _may_send(self, item: Item) -> bool:
        return isinstance(item, str) or self._awaited is None or (item.envelope.job or "") in self._released

    async def get(self) -> Item | None:
        """Wait for the next message; None once the queue is closed and nothing more may be sent."""
        while (item := self.get_nowait()) is None and not self._closed:
            self._changed.clear()
            await self._changed.wait()
        return item

    def close(self) -> None:
        """Accept no more messages; those in the queue are still sent."""
        self._closed = True
        self._changed.set()


def _preview_key(job: str) -> Hashable:
    return ("preview", job)
