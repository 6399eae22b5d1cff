"""Slow bodies, on an event loop whose clock jumps to the next timer."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Sequence

import pytest
from starlette.types import Message, Receive, Scope, Send

from cryomamba_gateway.access.auth import BODY_IDLE_S, BodyTimeoutMiddleware


class InstantSelector(selectors.SelectSelector):
    """Does not wait; counts the seconds that it would have waited."""

    waited_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return the events that are ready."""
        self.waited_s += timeout or 0.0
        return super().select(0)


class InstantLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is the selector's."""

    def __init__(self) -> None:
        self._instant = InstantSelector()
        super().__init__(self._instant)

    def time(self) -> float:
        """Return the seconds that would have passed."""
        return self._instant.waited_s


async def last_message(pieces: Sequence[tuple[float, int]]) -> tuple[str, float]:
    """Send a body in blocks (pause in s, size in bytes); return the application's last message and its time."""
    coming = list(pieces)
    clock = asyncio.get_running_loop().time

    async def receive() -> Message:
        if not coming:
            await asyncio.Event().wait()
        pause, nbytes = coming.pop(0)
        # The pause is what is tested; this loop's clock passes it at once.
        await asyncio.sleep(pause)
        return {"type": "http.request", "body": b"x" * nbytes, "more_body": nbytes > 0}

    reported: list[tuple[str, float]] = []

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        while (message := await receive())["type"] == "http.request" and message["more_body"]:
            pass
        reported.append((message["type"], clock()))

    async def nothing(_message: Message) -> None:
        return

    await BodyTimeoutMiddleware(app)({"type": "http"}, receive, nothing)
    return reported[0]


LAST = (0.0, 0)


@pytest.mark.parametrize(
    ("pieces", "end", "after_s"),
    [
        pytest.param([(0.0, 5000)], "http.disconnect", BODY_IDLE_S, id="stops"),
        pytest.param([(1.0, 1)] * 1000, "http.disconnect", BODY_IDLE_S, id="trickles"),
        pytest.param([(1.0, 2000)] * 100 + [(1.0, 1)] * 1000, "http.disconnect", 225, id="begins to trickle"),
        pytest.param([(BODY_IDLE_S - 1, 100_000)] * 20 + [LAST], "http.request", 20 * (BODY_IDLE_S - 1), id="halts"),
        pytest.param([(1.0, 1100)] * 600 + [LAST], "http.request", 600, id="slow but steady"),
    ],
)
def test_slow_bodies_are_ended(pieces: Sequence[tuple[float, int]], end: str, after_s: float) -> None:
    """A body that stops, or arrives below 1 KiB/s on average, is ended after 30 s; others are not."""
    with asyncio.Runner(loop_factory=InstantLoop) as runner:
        message, seconds = runner.run(last_message(pieces))
    assert message == end
    assert seconds == pytest.approx(after_s, abs=1.5)
