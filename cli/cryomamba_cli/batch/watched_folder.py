"""A watched folder: the tomograms in it, and where their masks go."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from cryomamba.errors import ConflictError, CryoMambaError
from cryomamba_cli.batch.folder_scan import FolderScanner
from cryomamba_cli.batch.plan import Plan
from cryomamba_cli.batch.record import read_record
from cryomamba_cli.batch.session import Files, FileState, Sighting


class WatchedFolder:
    """The tomograms below a folder, each named by its path below it.

    Parameters
    ----------
    scanner : FolderScanner
    root : Path
    stable_s : float
        Files that were last changed longer ago than this are complete; shorter than that, they may still be written.
    group : callable
        Returns the tomograms that volumes are, given by their paths below the folder.
    clock : callable
        Seconds since 1970.
    """

    def __init__(
        self,
        scanner: FolderScanner,
        root: Path,
        stable_s: float,
        group: Callable[[Mapping[Path, FileState]], Mapping[Path, Files]],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._scanner = scanner
        self._root = root
        self._stable_s = stable_s
        self._group = group
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
        grouped = self._group({path.relative_to(self._root): state for path, state in volumes.items()})
        found = {}
        for name, parts in grouped.items():
            files = {self._root / path: state for path, state in parts.items()}
            complete = all(path in renamed or self._is_old(state, now) for path, state in files.items())
            found[name] = Sighting(files, complete)
        return found

    def _is_old(self, state: FileState, now: float) -> bool:
        return now - state.mtime_ns / 1e9 >= self._stable_s


class UniquePlans:
    """The plans of tomograms, each made once, and none for a mask that is another tomogram's.

    Parameters
    ----------
    root : Path
        The watched folder.
    make : callable
        Makes the plan of a tomogram, given its path below the folder.
    """

    def __init__(self, root: Path, make: Callable[[Path], Plan]) -> None:
        self._root = root
        self._make = make
        self._plans: dict[Path, Plan] = {}
        self._owners: dict[Path, Path] = {}

    def plan(self, path: Path) -> Plan:
        """Return how a tomogram is segmented; where its mask would replace that of another one, with that error."""
        if path not in self._plans:
            plan = self._make(path)
            self._plans[path] = replace(plan, conflict=self._conflict(path, plan.task.mask))
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
