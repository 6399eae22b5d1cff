"""Tile executors: in this process, or a pool of processes with shared memory."""

from cryomamba_inference.executor.base import Result, TileExecutor
from cryomamba_inference.executor.inline import InlineExecutor
from cryomamba_inference.executor.pool import ProcessExecutor

__all__ = ["InlineExecutor", "ProcessExecutor", "Result", "TileExecutor", "open_executor"]


def open_executor(processes: int) -> TileExecutor:
    """Return an executor with that many processes; 1 means this process."""
    return InlineExecutor() if processes <= 1 else ProcessExecutor(processes)
