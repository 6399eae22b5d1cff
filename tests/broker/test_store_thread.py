"""Calls on the store, in order and on one thread."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from cryomamba.errors import ConflictError, UnavailableError
from cryomamba_broker.store import Store
from cryomamba_broker.store_thread import StoreThread


async def test_calls_run_in_order_on_one_thread(tmp_path: Path) -> None:
    """That is not the event loop's thread, and another thread may call as well."""
    store = await StoreThread.open(lambda: Store(tmp_path / "jobs.sqlite"))
    seen: list[tuple[int, int]] = []
    calls = [store.call(lambda _, n=number: seen.append((n, threading.get_ident()))) for number in range(20)]  # type: ignore[misc]
    await asyncio.gather(*calls)
    thread = await asyncio.to_thread(store.wait_for, lambda _: threading.get_ident())
    assert seen == [(number, thread) for number in range(20)]
    assert thread != threading.get_ident()
    await store.close()


async def test_failures_of_the_database_are_errors_for_clients(tmp_path: Path) -> None:
    """An exception of SQLite becomes UnavailableError; others are passed on."""
    store = await StoreThread.open(lambda: Store(tmp_path / "jobs.sqlite"))

    def fail(error: Exception) -> None:
        raise error

    with pytest.raises(UnavailableError):
        await store.call(lambda _: fail(sqlite3.OperationalError("locked")))
    with pytest.raises(UnavailableError):
        await asyncio.to_thread(store.wait_for, lambda _: fail(sqlite3.OperationalError("locked")))
    with pytest.raises(ZeroDivisionError):
        await store.call(lambda _: fail(ZeroDivisionError()))
    await store.close()
    (tmp_path / "other").mkdir()
    other = sqlite3.connect(tmp_path / "other" / "jobs.sqlite")
    other.execute("CREATE TABLE theirs (a)")
    other.close()
    with pytest.raises(ConflictError):
        await StoreThread.open(lambda: Store(tmp_path / "other" / "jobs.sqlite"))
