"""The newest frame and what became of the others."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from cryomamba.testing import DEADLINE_S
from napari_cryomamba.models.frames import LatestFrame, PreviewStatistics

if TYPE_CHECKING:
    from tests.desktop.conftest import FrameMaker


def test_a_newer_frame_replaces_the_one_that_waits(make_frame: FrameMaker) -> None:
    """Whoever draws gets the newest frame alone, and is woken once."""
    queue = LatestFrame()
    assert queue.put(make_frame(seq=1))
    assert not queue.put(make_frame(seq=2), skipped=3)
    frame = queue.take()
    assert frame is not None
    assert frame.seq == 2
    assert queue.take() is None
    assert queue.statistics == PreviewStatistics(received=2, shown=1, skipped=4, created_at_s=1002.0)


@given(st.lists(st.booleans(), max_size=40))
def test_received_frames_are_shown_skipped_or_waiting(steps: list[bool]) -> None:
    """No frame is lost from the books, whatever the order of putting and taking."""
    import numpy as np

    from cryomamba.models.frames import PreviewFrame

    queue, waiting = LatestFrame(), 0
    for put in steps:
        if put:
            mask = np.zeros((1, 1, 1), np.uint8)
            queue.put(PreviewFrame("j", mask, (1, 1, 1), (1, 1, 1), (1.0, 1.0, 1.0), 0.0, "demo"))
            waiting = 1
        elif queue.take() is not None:
            waiting = 0
    seen = queue.statistics
    assert seen.received == seen.shown + seen.skipped + waiting


def test_putting_and_taking_from_two_threads_loses_nothing(make_frame: FrameMaker) -> None:
    """A producer and a drawer in two threads agree on every frame, and the last one is drawn."""
    queue, woken = LatestFrame(), threading.Semaphore(0)
    drawn: list[int] = []

    def produce() -> None:
        for seq in range(1, 201):
            if queue.put(make_frame(seq=seq)):
                woken.release()

    producer = threading.Thread(target=produce)
    producer.start()
    while not drawn or drawn[-1] != 200:
        assert woken.acquire(timeout=DEADLINE_S)
        frame = queue.take()
        assert frame is not None
        drawn.append(frame.seq)
    producer.join()
    assert drawn == sorted(set(drawn))
    assert queue.statistics.shown + queue.statistics.skipped == 200


def test_the_age_reads_well() -> None:
    """Age is in seconds first, then minutes, and never negative."""
    statistics = PreviewStatistics(received=3, shown=2, skipped=1, created_at_s=100.0)
    assert statistics.text(101.24) == "Preview 1.2 s old · 2 shown · 1 skipped"
    assert statistics.age_s(99.0) == 0.0
    assert statistics.text(400.0).startswith("Preview 5 min old")
    assert PreviewStatistics().text(0.0) == "No preview yet"
