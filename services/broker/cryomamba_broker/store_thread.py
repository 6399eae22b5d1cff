"""The job store on a thread of its own, so that a slow disk never blocks the event loop."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from cryomamba.errors import ErrorCode, UnavailableError
from cryomamba_broker.store import Store
from cryomamba_broker.store.database import store_error

T = TypeVar("T")

logger = logging.getLogger(__name__)


class StoreThread:
    """Runs calls on the store one after the other, in the order in which they were made.

    Results come back in the same order, so changes that are published right after their calls are published in order.
    """

    def __init__(self, store: Store, executor: ThreadPoolExecutor) -> None:
        self._store, self._executor = store, executor
        self._damage: UnavailableError | None = None

    def require_undamaged(self) -> None:
        """Raise the error of an earlier call that found the file damaged, if there was one.

        Raises
        ------
        UnavailableError
            ``store_damaged``.
        """
        if self._damage is not None:
            raise self._damage

    @classmethod
    async def open(cls, make: Callable[[], Store]) -> StoreThread:
        """Start the thread and open the store on it; raises what `make` raises."""
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        try:
            store = await asyncio.get_running_loop().run_in_executor(executor, make)
        except BaseException:
            executor.shutdown(wait=False)
            raise
        return cls(store, executor)

    async def call(self, work: Callable[[Store], T]) -> T:
        """Run `work` on the store's thread and return what it returns, or raise what it raises.

        Raises
        ------
        UnavailableError
            The database cannot be read or written.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work, self._store)
        except sqlite3.Error as error:
            raise self._typed(error) from error

    def wait_for(self, work: Callable[[Store], T]) -> T:
        """Run `work` as :meth:`call` does, but block; for threads other than that of the event loop."""
        try:
            return self._executor.submit(work, self._store).result()
        except sqlite3.Error as error:
            raise self._typed(error) from error

    def _typed(self, error: sqlite3.Error) -> UnavailableError:
        typed = store_error(error)
        if typed.code is ErrorCode.STORE_DAMAGED and self._damage is None:
            self._damage = typed
            logger.error("%s", typed)
        return typed

    async def close(self) -> None:
        """Close the store and end the thread, after all pending calls."""
        await self.call(Store.close)
        self._executor.shutdown(wait=True)
