"""Where an attempt publishes its files: a folder of its own next to the job's, until the broker accepts them.

So an attempt that has lost its lease cannot replace a file of the one that finished, and what it leaves behind is known
by its name.
"""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

_NAME: Final = re.compile(r"\.attempt-(\d{1,9})")


def attempt_folder(artifacts: Path, job_id: str, attempt: int) -> Path:
    """Return the folder into which an attempt publishes its files.

    Parameters
    ----------
    artifacts : Path
        Folder of finished files in the data directory.
    job_id, attempt : str, int
    """
    return artifacts / job_id / f".attempt-{attempt}"


def attempt_folders(artifacts: Path) -> list[Path]:
    """Return the folders of all attempts of all jobs."""
    return [path for path in artifacts.glob("*/.attempt-*") if _NAME.fullmatch(path.name)]


def remove_attempt_folder(folder: Path) -> None:
    """Remove the folder of an attempt, and that of its job if nothing else is in it; does nothing if there is none."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.parent.rmdir()
