"""What one client has still to be told. Pure: no sockets and no clock."""

from __future__ import annotations

from collections import OrderedDict

from cryomamba.client.bus_subscriber import BusMessage
from cryomamba.client.latest_value_queue import LatestValueQueue

Item = str | BusMessage


class SendQueue:
    """Texts in order, the newest preview of each job, and previews only as fast as they are acknowledged.

    State messages are never dropped. A message with a key replaces the unread one of that key. With `credit` a
    preview waits until the one before it was acknowledged, and is replaced by a newer one meanwhile.

    Parameters
    ----------
    credit : bool
        Whether the client acknowledges previews.
    """

    def __init__(self, *, credit: bool) -> None:
        self._credit = credit
        self._mailbox: LatestValueQueue[Item] = LatestValueQueue()
        self._held: OrderedDict[str, BusMessage] = OrderedDict()
        self._busy = False
        self._awaited: int | None = None

    def __len__(self) -> int:
        return len(self._mailbox)

    def put(self, text: str, *, key: str | None = None) -> None:
        """Add a message."""
        self._mailbox.put(text, key=key)

    def put_preview(self, frame: BusMessage) -> None:
        """Add a preview in place of an unread older one of its job."""
        job = frame.envelope.job or ""
        if not self._credit:
            self._mailbox.put(frame, key=("preview", job))
            return
        self._held.pop(job, None)
        self._held[job] = frame
        if not self._busy:
            self._grant()

    def release(self, job: str) -> None:
        """Let the last preview of a job go without waiting: none comes after it that it could hold up."""
        frame = self._held.pop(job, None)
        if frame is not None:
            self._busy = True
            self._mailbox.put(frame, key=("preview", job))

    def forget(self, job: str) -> None:
        """Drop the preview of a job that is no longer followed."""
        self._held.pop(job, None)

    def ack(self, seq: int) -> None:
        """Take notice that the last preview sent has arrived; other numbers are ignored."""
        if self._busy and seq == self._awaited:
            self._busy = False
            self._awaited = None
            if self._held:
                self._grant()

    def _grant(self) -> None:
        job, frame = self._held.popitem(last=False)
        self._busy = True
        self._mailbox.put(frame, key=("preview", job))

    async def get(self) -> Item | None:
        """Wait for the next message; None when all has been said."""
        got = await self._mailbox.get()
        if got is None:
            return None
        item = got[0]
        if isinstance(item, BusMessage):
            # A newer one may have come while this one waited to be read.
            item = self._held.pop(item.envelope.job or "", item)
            self._awaited = item.envelope.seq
        return item

    def close(self) -> None:
        """Take nothing more; what is there is still said."""
        self._mailbox.close()
