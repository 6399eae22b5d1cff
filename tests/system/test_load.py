"""Small versions of the load benchmarks: nothing is lost and memory stays flat, however many come at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import load_submits, load_watchers, uploads

pytestmark = pytest.mark.system

# What a service may grow by; the benchmarks hold the same limit against ten times the load.
GROWTH_MB = 50


def test_watchers_are_told_the_end_beside_those_who_never_read(tmp_path: Path) -> None:
    """Half take binary frames and half JSON; every reader is told the last state and let go with 1000."""
    load = load_watchers.Load(watchers=40, deaf=4, binary=0.5, jobs=2, side=96, seconds=1.5, rounds=1)
    result = load_watchers.run(load, tmp_path)
    assert result.complete == 36
    assert all([kind for kind, _ in one.states] == ["connected", "job_started", "job_completed"] for one in result.seen)
    assert all(one.frames for one in result.seen)
    assert result.highest - result.before < GROWTH_MB


def test_a_burst_of_submits_is_accepted_or_told_to_wait(tmp_path: Path) -> None:
    """The store holds what was answered with 201 and nothing else."""
    found = load_submits.run(tmp_path, 80, per_minute=50)
    assert set(found) == {"HTTP", "bus", "HTTP, one token"}
    for name in ("HTTP", "bus"):
        assert found[name].statuses == {201: 80}
    limited = found["HTTP, one token"].statuses
    assert set(limited) == {201, 429}
    assert 50 <= limited[201] < 80
    assert [one.lost for one in found.values()] == [0, 0, 0]


def test_uploads_at_once_arrive_as_they_were(tmp_path: Path) -> None:
    """Ten files, two parts at a time of each; each checksum is right, and the gateway holds no file in memory."""
    found = uploads.run(tmp_path, uploads.base_volume(tmp_path, 16), 10, bursts=1)
    assert found.right == 10
    assert max(found.highest) - found.before < GROWTH_MB
