"""Which way the result of a task is computed: tile by tile, or window by window."""

from __future__ import annotations

from pathlib import Path

from cryomamba.engines.windows import WindowEngine
from cryomamba_inference.runner.preview_publisher import PreviewPublisher
from cryomamba_inference.runner.task import Task
from cryomamba_inference.runner.tile_run import TileRun
from cryomamba_inference.runner.window_run import WindowRun


def result_run(task: Task, folder: Path, publisher: PreviewPublisher) -> TileRun | WindowRun:
    """Return the pass at full resolution, with `folder` for its temporary files."""
    windows = task.windows
    if windows is not None and isinstance(task.engine, WindowEngine):
        return WindowRun(task.engine, windows, folder, publisher)
    return TileRun(task.engine, task.plan)
