"""The folder ``.cryomamba`` among the results: what is being made, and how it gets to its place.

Everything of a tomogram is made in a folder of its own there, and moved when it is complete. The list of the moves is
written before the first of them, so that a program that was killed in between completes them when it starts again.
Files of a run that was killed earlier are removed then.

A session has the work folder for itself. Members, such as the tasks of an array of SLURM jobs, share it: each has a
folder of its own in it, and no session can begin while one of them works.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote, unquote_to_bytes

from pydantic import ValidationError

from cryomamba.atomic import sync_folder, write_atomically
from cryomamba.errors import ConflictError
from cryomamba.models.base import Record
from cryomamba.printable import file_text
from cryomamba_cli.batch.folder_lock import folder_lock
from cryomamba_cli.batch.record import TomogramRecord, read_record, write_record

NAME: Final = ".cryomamba"
_STARTED: Final = "started.json"
_PUBLISH: Final = "publish.json"
_SCRATCH: Final = "scratch"
_MEMBERS: Final = "members"


class Started(Record):
    """A run that has begun: the tomogram, and how many runs of it were begun and never ended before.

    Attributes
    ----------
    tomogram : str
    interruptions : int
    """

    tomogram: str
    interruptions: int


class Publication(Record):
    """A finished result that is moved to its place.

    Attributes
    ----------
    mask : str
        Where the mask goes. Names are percent-encoded here, as they may have bytes that are not UTF-8.
    names : tuple of str
        The files, which keep their names; the mask is the last.
    record : TomogramRecord
    """

    mask: str
    names: tuple[str, ...]
    record: TomogramRecord


class WorkFolder:
    """The work folder of a session, or of one of its members; a context manager that locks it.

    Methods may be called from several threads, for different tomograms.

    Parameters
    ----------
    results : Path
        Existing folder of the results.
    member : str, optional
        The name of the member; without one, the work folder is for one session alone.

    Attributes
    ----------
    path : Path
    scratch : Path
        For small files on their way to their place.

    Raises
    ------
    ConflictError
        On entering: another program works in the same folder.
    """

    def __init__(self, results: Path, member: str | None = None) -> None:
        self._results = results
        self._shared = None if member is None else results / NAME
        self.path = results / NAME if member is None else results / NAME / _MEMBERS / member
        self.scratch = self.path / _SCRATCH
        self._locks = ExitStack()

    def __enter__(self) -> Self:
        conflict = ConflictError(
            f"Another program writes its results to '{self._results}'.",
            hint="Wait until it has finished, or choose another folder for the results.",
        )
        with ExitStack() as locks:
            if self._shared is not None and not locks.enter_context(folder_lock(self._shared, shared=True)):
                raise conflict
            if not locks.enter_context(folder_lock(self.path)):
                raise conflict
            self._locks = locks.pop_all()
        self.scratch.mkdir(exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._locks.close()

    def recover(self) -> dict[str, int]:
        """Complete what was being moved when the program was killed, and remove what was being made.

        Of members, only those that no longer work are looked at, and nothing of them is left.

        Returns
        -------
        dict of str to int
            For each tomogram that was running then, how often this has happened to it.
        """
        interrupted = _recover(self.path, self.scratch)
        members = (self._shared or self.path) / _MEMBERS
        for member in sorted(members.iterdir()) if members.is_dir() else []:
            if member == self.path:
                continue
            with folder_lock(member) as is_locked:
                if is_locked:
                    _recover(member, self.scratch)
                    shutil.rmtree(member, ignore_errors=True)
        return interrupted

    def remove(self) -> None:
        """Remove the folder of a member that has ended its work."""
        if self._shared is not None:
            shutil.rmtree(self.path, ignore_errors=True)

    def begin(self, tomogram: Path, interruptions: int) -> Path:
        """Return an empty folder for the work on a tomogram."""
        folder = self._folder(tomogram)
        folder.mkdir(exist_ok=True)
        _clear(folder)
        started = Started(tomogram=file_text(tomogram), interruptions=interruptions)
        write_atomically(folder / _STARTED, started.model_dump_json(), durable=False)
        return folder

    def end(self, tomogram: Path) -> None:
        """Remove the folder of a tomogram whose work has ended, if there is one."""
        shutil.rmtree(self._folder(tomogram), ignore_errors=True)

    def _folder(self, tomogram: Path) -> Path:
        return self.path / hashlib.sha256(file_text(tomogram).encode()).hexdigest()[:24]

    def publish(self, folder: Path, mask: Path, record: TomogramRecord) -> None:
        """Move the finished files of a tomogram next to each other, then write its record.

        Parameters
        ----------
        folder : Path
            That of :meth:`begin`; it is removed.
        mask : Path
            Where the mask goes, with the same name as in the folder.
        record : TomogramRecord
            `files` are the names of all files that are moved.
        """
        made = {file_text(path.name): path.name for path in folder.iterdir()}
        names = sorted((made.get(name, name) for name in record.files), key=lambda name: name == mask.name)
        publication = Publication(mask=_quoted(mask.absolute()), names=tuple(map(_quoted, names)), record=record)
        write_atomically(folder / _PUBLISH, publication.model_dump_json())
        _complete(folder, self.scratch)


def _recover(work: Path, scratch: Path) -> dict[str, int]:
    interrupted = {}
    _clear(work / _SCRATCH)
    for folder in sorted(one for one in work.iterdir() if one.is_dir() and one.name not in {_SCRATCH, _MEMBERS}):
        if (folder / _PUBLISH).exists():
            _complete(folder, scratch)
            continue
        started = _read_started(folder)
        if started is None:
            shutil.rmtree(folder, ignore_errors=True)
            continue
        interrupted[started.tomogram] = started.interruptions + 1
        _clear(folder)
    return interrupted


def _complete(folder: Path, scratch: Path) -> None:
    try:
        publication = Publication.model_validate_json((folder / _PUBLISH).read_bytes())
    except ValidationError:
        # Of another version: the tomogram is segmented again.
        shutil.rmtree(folder, ignore_errors=True)
        return
    mask = Path(_unquoted(publication.mask))
    target = mask.parent
    for name in map(_unquoted, publication.names):
        if (folder / name).exists():
            (folder / name).replace(target / name)
    sync_folder(target)
    if read_record(mask) != publication.record:
        write_record(mask, publication.record, scratch)
    shutil.rmtree(folder, ignore_errors=True)


def _quoted(path: str | os.PathLike[str]) -> str:
    return quote(os.fsencode(path))


def _unquoted(text: str) -> str:
    return os.fsdecode(unquote_to_bytes(text))


def _read_started(folder: Path) -> Started | None:
    try:
        return Started.model_validate_json((folder / _STARTED).read_bytes())
    except (OSError, ValidationError):
        return None


def _clear(folder: Path) -> None:
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name == _STARTED:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
