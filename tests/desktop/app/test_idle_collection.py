"""Full collections of garbage wait until nobody moves."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from napari_cryomamba.app import idle_collection
from napari_cryomamba.app.idle_collection import IdleCollection

pytestmark = pytest.mark.desktop


class Cycle:
    """Refers to itself, so that only a collection frees it."""

    def __init__(self) -> None:
        self.own = self


@pytest.fixture
def idle(qapp: Any, viewer: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[IdleCollection]:
    """A collection that need not wait."""
    for name in ("_IDLE_S", "_EVERY_S"):
        monkeypatch.setattr(idle_collection, name, 0.0)
    monkeypatch.setattr(idle_collection, "_CHECK_MS", 1)
    found = IdleCollection(viewer)
    yield found
    found.close()


def old_garbage() -> weakref.ref[Cycle]:
    """Garbage that only a full collection frees, because it has survived the others."""
    cycle = Cycle()
    gc.collect(1)
    return weakref.ref(cycle)


def test_garbage_is_collected_while_nobody_moves(idle: IdleCollection, wait_for: Any) -> None:
    """What has survived Python's own collections is freed."""
    garbage = old_garbage()
    gc.collect(1)
    assert garbage() is not None
    wait_for(lambda: garbage() is None)


def test_nothing_is_collected_while_the_sections_move(
    idle: IdleCollection, viewer: Any, monkeypatch: pytest.MonkeyPatch, qtbot: Any
) -> None:
    """However often the time comes, a full collection waits for the last movement."""
    monkeypatch.setattr(idle_collection, "_IDLE_S", 3600.0)
    garbage = old_garbage()
    viewer.dims.set_point(0, 1.0)
    for _ in range(5):
        with qtbot.waitSignal(idle._timer.timeout):
            pass
    assert garbage() is not None


def test_python_collects_by_its_own_rule_afterwards(qapp: Any, viewer: Any) -> None:
    """Closing it leaves the process as it was."""
    before = gc.get_threshold()
    found = IdleCollection(viewer)
    assert gc.get_threshold()[2] > before[2]
    found.close()
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
