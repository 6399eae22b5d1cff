"""Where a submission has its scripts and logs: the folder ``slurm/<date>`` among the results."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final

FOLDER: Final = "slurm"
_LOGS: Final = "logs"


def create_folder(results: Path, now: datetime) -> Path:
    """Create the folder of a submission, named by the date, and return it."""
    base = results / FOLDER / now.astimezone().strftime("%Y%m%d-%H%M%S")
    folder, number = base, 1
    while True:
        try:
            (folder / _LOGS).mkdir(parents=True)
        except FileExistsError:
            number += 1
            folder = base.with_name(f"{base.name}-{number}")
        else:
            return folder


def log_path(folder: Path, task: int) -> Path:
    """Return the path of the log of a task."""
    return folder / _LOGS / f"{task}.log"


def summary_log_path(folder: Path) -> Path:
    """Return the path of the log of the job that writes the report."""
    return folder / _LOGS / "summary.log"


def results_of(folder: Path) -> Path:
    """Return the folder of the results of a submission."""
    return folder.parent.parent
