"""Where tiles are computed: in this process, or over several with shared memory."""

from cryomamba_inference.executor.base import Result, TileExecutor
from cryomamba_inference.executor.inline import InlineExecutor
from cryomamba_inference.executor.pool import ProcessExecutor

__all__ = ["InlineExecutor", "ProcessExecutor", "Result", "TileExecutor", "open_executor"]


def open_executor(processes: int) -> TileExecutor:
    """Return an executor over so many processes; one means this one."""
    return InlineExecutor() if processes <= 1 else ProcessExecutor(processes)
