"""Where a session segments, and how many tomograms at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from cryomamba_cli.batch.capacity import SERVER_SLOTS, available_nbytes, local_capacity
from cryomamba_cli.batch.runners import InProcessRunner, ServerRunner
from cryomamba_cli.batch.tomogram_run import Runner


@contextmanager
def open_runner(
    server: str | None, slots: int | None, tomograms: int | None, *, cancels: bool, dask: str | None = None
) -> Iterator[tuple[Runner, int]]:
    """Give the runner of a session, and how many tomograms it takes at once.

    Parameters
    ----------
    server : str or None
        The address of a server; None for this process.
    slots : int or None
        Tomograms at once, if somebody has decided that.
    tomograms : int or None
        How many there are; None if more may come.
    cancels : bool
        Whether jobs on the server are cancelled when the session ends.
    dask : str or None
        Without a server, the Dask scheduler whose workers compute tiles; ``CRYOMAMBA_DASK`` if not given.
    """
    if server is not None:
        import cryomamba

        with cryomamba.connect(server) as client:
            yield ServerRunner(client, cancels=cancels), slots or SERVER_SLOTS
        return
    from cryomamba.settings import load_settings

    settings = load_settings()
    cores = settings.processes or os.cpu_count() or 1
    capacity = local_capacity(cores, available_nbytes(), tomograms, slots)
    yield InProcessRunner(capacity.processes, dask or settings.dask), capacity.slots
