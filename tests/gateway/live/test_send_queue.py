"""The outbox: order, replacement and credit, without sockets."""

from __future__ import annotations

from cryomamba.client.bus_subscriber import BusMessage
from cryomamba.wire.envelope import Envelope
from cryomamba_gateway.live.send_queue import SendQueue


def frame(seq: int, job: str = "a") -> BusMessage:
    return BusMessage(Envelope("preview", str(seq), "w", 1, seq, 0.0, job=job), b"", b"")


async def drain(outbox: SendQueue) -> list[str | int]:
    """Return what can be read just now: texts, and the numbers of frames."""
    found: list[str | int] = []
    while len(outbox):
        item = await outbox.get()
        assert item is not None
        found.append(item if isinstance(item, str) else item.envelope.seq)
    return found


async def test_texts_keep_their_order_and_keyed_ones_are_replaced() -> None:
    """States are never dropped; the newest progress is enough."""
    outbox = SendQueue(credit=False)
    for text, key in [("a", None), ("p1", "p"), ("b", None), ("p2", "p")]:
        outbox.put(text, key=key)
    assert await drain(outbox) == ["a", "b", "p2"]


async def test_without_credit_the_newest_of_each_job_waits() -> None:
    """One slot per job."""
    outbox = SendQueue(credit=False)
    for message in (frame(1), frame(1, "b"), frame(2)):
        outbox.put_preview(message)
    assert await drain(outbox) == [1, 2]


async def test_one_frame_is_on_its_way_at_a_time() -> None:
    """The next goes on the ack of the last one, and is the newest of its job."""
    outbox = SendQueue(credit=True)
    outbox.put_preview(frame(1))
    assert await drain(outbox) == [1]
    outbox.put_preview(frame(2))
    outbox.put_preview(frame(3))
    outbox.put_preview(frame(7, "b"))
    outbox.ack(2)
    assert await drain(outbox) == []
    outbox.ack(1)
    outbox.ack(1)
    assert await drain(outbox) == [3]
    outbox.ack(3)
    assert await drain(outbox) == [7]


async def test_a_frame_that_was_not_read_yet_gives_way_to_a_newer_one() -> None:
    """The newest is taken at the moment of sending, not of queueing."""
    outbox = SendQueue(credit=True)
    outbox.put_preview(frame(1))
    outbox.put_preview(frame(2))
    assert await drain(outbox) == [2]
    outbox.ack(2)
    assert await drain(outbox) == []


async def test_the_last_frame_is_released_without_credit() -> None:
    """It comes before what is put after it, and its ack gives credit again."""
    outbox = SendQueue(credit=True)
    outbox.put_preview(frame(1))
    assert await drain(outbox) == [1]
    outbox.put_preview(frame(2))
    outbox.release("a")
    outbox.put("the end")
    assert await drain(outbox) == [2, "the end"]
    outbox.ack(2)
    outbox.put_preview(frame(9, "b"))
    assert await drain(outbox) == [9]


async def test_a_closed_outbox_says_what_is_left_and_ends() -> None:
    """Nothing put before the end is lost."""
    outbox = SendQueue(credit=True)
    outbox.put("last")
    outbox.close()
    outbox.put("too late")
    assert await outbox.get() == "last"
    assert await outbox.get() is None
