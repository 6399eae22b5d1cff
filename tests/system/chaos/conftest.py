"""A stack whose connections all pass through fault proxies, and volumes for its jobs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from tests.small_disk import small_disk

from cryomamba.testing import FaultProxy, Stack
from cryomamba.volumes import write_volume
from cryomamba_server.descriptors import raise_descriptor_limit

BUS_SOCKETS = ("jobs", "preview_in", "preview_out", "events")


@pytest.fixture
def seed() -> int:
    """The seed of all random numbers; ``CHAOS_SEED`` sets it."""
    return int(os.environ.get("CHAOS_SEED", "1"))


@pytest.fixture
def job_count() -> int:
    """The number of jobs; ``CHAOS_JOBS`` sets it."""
    return int(os.environ.get("CHAOS_JOBS", "12"))


@pytest.fixture
def watchers_per_job() -> int:
    """How many more clients watch each job; ``CHAOS_WATCHERS`` sets it."""
    return int(os.environ.get("CHAOS_WATCHERS", "2"))


@pytest.fixture
def exhausting() -> bool:
    """Whether processes are stopped and run out of disk and descriptors too; ``CHAOS_EXHAUST=1`` sets it."""
    return os.environ.get("CHAOS_EXHAUST", "") == "1"


@pytest.fixture
def disk(tmp_path: Path, job_count: int, *, exhausting: bool) -> Iterator[Path | None]:
    """A file system with space for all jobs, which can be filled; None if it is not asked for or cannot be mounted."""
    if not exhausting:
        yield None
        return
    with small_disk(tmp_path / "disk", (64 + 3 * job_count) << 20) as mounted:
        yield mounted


@pytest.fixture
def stack(tmp_path: Path, disk: Path | None) -> Iterator[Stack]:
    """A stack that is not started yet, with short leases (``CHAOS_LEASE_S``); its logs are on another disk."""
    env = {"CRYOMAMBA_LEASE_S": os.environ.get("CHAOS_LEASE_S", "2"), "CRYOMAMBA_DISK_RESERVE": str(4 << 20)}
    with Stack((disk or tmp_path) / "home", roots=[tmp_path], env=env, logs=tmp_path / "logs") as stack:
        yield stack


@pytest.fixture
def proxies(stack: Stack) -> Iterator[Mapping[str, FaultProxy]]:
    """A proxy before each socket of the broker and before the gateway; the services connect through them only."""
    raise_descriptor_limit()
    with ExitStack() as context:
        running = {
            name: context.enter_context(FaultProxy("127.0.0.1", stack.ports[name]))
            for name in (*BUS_SOCKETS, "gateway")
        }
        env = {f"CRYOMAMBA_BUS_{name.upper()}": f"tcp://127.0.0.1:{running[name].port}" for name in BUS_SOCKETS}
        stack.env_of = {"inference": env, "gateway": env}
        yield running


@pytest.fixture
def volumes(tmp_path: Path) -> list[Path]:
    """Small noisy volumes: three of different sizes with a bright ball, and one with a dark vesicle."""
    paths = []
    for number, side in enumerate((32, 48, 64)):
        rng = np.random.default_rng(number)
        z, y, x = np.ogrid[-1 : 1 : side * 1j, -1:1:48j, -1:1:40j]
        ball = (z**2 + y**2 + x**2 < 0.3).astype(np.float32)
        paths.append(tmp_path / f"ball{number}.mrc")
        write_volume(paths[-1], ball * 4 + rng.normal(size=ball.shape).astype(np.float32), 10.0)
    rng = np.random.default_rng(9)
    z, y, x = np.ogrid[-24:24, -32:32, -32:32]
    shell = np.abs(np.sqrt(z**2 + y**2 + x**2) - 18) < 2.2
    paths.append(tmp_path / "vesicle.mrc")
    write_volume(paths[-1], rng.normal(size=shell.shape).astype(np.float32) - 3 * shell, 10.0)
    return paths
