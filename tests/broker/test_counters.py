"""The counters of the broker."""

from __future__ import annotations

from cryomamba_broker.counters import Counters


def test_counters_are_logged_by_name() -> None:
    """The line that a broker logs when it ends names each number."""
    assert str(Counters(requests=3, frames_stale=1)).startswith("requests 3, repeated 0")
    assert "frames_stale 1" in str(Counters(frames_stale=1))
