"""Copies a folder, or one file, into the folder of a new model."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryomamba_server.model_store.staging import Staging, link_refused, model_refused

# Not to wait for the other end of a pipe, and not to follow a link that has replaced a file meanwhile.
_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def copy_files(source: Path, staging: Staging) -> None:
    """Copy a folder's files, or one file.

    Raises
    ------
    InvalidRequestError
        There is a link or a special file, a name that is not allowed, or more than allowed.
    UnavailableError
        The disk is full.
    """
    if source.is_dir():
        for name, path in _files_below(source, ""):
            target = staging.path_of(name)
            if target is not None:
                _copy(path, target, staging)
        return
    target = staging.path_of(source.name)
    if target is None:
        raise model_refused(f"'{source.name}' is a hidden file.", "Give it a name that does not begin with a dot.")
    _copy(source, target, staging)


def _files_below(folder: Path, above: str) -> Iterator[tuple[str, Path]]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        name = f"{above}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            if not entry.name.startswith("."):
                yield from _files_below(Path(entry.path), f"{name}/")
        else:
            yield name, Path(entry.path)


def _copy(source: Path, target: Path, staging: Staging) -> None:
    if source.is_symlink():
        raise link_refused(source.name)
    with open(os.open(source, _FLAGS), "rb") as file:  # noqa: PTH123 (flags of our own)
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise link_refused(source.name)
        staging.require_size(status.st_size)
        staging.write(target, file)
