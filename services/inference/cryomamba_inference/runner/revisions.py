"""Runs a segmentation, and again with the same volume each time that strokes are added."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from cryomamba.engines.api import Engine
from cryomamba.engines.strokes import StrokesEngine
from cryomamba_inference.executor import TileExecutor
from cryomamba_inference.runner.control import Control, EventSink, StrokesAdded
from cryomamba_inference.runner.run import run_task
from cryomamba_inference.runner.task import KnownVolume, Outcome, Task

log = logging.getLogger(__name__)

Finished = TypeVar("Finished")


def run_to_last_strokes(
    task: Task,
    folder: Path,
    executor: TileExecutor,
    control: Control,
    events: EventSink,
    finish: Callable[[Outcome, Engine[Any]], Finished],
) -> Finished:
    """Run a segmentation, and finish it; when strokes are added meanwhile, begin again with them.

    Parameters
    ----------
    finish : callable
        Takes the outcome and the engine that made it, and writes the files; it calls ``control.check`` often.

    Raises
    ------
    CryoMambaError
        As :func:`~cryomamba_inference.runner.run.run_task` does.
    """
    known = KnownVolume()
    try:
        while True:
            try:
                return finish(run_task(task, folder, executor, control, events, known), task.engine)
            except StrokesAdded as added:
                if isinstance(task.engine, StrokesEngine):
                    log.info("Strokes were added: training again.")
                    focus = control.focus or task.focus
                    task = replace(task, engine=task.engine.with_strokes(added.strokes), focus=focus)
    finally:
        if isinstance(task.engine, StrokesEngine):
            task.engine.stop()
