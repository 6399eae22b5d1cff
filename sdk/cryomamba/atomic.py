"""Files that appear under their name only when they are complete; the one place that writes and then renames.

The new content goes into a hidden file ``.<name>.<random>.part`` in the same folder, which is then renamed. A reader
sees the old file or the new one, never a part of it, and several writers do not disturb each other.

A *durable* write (the default) calls fsync on the content before the rename and on the folder after it, so what has
returned survives a power cut. A write that is not durable calls no fsync: for files that can be made again.
"""

from __future__ import annotations

import errno
import glob
import io
import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from cryomamba.system_errors import disk_full_error, system_error, system_errors_translated

_PART_STEM_NBYTES: Final = 200


class AtomicFile:
    """A new file, open for reading and writing; ``commit`` gives it its name, ``discard`` removes it.

    As a context manager it commits, or discards on an exception.

    Parameters
    ----------
    path : Path
        Final name; its folder exists. ``commit`` replaces a file of that name.
    nbytes : int
        Length of the file where it is known, set at once so that any part of it can be written first.
    durable : bool
        Whether ``commit`` calls fsync.
    private : bool
        Whether only its owner may read it (mode 0600).

    Raises
    ------
    UnavailableError
        ``insufficient_storage``: the disk has less free space than that.
    """

    def __init__(self, path: Path, nbytes: int = 0, *, durable: bool = True, private: bool = False) -> None:
        self._path = path
        self._part = _part_name(path)
        self._durable = durable
        mode = 0o600 if private else 0o666
        if shutil.disk_usage(path.parent).free < nbytes:
            raise disk_full_error(f"The disk is full: there is no space for a file of {nbytes:,} bytes.")
        self.file = io.FileIO(self._part, "x+b", opener=lambda name, flags: os.open(name, flags, mode))
        try:
            self.file.truncate(nbytes)
        except OSError:
            self.discard()
            raise

    def stream(self) -> io.BufferedWriter:
        """Return a buffered stream from the current position of the file; to be closed before ``commit``."""
        return io.BufferedWriter(io.FileIO(self.file.fileno(), "wb", closefd=False))

    def commit(self, *, overwrite: bool = True) -> None:
        """Give the file its name.

        Raises
        ------
        FileExistsError
            Without `overwrite`: there is a file of that name. The new one is removed.
        """
        if self._durable:
            os.fsync(self.file.fileno())
        self.file.close()
        try:
            if overwrite:
                self._part.replace(self._path)
            else:
                os.link(self._part, self._path)
        finally:
            self._part.unlink(missing_ok=True)
        if self._durable:
            sync_folder(self._path.parent)

    def discard(self) -> None:
        """Remove the new file; does nothing after ``commit``."""
        if not self.file.closed:
            self.file.close()
            self._part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        try:
            if kind is None and not self.file.closed:
                self.commit()
        finally:
            self.discard()
        typed = None if error is None else system_error(error)
        if typed is not None:
            raise typed from error


def write_atomically(
    path: Path, content: str | bytes, *, durable: bool = True, private: bool = False, overwrite: bool = True
) -> None:
    """Write a small file.

    Parameters
    ----------
    path : Path
        Its folder exists.
    content : str or bytes
        Text is encoded as UTF-8.
    durable, private : bool
        As for :class:`AtomicFile`.
    overwrite : bool
        Whether a file of that name is replaced.

    Raises
    ------
    FileExistsError
        Without `overwrite`: there is a file of that name.
    UnavailableError
        ``insufficient_storage``: the disk is full.
    """
    with AtomicFile(path, durable=durable, private=private) as new:
        with new.stream() as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
        new.commit(overwrite=overwrite)


@contextmanager
def atomic_path(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary name for a file or folder that the ``with`` block makes, and rename that to `path` at its end.

    If the block raises, its result is removed. A folder replaces an existing one; a durable folder is synced itself,
    but not the files in it.

    Raises
    ------
    UnavailableError
        ``insufficient_storage``: the disk is full.
    """
    part = _part_name(path)
    try:
        with system_errors_translated():
            yield part
            if durable:
                _sync(part)
            if part.is_dir() and path.is_dir():
                shutil.rmtree(path)
            part.replace(path)
    finally:
        _remove(part)
    if durable:
        sync_folder(path.parent)


def remove_parts(path: Path) -> None:
    """Remove leftovers of interrupted writes of `path`; only if no other process writes it."""
    for part in path.parent.glob(f"{glob.escape(_part_prefix(path))}*.part"):
        _remove(part)


def sync_folder(folder: Path) -> None:
    """Call fsync on a folder, which makes new names in it durable; does nothing where a system cannot."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems have no fsync for folders.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


def _part_name(path: Path) -> Path:
    return path.with_name(f"{_part_prefix(path)}{uuid.uuid4().hex[:8]}.part")


def _part_prefix(path: Path) -> str:
    # The temporary name of a name of any allowed length must be allowed, too.
    name = os.fsencode(path.name)[:_PART_STEM_NBYTES].decode("utf-8", "ignore")
    return f".{name}."


def _sync(part: Path) -> None:
    if part.is_dir():
        sync_folder(part)
    else:
        with part.open("rb+") as file:
            os.fsync(file.fileno())


def _remove(part: Path) -> None:
    if part.is_dir():
        shutil.rmtree(part, ignore_errors=True)
    else:
        part.unlink(missing_ok=True)
