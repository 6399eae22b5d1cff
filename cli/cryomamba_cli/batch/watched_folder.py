"""A watched folder: the tomograms in it, and where their masks go."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cryomamba.errors import ConflictError, CryoMambaError
from cryomamba_cli.batch.folder_scan import FolderScanner
from cryomamba_cli.batch.loop import Plan
from cryomamba_cli.batch.record import read_record, recipe_of
from cryomamba_cli.batch.session import FileState, Sighting
from cryomamba_cli.segmentation_task import Task

MakeTask = Callable[[Path, Path], tuple[Task, Mapping[str, Any]]]


class WatchedFolder:
    """The tomograms below a folder, each named by its path below it.

    Parameters
    ----------
    scanner : FolderScanner
    root : Path
    stable_s : float
        Files that were last changed longer ago than this are complete; shorter than that, they may still be written.
    clock : callable
        Seconds since 1970.
    """

    def __init__(
        self, scanner: FolderScanner, root: Path, stable_s: float, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._scanner = scanner
        self._root = root
        self._stable_s = stable_s
        self._clock = clock

    def look(self) -> Mapping[Path, Sighting]:
        """Return the tomograms that there are now.

        Raises
        ------
        OSError
            The folder cannot be listed.
        """
        volumes, renamed = self._scanner.scan()
        now = self._clock()
        return {
            path.relative_to(self._root): Sighting({path: state}, path in renamed or self._is_old(state, now))
            for path, state in volumes.items()
        }

    def _is_old(self, state: FileState, now: float) -> bool:
        return now - state.mtime_ns / 1e9 >= self._stable_s


class Planner:
    """Decides how each tomogram of a watched folder is segmented; decides once for each.

    Parameters
    ----------
    root, results : Path
        The watched folder, and the folder of the results, which gets the same subfolders; may be the same.
    make : callable
        Makes the task of a tomogram, given its path and the same path in the folder of the results, and returns it with
        the JSON schema of the engine's parameters.
    """

    def __init__(self, root: Path, results: Path, make: MakeTask) -> None:
        self._root = root
        self._results = results
        self._make = make
        self._plans: dict[Path, Plan] = {}
        self._owners: dict[Path, Path] = {}

    def plan(self, path: Path) -> Plan:
        """Return how a tomogram is segmented; where its mask would replace that of another one, with that error."""
        if path not in self._plans:
            task, schema = self._make(self._root / path, self._results / path)
            self._plans[path] = Plan(task, recipe_of(task, schema), self._conflict(path, task.mask))
        return self._plans[path]

    def _conflict(self, path: Path, mask: Path) -> CryoMambaError | None:
        owner = self._owners.setdefault(mask, path)
        record = read_record(mask)
        if record is not None and record.tomogram != str(path) and (self._root / record.tomogram).exists():
            owner = Path(record.tomogram)
        if owner == path:
            return None
        return ConflictError(
            f"Its mask would replace that of '{owner}'.", hint="Rename one of the two, or move it to another folder."
        )
