"""A small file system that can be filled."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal


@contextmanager
def small_disk(folder: Path, nbytes: int) -> Iterator[Path | None]:
    """Mount a file system of so many bytes at a folder; None where that is not allowed. A context manager."""
    folder.mkdir()
    sudo = [] if sys.platform == "win32" or os.geteuid() == 0 else ["sudo", "-n"]
    mount = [*sudo, "mount", "-t", "tmpfs", "-o", f"size={nbytes},mode=0777", "tmpfs", str(folder)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run([*sudo, "umount", "--lazy", str(folder)], check=True)


def remount(disk: Path, how: Literal["ro", "rw"]) -> None:
    """Make a mounted disk read-only, or writable again."""
    sudo = [] if sys.platform == "win32" or os.geteuid() == 0 else ["sudo", "-n"]
    subprocess.run([*sudo, "mount", "-o", f"remount,{how}", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Fill a disk to the last byte, and return the file that does."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for nbytes in (1 << 20, 1 << 12, 1):
            try:
                while file.write(bytes(nbytes)):
                    pass
            except OSError:
                continue
    return ballast
