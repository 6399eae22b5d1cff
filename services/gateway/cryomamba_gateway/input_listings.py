"""Lists the folders of the allowed input directories for all clients of a gateway."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from cryomamba_gateway.input_folders import InputFolders, InputPage
from cryomamba_gateway.volumes.caller_turns import CallerTurns

THREADS: Final = 2


class InputListings:
    """Lists folders in threads of its own, for each caller one after the other. For one event loop.

    A folder on a slow disk, or one of very many files, takes seconds. In the threads that all requests share, a few
    such listings would hold up the check of everybody's tokens.

    Parameters
    ----------
    folders : InputFolders
    """

    def __init__(self, folders: InputFolders) -> None:
        self._folders = folders
        self._turns = CallerTurns(1)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="inputs")

    async def page(self, caller: str, path: str, *, limit: int, cursor: str | None) -> InputPage:
        """Return what is in a folder, as :meth:`InputFolders.page` does, when it is the caller's turn."""
        async with self._turns.turn(caller):
            call = partial(self._folders.page, path, limit=limit, cursor=cursor)
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def close(self) -> None:
        """Release the threads; a listing under way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
