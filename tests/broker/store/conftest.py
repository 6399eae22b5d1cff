"""A job store on a file of its own, with a clock that stands still until a test sets it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.broker.store.store_helpers import OpenStore, SettableClock

from cryomamba_broker.state_machine import LeasePolicy
from cryomamba_broker.store import Store


@pytest.fixture
def time() -> SettableClock:
    return SettableClock()


@pytest.fixture
def open_store(tmp_path: Path, time: SettableClock) -> Iterator[OpenStore]:
    opened: list[Store] = []

    def make() -> Store:
        opened.append(Store(tmp_path / "jobs.sqlite", time.clock(), LeasePolicy(lease_s=30.0, pause_s=2.0)))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: OpenStore) -> Store:
    return open_store()
