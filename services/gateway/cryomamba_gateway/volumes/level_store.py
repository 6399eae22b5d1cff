"""Files of levels in a folder, with a bound on their size; those used longest ago make room. Everything here blocks."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from cryomamba.volumes.binning import Content
from cryomamba_gateway.volumes.hierarchy import Image
from cryomamba_gateway.volumes.level_file import LevelFile, LevelSource, levels_nbytes, write_levels

_ENDING: Final = ".levels"
# No volume takes as long; what is older was left by a process that was killed.
_ABANDONED_S: Final = 24 * 3600.0


class LevelStore:
    """The files of levels of a data directory; several gateways may use it.

    Parameters
    ----------
    folder : Path
        Made when it is needed.
    max_nbytes : int
        Bound on their total size.
    reserve_nbytes : int
        Space that stays free on the disk.
    """

    def __init__(self, folder: Path, max_nbytes: int, reserve_nbytes: int) -> None:
        self._folder = folder
        self._max_nbytes = max_nbytes
        self._reserve_nbytes = reserve_nbytes

    def open(self, key: str, image: Image) -> LevelFile | None:
        """Open the levels of an image; None if they are not there.

        Parameters
        ----------
        key : str
            Stands for the state of the volume.
        image : Image
        """
        path = self._path(key)
        try:
            found = LevelFile(path, image)
            os.utime(path)
        except (OSError, ValueError):
            return None
        return found

    def make(self, key: str, image: Image, content: Content, source: LevelSource, check: Callable[[], None]) -> bool:
        """Make the levels of an image, if they are not there; parameters and errors as for :func:`write_levels`.

        Returns
        -------
        bool
            False if they exceed the bound or the disk has no room for them.
        """
        if self._path(key).is_file():
            return True
        nbytes = levels_nbytes(image)
        if nbytes > self._max_nbytes:
            return False
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.sweep(nbytes)
        if shutil.disk_usage(self._folder).free - nbytes < self._reserve_nbytes:
            return False
        write_levels(content, image, source, self._path(key), check)
        return True

    def sweep(self, nbytes: int = 0) -> None:
        """Remove the levels of files that were removed or changed, and those used longest ago beyond the bound.

        Parameters
        ----------
        nbytes : int
            Space to make below the bound.
        """
        kept: list[tuple[float, int, Path]] = []
        for path in self._folder.glob(f"*{_ENDING}*"):
            with suppress(OSError):
                status = path.stat()
                if path.suffix != _ENDING:
                    if time.time() - status.st_mtime > _ABANDONED_S:
                        path.unlink()
                    continue
                source = LevelSource.read(path)
                if source is None or not source.is_current():
                    path.unlink()
                    continue
                kept.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if total + nbytes <= self._max_nbytes:
                break
            with suppress(OSError):
                path.unlink()
                total -= size

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}{_ENDING}"
