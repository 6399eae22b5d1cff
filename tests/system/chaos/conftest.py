"""A stack whose every link leads through a fault proxy, and volumes for its jobs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from cryomamba.testing import FaultProxy, Stack
from cryomamba.volumes import write_volume

BUS = ("jobs", "preview_in", "preview_out", "events")


@pytest.fixture
def seed() -> int:
    """What all chance comes from; ``CHAOS_SEED`` sets it."""
    return int(os.environ.get("CHAOS_SEED", "1"))


@pytest.fixture
def job_count() -> int:
    """How many jobs there are; ``CHAOS_JOBS`` sets it."""
    return int(os.environ.get("CHAOS_JOBS", "20"))


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Services that are not started yet, with short leases."""
    with Stack(tmp_path / "home", roots=[tmp_path], env={"CRYOMAMBA_LEASE_S": "2"}) as stack:
        yield stack


@pytest.fixture
def links(stack: Stack) -> Iterator[Mapping[str, FaultProxy]]:
    """A proxy before each socket of the broker and before the gateway; inference and gateway know no other way."""
    with ExitStack() as ending:
        proxies = {name: ending.enter_context(FaultProxy("127.0.0.1", stack.ports[name])) for name in (*BUS, "gateway")}
        ways = {f"CRYOMAMBA_BUS_{name.upper()}": f"tcp://127.0.0.1:{proxies[name].port}" for name in BUS}
        stack.env_of = {"inference": ways, "gateway": ways}
        yield proxies


@pytest.fixture
def volumes(tmp_path: Path) -> list[Path]:
    """Small noisy volumes, no two alike: three with a bright ball, and last one with a dark vesicle."""
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
