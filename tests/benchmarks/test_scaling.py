"""The simulation of benchmarks/scaling, where its result can be computed by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from benchmarks.scaling.__main__ import Design, enlarged, loads
from benchmarks.scaling.costs import Assumptions, Costs
from benchmarks.scaling.model import Facility, facility, submits

COSTS = Costs(
    idle_gateway=0.0,
    idle_broker=0.0,
    submit_gateway=0.004,
    submit_broker=0.002,
    submit_client=0.001,
    submit_wait=0.001,
    submit_commits=1.0,
    commit=0.003,
    job_second_broker=0.01,
    job_second_gateway=0.0,
    frame_worker=0.0,
    frame_broker=0.01,
    frame_gateway=0.01,
    watcher_second_gateway=0.0,
    send_gateway=0.001,
    send_delay=0.001,
    receive_client=0.0,
    frame_wait=0.0,
    connect_gateway=0.001,
    gateway_MB=100.0,
    watcher_MB=0.1,
    broker_MB=80.0,
    disk_MB_s=500.0,
    frame_bytes=64_000,
)


def test_submits_go_as_fast_as_the_slowest_server() -> None:
    """One client waits for each step; many are limited by the gateway, or by the cores that all share."""
    assert submits(COSTS, 1, 50, cores=8).rate == pytest.approx(1 / 0.011)
    quick = replace(COSTS, commit=0.0005)
    assert submits(quick, 20, 1000, cores=8).rate == pytest.approx(1 / 0.004, rel=0.02)
    assert submits(quick, 20, 1000, cores=1).rate == pytest.approx(1 / 0.007, rel=0.02)


def test_a_commit_keeps_the_broker_and_not_the_core() -> None:
    """On a slow disk, submits compute and commit in turn, however many cores and clients there are."""
    slow = replace(COSTS, commit=0.02)
    assert submits(slow, 20, 500, cores=8).rate == pytest.approx(1 / 0.022, rel=0.02)
    assert submits(slow, 20, 500, cores=1).rate < 1 / 0.022


def test_use_is_rate_times_cost() -> None:
    """Of broker and gateway, as long as both are fast enough; all frames arrive, the last watcher waits longest."""
    result = facility(COSTS, Facility(watchers=100, jobs=2), 100.0)
    assert result.broker == pytest.approx(2 * (0.01 + 0.01), rel=0.02)
    assert result.gateway == pytest.approx(2 * 0.01 + 100 * 0.001, rel=0.02)
    assert result.delivered == pytest.approx(1.0, abs=0.02)
    # The broker may just be busy with a report of the job.
    assert 0.01 + 0.01 + 50 * 0.001 <= max(result.ages) + 1e-9 <= 0.01 + 0.01 + 50 * 0.001 + 0.006


def test_an_overloaded_gateway_skips_frames() -> None:
    """At twice what it can send, it is always busy and about half of the frames arrive; two gateways send all."""
    result = facility(COSTS, Facility(watchers=2000, jobs=4), 100.0)
    assert result.gateway > 0.95
    assert result.delivered == pytest.approx(0.5, abs=0.05)
    assert facility(COSTS, Facility(watchers=2000, jobs=4, gateways=4), 100.0).delivered > 0.97


def test_an_enlarged_design_is_not_used_beyond_the_limit() -> None:
    """Gateways, brokers and object storage are added until each part has room."""
    assumed = Assumptions()
    costs = replace(COSTS, disk_MB_s=300.0)
    assert loads(costs, 2000, 100_000, Design(), assumed).parts["disk"] > 1
    design = enlarged(costs, 2000, 100_000, assumed)
    assert design.objects
    assert design.gateways > 1
    assert design.shards > 1
    assert max(loads(costs, 2000, 100_000, design, assumed).parts.values()) <= assumed.busy
