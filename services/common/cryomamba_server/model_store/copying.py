"""Copies a file into the folder of a new model."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from cryomamba_server.model_store.staging import Staging, link_refused, model_refused

# Not to wait for the other end of a pipe, and not to follow a link that has replaced a file meanwhile.
_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def copy_file(source: Path, name: str, staging: Staging) -> None:
    """Copy a file under a name, with ``/`` between folders.

    Raises
    ------
    InvalidRequestError
        It is a link or a special file, its name is not allowed, or it is larger than allowed.
    UnavailableError
        The disk is full.
    """
    target = staging.path_of(name)
    if target is None:
        raise model_refused(f"'{name}' is a hidden file.", "Give it a name that does not begin with a dot.")
    if source.is_symlink():
        raise link_refused(name)
    with open(os.open(source, _FLAGS), "rb") as file:  # noqa: PTH123 (flags of our own)
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise link_refused(name)
        staging.require_size(status.st_size)
        staging.write(target, file)
