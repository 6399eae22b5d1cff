"""Tile executors: in this process, a pool of processes with shared memory, or a Dask cluster."""

from cryomamba_inference.executor.base import Result, TileExecutor
from cryomamba_inference.executor.dask_executor import DaskExecutor
from cryomamba_inference.executor.inline import InlineExecutor
from cryomamba_inference.executor.pool import ProcessExecutor

__all__ = ["DaskExecutor", "InlineExecutor", "ProcessExecutor", "Result", "TileExecutor", "open_executor"]


def open_executor(
    processes: int, dask: str | None = None, volumes: str | None = None, token: str | None = None
) -> TileExecutor:
    """Return an executor with that many processes, of which 1 means this process; or for the cluster at an address.

    `volumes` and `token` are as for :class:`DaskExecutor`.
    """
    if dask:
        return DaskExecutor(dask, processes, volumes=volumes, token=token)
    return InlineExecutor() if processes <= 1 else ProcessExecutor(processes)
