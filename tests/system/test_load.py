"""Small versions of the load benchmarks: nothing is lost, and memory does not grow with the load."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import load_submits, load_watchers, uploads

pytestmark = [pytest.mark.system, pytest.mark.slow]

# How much memory a service may gain; the benchmarks have the same limit at ten times the load.
GROWTH_MB = 50


def test_watchers_get_the_last_state_beside_clients_that_never_read(tmp_path: Path) -> None:
    """Half take binary frames, half JSON; every reader gets the last state, and its WebSocket is closed with 1000."""
    load = load_watchers.Load(watchers=40, deaf=4, binary=0.5, jobs=2, side=96, seconds=1.5, rounds=1)
    result = load_watchers.run(load, tmp_path)
    assert result.complete == 36
    assert all([kind for kind, _ in one.states] == ["connected", "job_started", "job_completed"] for one in result.seen)
    assert all(one.frames for one in result.seen)
    assert result.highest - result.before < GROWTH_MB


def test_a_burst_of_submissions_is_accepted_or_rate_limited(tmp_path: Path) -> None:
    """The store has the jobs that were answered with 201 and no others."""
    found = load_submits.run(tmp_path, 80, per_minute=50)
    assert set(found) == {"HTTP", "bus", "HTTP, one token"}
    for name in ("HTTP", "bus"):
        assert found[name].statuses == {201: 80}
    limited = found["HTTP, one token"].statuses
    assert set(limited) == {201, 429}
    assert 50 <= limited[201] < 80
    assert [one.lost for one in found.values()] == [0, 0, 0]


def test_concurrent_uploads_arrive_unchanged(tmp_path: Path) -> None:
    """Ten files, two parts of each at a time: every checksum is right, and the gateway keeps no file in memory."""
    found = uploads.run(tmp_path, uploads.base_volume(tmp_path, 16), 10, bursts=1)
    assert found.right == 10
    assert max(found.highest) - found.before < GROWTH_MB
