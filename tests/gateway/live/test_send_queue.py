"""The send queue: order, replacement and acknowledgements, without sockets."""

from __future__ import annotations

from cryomamba.client.bus_subscriber import BusMessage
from cryomamba.wire.envelope import Envelope
from cryomamba_gateway.live.send_queue import SendQueue


def frame(seq: int, job: str = "a") -> BusMessage:
    return BusMessage(Envelope("preview", str(seq), "w", 1, seq, 0.0, job=job), b"", b"")


def drain(queue: SendQueue) -> list[str | int]:
    """Return what may be sent now: texts, and the numbers of frames."""
    found: list[str | int] = []
    while (item := queue.get_nowait()) is not None:
        found.append(item if isinstance(item, str) else item.envelope.seq)
    return found


def test_texts_keep_their_order_and_keyed_ones_are_replaced() -> None:
    """States are never dropped; of progress the newest is enough."""
    queue = SendQueue(acknowledged=False)
    for text, key in [("a", None), ("p1", "p"), ("b", None), ("p2", "p")]:
        queue.put(text, key=key)
    assert drain(queue) == ["a", "b", "p2"]


def test_without_acknowledgements_the_newest_preview_of_each_job_waits() -> None:
    """One slot per job."""
    queue = SendQueue(acknowledged=False)
    for message in (frame(1), frame(1, "b"), frame(2)):
        queue.put_preview(message)
    assert drain(queue) == [1, 2]


def test_one_unacknowledged_preview_at_a_time() -> None:
    """The next is sent on the acknowledgement of the last one, and is the newest of its job."""
    queue = SendQueue(acknowledged=True)
    queue.put_preview(frame(1))
    assert drain(queue) == [1]
    queue.put_preview(frame(2))
    queue.put_preview(frame(3))
    queue.put_preview(frame(7, "b"))
    queue.ack(2)
    assert drain(queue) == []
    queue.ack(1)
    queue.ack(1)
    assert drain(queue) == [3]
    queue.ack(3)
    assert drain(queue) == [7]


def test_an_unsent_preview_is_replaced_by_a_newer_one() -> None:
    """The newest is chosen at the moment of sending, not of queueing."""
    queue = SendQueue(acknowledged=True)
    queue.put_preview(frame(1))
    queue.put_preview(frame(2))
    assert drain(queue) == [2]
    queue.ack(2)
    assert drain(queue) == []


def test_the_last_preview_is_released_without_an_acknowledgement() -> None:
    """It comes before what is put after it, and acknowledging it lets the next one go."""
    queue = SendQueue(acknowledged=True)
    queue.put_preview(frame(1))
    assert drain(queue) == [1]
    queue.put_preview(frame(2))
    queue.release("a")
    queue.put("the end")
    queue.forget("a")
    assert drain(queue) == [2, "the end"]
    queue.ack(2)
    queue.put_preview(frame(9, "b"))
    assert drain(queue) == [9]


def test_a_forgotten_job_has_no_preview() -> None:
    """What waits when a client unsubscribes is not sent."""
    queue = SendQueue(acknowledged=True)
    queue.put_preview(frame(1))
    queue.put("text")
    queue.forget("a")
    assert drain(queue) == ["text"]


async def test_a_closed_queue_sends_what_is_left_and_ends() -> None:
    """Nothing put before the end is lost."""
    queue = SendQueue(acknowledged=True)
    queue.put("last")
    queue.close()
    queue.put("too late")
    assert await queue.get() == "last"
    assert await queue.get() is None
