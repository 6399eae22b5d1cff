"""The limit on repeated log lines."""

from __future__ import annotations

import logging

import pytest

from cryomamba_server.throttle import Throttle


def test_one_line_per_interval_with_the_number_of_suppressed_ones(caplog: pytest.LogCaptureFixture) -> None:
    """A flood of malformed messages does not fill the disk with log lines."""
    now = 0.0
    throttle = Throttle(logging.getLogger("throttled"), interval_s=5.0, clock=lambda: now)
    for now in (0.0, 1.0, 4.0, 5.0, 6.0, 10.0):
        throttle.warning("Dropped: %s", now)
    assert [record.getMessage() for record in caplog.records] == [
        "Dropped: 0.0",
        "Dropped: 5.0 (2 more since the last line)",
        "Dropped: 10.0 (1 more since the last line)",
    ]
