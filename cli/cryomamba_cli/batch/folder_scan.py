"""What a folder contains, by listing it: works on network file systems, which notify nobody of a change."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from cryomamba.file_names import is_volume
from cryomamba_cli.batch.session import FileState

Listing = Mapping[Path, FileState]


class FolderScanner:
    """Lists the volumes below a folder again and again, and notices which ones were renamed into place.

    Hidden files and folders are left out, and folders that are links: they may lead back.

    Parameters
    ----------
    root : Path
    excluded : Path, optional
        A folder below it that is left out, such as that of the results.
    on_error : callable
        Called with a folder that cannot be listed, and the error; the others are listed.
    """

    def __init__(self, root: Path, excluded: Path | None, on_error: Callable[[Path, OSError], None]) -> None:
        self._root = root
        self._excluded = None if excluded is None or excluded == root else excluded
        self._on_error = on_error
        self._names: dict[int, Path] = {}

    def scan(self) -> tuple[dict[Path, FileState], set[Path]]:
        """List the folder.

        Returns
        -------
        dict of Path to FileState
            The volumes, sorted by path.
        set of Path
            Those of them that had another name at the last scan.

        Raises
        ------
        OSError
            The folder itself cannot be listed.
        """
        found = dict(self._list(self._root))
        volumes = {path: state for path, state in sorted(found.items()) if _is_candidate(path)}
        renamed = {
            path
            for path, state in volumes.items()
            if state.inode and (before := self._names.get(state.inode)) not in {None, path} and before not in found
        }
        self._names = {state.inode: path for path, state in found.items() if state.inode}
        return volumes, renamed

    def _list(self, folder: Path) -> Iterator[tuple[Path, FileState]]:
        try:
            with os.scandir(folder) as entries:
                listed = list(entries)
        except OSError as error:
            if folder == self._root:
                raise
            self._on_error(folder, error)
            return
        for entry in listed:
            path = Path(entry.path)
            try:
                if entry.is_dir(follow_symlinks=False):
                    if not entry.name.startswith(".") and path != self._excluded:
                        yield from self._list(path)
                elif entry.is_file():
                    status = entry.stat()
                    yield path, FileState(status.st_size, status.st_mtime_ns, status.st_ino)
            except OSError:
                # It was removed or renamed meanwhile; the next scan shows what it is now.
                continue


def _is_candidate(path: Path) -> bool:
    return is_volume(path) and not path.name.startswith(".")
